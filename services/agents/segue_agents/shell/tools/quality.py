"""Quality: which code breaks the rules of the field, and which is hard to maintain?"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from segue_agents.core.complexity import (
    Measured,
    complexity_metrics,
    judge_complexity,
)
from segue_agents.core.findings import DEFAULT_LIMIT, Finding, Severity, ToolReport, build_report
from segue_agents.shell.process import ProcessError, run_process
from segue_agents.shell.tools.inspection import (
    NO_PYTHON,
    PYTHON,
    inspect,
    problems,
    spread,
    values,
)
from segue_agents.shell.workspace import Workspace

_RULES = "E4,E7,E9,F,W605,B,C90,SIM,PLE,PLW,PLC0414,PLR0911,PLR0912,PLR0913,PLR0915,PLR1714"
"""What ruff looks for: errors, likely bugs, complexity, needless code; no matters of taste."""

_SEVERITIES: tuple[tuple[str, Severity], ...] = (
    ("invalid-syntax", "high"),
    ("E9", "high"),
    ("F82", "high"),
    ("F7", "high"),
    ("PLE", "high"),
    ("F401", "low"),
    ("F541", "info"),
    ("F", "medium"),
    ("B008", "low"),
    ("B90", "low"),
    ("B", "medium"),
    ("SIM", "info"),
)
"""The first prefix of a rule that fits decides; the rest is low."""

_LITERAL = re.compile(r"(\"|')(?:(?!\1).)*\1")
_QUOTED_CODE = re.compile(r"`[^`]*`")


class _Location(Struct, frozen=True):
    row: int
    column: int


class _Diagnostic(Struct, frozen=True):
    code: str | None
    filename: str
    message: str
    location: _Location


async def lint_code(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Lint the Python code with ruff: errors, likely bugs, complexity and needless code."""
    files = workspace.python_files

    async def check(batch: Sequence[str]) -> list[_Diagnostic]:
        return await _ruff(workspace, batch)

    diagnostics = await spread(workspace, files, check)
    findings = [_lint(workspace, item) for item in diagnostics]
    rules = Counter(finding.rule for finding in findings)
    return build_report(
        "lint_code",
        summary=_lint_summary(len(files), findings, rules),
        findings=findings,
        limit=limit,
        metrics={"files": len(files), **_most_frequent(rules)},
        notes=_notes(workspace),
    )


async def measure_complexity(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Measure cyclomatic complexity and maintainability of the Python code with radon."""
    records = await inspect(workspace, "complexity", workspace.python_files, Measured)
    files = values(records)
    metrics = complexity_metrics(files)
    return build_report(
        "measure_complexity",
        summary=(
            f"{metrics['complex_functions']} of {metrics['functions']} functions have more than "
            f"10 independent paths; the mean is {metrics['mean_complexity']}."
        ),
        findings=[*problems("measure_complexity", records), *judge_complexity(files)],
        limit=limit,
        metrics=metrics,
        notes=_notes(workspace),
    )


async def _ruff(workspace: Workspace, files: Sequence[str]) -> list[_Diagnostic]:
    """Run ruff without its cache and without any configuration of the repository."""
    finished = await run_process(
        [
            *(*PYTHON, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero"),
            *("--output-format", "json-lines", "--target-version", "py313", "--select", _RULES),
            *(f"./{file}" for file in files),
        ],
        cwd=workspace.root,
        timeout_s=workspace.timeout_s,
    )
    if finished.code and not finished.truncated:
        raise ProcessError(f"ruff ended with {finished.code}: {finished.stderr[:200]!r}")
    lines = finished.stdout.split(b"\n")
    # A line cut off by the output's bound is dropped; there are tens of thousands before it.
    return [msgspec.json.decode(line, type=_Diagnostic) for line in lines[:-1] if line]


def _lint(workspace: Workspace, item: _Diagnostic) -> Finding:
    rule = item.code or "invalid-syntax"
    fitting: list[Severity] = [name for prefix, name in _SEVERITIES if rule.startswith(prefix)]
    return Finding(
        tool="lint_code",
        rule="syntax" if rule == "invalid-syntax" else rule,
        severity=fitting[0] if fitting else "low",
        message=_without_literals(item.message),
        file=item.filename.removeprefix(f"{workspace.root}/"),
        line=item.location.row,
        column=item.location.column,
    )


def _without_literals(message: str) -> str:
    """Blank out the texts in quoted code: one of them may be a password."""
    return _QUOTED_CODE.sub(lambda code: _LITERAL.sub(r"\1…\1", code.group()), message)


def _lint_summary(files: int, findings: Sequence[Finding], rules: Counter[str]) -> str:
    if not findings:
        return f"ruff has no complaint about {files} Python files."
    frequent = ", ".join(f"{rule} ({count})" for rule, count in rules.most_common(3))
    concerned = len({finding.file for finding in findings})
    return (
        f"ruff has {len(findings)} complaints about {concerned} of {files} Python files; "
        f"most frequent: {frequent}."
    )


def _most_frequent(rules: Counter[str]) -> Mapping[str, int]:
    ranked = sorted(rules.items(), key=lambda item: (-item[1], item[0]))
    return {f"rule.{rule}": count for rule, count in ranked[:10]}


def _notes(workspace: Workspace) -> list[str]:
    return [*workspace.notes, *([] if workspace.python_files else [NO_PYTHON])]
