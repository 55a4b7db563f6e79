"""Security: does the code hold secrets, call what is dangerous, or depend on what may change?"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from segue_agents.core.dependencies.inventory import is_manifest, take_inventory
from segue_agents.core.findings import DEFAULT_LIMIT, Finding, Severity, ToolReport, build_report
from segue_agents.shell.process import ProcessError, run_process
from segue_agents.shell.tools.inspection import (
    NO_PYTHON,
    PYTHON,
    inspect,
    spread,
    values,
)
from segue_agents.shell.tools.records import Exposed
from segue_agents.shell.workspace import Workspace, WorkspaceError

_GUESSES: Mapping[str, Severity] = {
    "Secret Keyword": "medium",
    "Base64 High Entropy String": "low",
    "Hex High Entropy String": "low",
    "Basic Auth Credentials": "high",
}
"""Kinds found by a word or by randomness; every other kind has an unmistakable form."""

_LEVELS: Mapping[tuple[str, str], Severity] = {
    ("HIGH", "HIGH"): "high",
    ("HIGH", "MEDIUM"): "high",
    ("HIGH", "LOW"): "medium",
    ("MEDIUM", "HIGH"): "medium",
    ("MEDIUM", "MEDIUM"): "medium",
    ("MEDIUM", "LOW"): "low",
    ("LOW", "HIGH"): "low",
}
"""Bandit's severity and confidence as one severity; what is missing is for information."""

_POINTS = {"HIGH": 3, "MEDIUM": 2, "LOW": 1}
_TEST_FILE = re.compile(r"(?:^|/)(?:tests?|testing|fixtures?)/|(?:^|/)(?:test_[^/]*|conftest)\.py$")
_PASSWORD_RULES = {"B105", "B106", "B107"}


class _Issue(Struct, frozen=True):
    filename: str
    issue_text: str
    issue_severity: str
    issue_confidence: str
    line_number: int
    test_id: str
    col_offset: int = 0


class _Unread(Struct, frozen=True):
    filename: str
    reason: str


class _Bandit(Struct, frozen=True):
    results: list[_Issue]
    errors: list[_Unread]


async def find_secrets(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Find passwords, keys and tokens in files of any language; their values are never shown."""
    records = await inspect(workspace, "secrets", workspace.files, list[Exposed])
    findings = [
        _secret(file, exposed) for file, lines in values(records).items() for exposed in lines
    ]
    kinds = Counter(finding.rule for finding in findings)
    named = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
    return build_report(
        "find_secrets",
        summary=(
            f"{len(findings)} lines of {len(workspace.files)} files seem to hold secrets"
            + (f": {named}." if named else ".")
        ),
        findings=findings,
        limit=limit,
        metrics={"files": len(workspace.files)},
        notes=workspace.notes,
    )


async def find_dangerous_calls(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Find dangerous calls and settings in the Python code with bandit."""
    files = workspace.python_files

    async def check(batch: Sequence[str]) -> list[Finding]:
        return _issues(await _bandit(workspace, batch))

    findings = await spread(workspace, files, check)
    rules = Counter(finding.rule for finding in findings)
    named = ", ".join(f"{rule} ({count})" for rule, count in rules.most_common(3))
    return build_report(
        "find_dangerous_calls",
        summary=f"bandit warns {len(findings)} times about {len(files)} Python files"
        + (f"; most frequent: {named}." if named else "."),
        findings=findings,
        limit=limit,
        metrics={"files": len(files)},
        notes=[*workspace.notes, *([] if files else [NO_PYTHON])],
    )


async def list_dependencies(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """List declared dependencies and find those that nothing pins, in any ecosystem."""
    texts = await asyncio.to_thread(_manifests, workspace)
    inventory = take_inventory(texts, workspace.names)
    metrics = inventory.metrics()
    loose = len(inventory.findings)
    notes = [] if texts else ["there is no manifest of a known kind here"]
    return build_report(
        "list_dependencies",
        summary=(
            f"{metrics['manifests']} manifests declare {metrics['dependencies']} dependencies; "
            f"{loose} remarks about how they are bound."
        ),
        findings=inventory.findings,
        limit=limit,
        metrics=metrics,
        notes=[*workspace.notes, *notes],
    )


def _secret(file: str, exposed: Exposed) -> Finding:
    severity = _GUESSES.get(exposed.kind, "critical")
    # Tests are full of made-up passwords; a key of unmistakable form counts there, too.
    if exposed.kind in _GUESSES and _TEST_FILE.search(file):
        severity = "info"
    return Finding(
        tool="find_secrets",
        rule=exposed.kind.lower().replace(" ", "-"),
        severity=severity,
        message=f"this line seems to hold a secret ({exposed.kind}); its value is not shown",
        file=file,
        line=exposed.line,
    )


async def _bandit(workspace: Workspace, files: Sequence[str]) -> _Bandit:
    """Run bandit on named files, so that it looks for no configuration of the repository."""
    finished = await run_process(
        [
            *(*PYTHON, "-m", "bandit", "--quiet", "--format", "json", "--exit-zero"),
            *("--number", "1", *(f"./{file}" for file in files)),
        ],
        cwd=workspace.root,
        timeout_s=workspace.timeout_s,
    )
    try:
        return msgspec.json.decode(finished.stdout, type=_Bandit)
    except msgspec.DecodeError as error:
        complaint = finished.stderr[:200].decode(errors="replace").strip()
        raise ProcessError(f"bandit ended with {finished.code}: {complaint}") from error


def _issues(result: _Bandit) -> list[Finding]:
    found = [_issue(item) for item in result.results]
    # Tests assert; that is no weakness.
    kept = [item for item in found if item.rule != "B101" or not _TEST_FILE.search(item.file)]
    return kept + [
        Finding(
            tool="find_dangerous_calls",
            rule="syntax",
            severity="high",
            message=item.reason,
            file=_relative(item.filename),
            line=1,
        )
        for item in result.errors
    ]


def _issue(item: _Issue) -> Finding:
    strength = (item.issue_severity, item.issue_confidence)
    text = item.issue_text
    if item.test_id in _PASSWORD_RULES:
        # Bandit quotes the password it found.
        text = text.partition(":")[0] + "; its value is not shown"
    return Finding(
        tool="find_dangerous_calls",
        rule=item.test_id,
        severity=_LEVELS.get(strength, "info"),
        message=text,
        file=_relative(item.filename),
        line=item.line_number,
        column=item.col_offset + 1,
        metric=float(_POINTS.get(strength[0], 0) * _POINTS.get(strength[1], 0)),
    )


def _relative(file: str) -> str:
    return re.sub(r"^(?:\./)+", "", file)


def _manifests(workspace: Workspace) -> dict[str, str]:
    texts: dict[str, str] = {}
    for file in filter(is_manifest, workspace.files):
        try:
            texts[file] = workspace.read(file).decode(errors="replace")
        except WorkspaceError:
            # It vanished or changed its kind since it was listed: it is not there any more.
            continue
    return texts
