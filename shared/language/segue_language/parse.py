"""Is this text a workflow, and if not, what is wrong with it, and where?"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec
from pydantic import ValidationError

from segue_language.checks import check, check_given
from segue_language.dialects import Canonical, to_canonical
from segue_language.explain import explain
from segue_language.features import missing_features
from segue_language.json_source import SlowPathError, read_json, read_quickly
from segue_language.models import MAX_STEPS, Workflow
from segue_language.outline import Outline
from segue_language.problems import Finding, Path, Problem, closest, pointer
from segue_language.quick import is_faultless
from segue_language.recent import Recent
from segue_language.source import (
    MAX_BYTES,
    START,
    Flaw,
    Mark,
    Source,
    UnreadableError,
    mark_at,
)

DEFAULT_FILE: Final = "<definition>"
MAX_PROBLEMS: Final = 500
_BLANKS: Final = " \t\r\n"
_SMALL: Final = 8_192
"""JSON up to this length is read as quickly as it could be kept."""

_OVERHEAD: Final = 4_096
"""What a kept outcome weighs beside its text."""

_KIND_CODES: Final = frozenset({"no_kind", "no_action", "unknown_type"})
_JSON_START = re.compile(r"\s*[{\[]\s*(?:[\"{}\[\]]|\Z)")


class Parsed(msgspec.Struct, frozen=True):
    """A workflow, or everything that is wrong with it."""

    workflow: Workflow | None
    """The workflow, if nothing is wrong."""
    problems: tuple[Problem, ...]
    """What is wrong, in the order of the text."""


class _Text(msgspec.Struct, frozen=True):
    """A text that was read; its positions are found when something is wrong."""

    text: str
    file: str
    value: object
    source: Source | None

    def positions(self) -> Source:
        return self.source or read_json(self.text)


class _Options(msgspec.Struct, frozen=True):
    """What a definition is parsed against."""

    file: str
    known_agents: frozenset[str] | None
    known_workflows: frozenset[str] | None
    supported: frozenset[str] | None


class _Outcome(msgspec.Struct, frozen=True):
    """What came of a text, and the inputs it declares."""

    parsed: Parsed
    inputs: Mapping[str, object]


_RECENT: Final[Recent[_Outcome]] = Recent()


def parse_bytes(
    data: bytes,
    *,
    file: str = DEFAULT_FILE,
    known_agents: Collection[str] | None = None,
    known_workflows: Collection[str] | None = None,
    inputs: Mapping[str, object] | None = None,
    supported: frozenset[str] | None = None,
) -> Parsed:
    """Parse the bytes of a file, which must be UTF-8; otherwise like `parse`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        message = f"the byte 0x{data[error.start]:02x} is no UTF-8; save the file as UTF-8"
        return _refused(file, Flaw(mark_at(before, len(before)), "invalid_utf8", message))
    return parse(
        text,
        file=file,
        known_agents=known_agents,
        known_workflows=known_workflows,
        inputs=inputs,
        supported=supported,
    )


def parse(
    text: str,
    *,
    file: str = DEFAULT_FILE,
    known_agents: Collection[str] | None = None,
    known_workflows: Collection[str] | None = None,
    inputs: Mapping[str, object] | None = None,
    supported: frozenset[str] | None = None,
) -> Parsed:
    """Parse a definition in YAML or JSON, in the canonical form or a dialect.

    It never raises on bad input: everything that is wrong is a problem with its position.
    What came of a YAML or long text is kept for a while, so that seen again it takes no time.

    Args:
        text: The definition.
        file: Its name in problems; `.json`, `.yaml` and `.yml` decide how it is read.
        known_agents: The agents there are; others are problems then.
        known_workflows: The names of the workflows there are; others are problems then. A name that
            is also listed with versions or aliases, `name@1.4.0`, is known with those only.
        inputs: The inputs of a run; they are checked then.
        supported: What the engine can run, out of `FEATURES`; other constructs are problems then.
    """
    agents = None if known_agents is None else frozenset(known_agents)
    workflows = None if known_workflows is None else frozenset(known_workflows)
    options = _Options(file, agents, workflows, supported)
    if len(text) > MAX_BYTES or (len(text) <= _SMALL and text.lstrip(_BLANKS)[:1] == "{"):
        return _parse(text, options, inputs).parsed
    key = (sha256(text.encode(errors="surrogatepass")).digest(), options)
    outcome = _RECENT.get(key)
    if outcome is None:
        outcome = _parse(text, options, None)
        _RECENT.put(key, outcome, len(text) + _OVERHEAD)
    if inputs is None or (outcome.parsed.workflow and not any(check_given(outcome.inputs, inputs))):
        return outcome.parsed
    return _parse(text, options, inputs).parsed


def _parse(text: str, options: _Options, given: Mapping[str, object] | None) -> _Outcome:
    try:
        document = _read(text.removeprefix("\ufeff"), options.file)
    except UnreadableError as error:
        return _Outcome(_refused(options.file, error.flaw), {})
    canonical = to_canonical(document.value)
    findings = [*canonical.findings]
    workflow = None
    declared: Mapping[str, object] = {}
    unfit = _unfit(canonical.value)
    if unfit is not None:
        findings.append(unfit)
    elif isinstance(canonical.value, dict):
        outline = Outline.of(canonical.value)
        declared = outline.inputs
        findings += _checked(outline, canonical, options)
        findings += check_given(declared, given) if given is not None else ()
        workflow = _validate(canonical, findings)
    if workflow is not None and options.supported is not None:
        findings += missing_features(workflow, options.supported)
    if not findings and not (document.source and document.source.flaws):
        return _Outcome(Parsed(workflow, ()), declared)
    return _Outcome(Parsed(None, _problems(document, canonical, findings)), declared)


def _checked(outline: Outline, canonical: Canonical, options: _Options) -> Iterable[Finding]:
    """Return what does not fit together; a look is enough where it shows that all does."""
    if not canonical.findings and is_faultless(outline, options.known_agents):
        return ()
    return check(
        outline,
        known_agents=options.known_agents,
        known_workflows=options.known_workflows,
        typed=_typed(canonical),
    )


def _read(text: str, file: str) -> _Text:
    _check_size(text)
    start = text.lstrip(_BLANKS)[:1]
    if start in ("{", "["):
        try:
            return _Text(text, file, read_quickly(text), None)
        except SlowPathError:
            pass
    source = read_json(text) if _is_json(text, file) else _read_yaml(text)
    return _Text(text, file, source.value, source)


def _read_yaml(text: str) -> Source:
    from segue_language.yaml_source import read_yaml  # noqa: PLC0415 - its library takes 0.1 s

    return read_yaml(text)


def _is_json(text: str, file: str) -> bool:
    """Tell which reader names the faults: by the file's name, else by how the text begins."""
    if file.endswith((".yaml", ".yml")):
        return False
    return file.endswith(".json") or _JSON_START.match(text) is not None


def _check_size(text: str) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        message = "half of a surrogate pair is no character"
        raise UnreadableError(Flaw(mark_at(text, error.start), "invalid_text", message)) from error
    if size > MAX_BYTES:
        message = f"the definition has {size:,} bytes; at most {MAX_BYTES:,} are read"
        raise UnreadableError(Flaw(START, "too_large", message))


def _unfit(value: object) -> Finding | None:
    """Return why a document is not even checked: it is no mapping, or has too many steps."""
    if value is None:
        return Finding(path=(), code="empty", message="the document is empty")
    if not isinstance(value, dict):
        message = "a workflow is a mapping with 'name' and 'steps'"
        return Finding(path=(), code="not_a_mapping", message=message)
    steps = value.get("steps")
    if isinstance(steps, list) and len(steps) > MAX_STEPS:
        message = f"a workflow has at most {MAX_STEPS:,} steps, this one {len(steps):,}"
        return Finding(path=("steps",), code="too_many_steps", message=message)
    return None


def _typed(canonical: Canonical) -> set[int]:
    """Return the steps about whose kind the dialect has a finding."""
    faulty = [finding.path for finding in canonical.findings if finding.code in _KIND_CODES]
    if not faulty:
        return set()
    at = len(canonical.origin(("steps",)))
    return {part for part in (path[at] for path in faulty) if isinstance(part, int)}


def _validate(canonical: Canonical, findings: list[Finding]) -> Workflow | None:
    try:
        return Workflow.model_validate(canonical.value, by_alias=True, by_name=False)
    except ValidationError as error:
        findings += explain(error, canonical.origin)
        return None


def _refused(file: str, flaw: Flaw) -> Parsed:
    return Parsed(None, (_problem(file, flaw.mark, flaw.path, flaw.code, flaw.message),))


def _problem(
    file: str, mark: Mark, path: Path, code: str, message: str, suggestion: str = ""
) -> Problem:
    return Problem(
        file=file,
        line=mark.line,
        column=mark.column,
        pointer=pointer(path),
        code=code,
        message=message,
        suggestion=suggestion,
    )


def _problems(
    document: _Text, canonical: Canonical, findings: list[Finding]
) -> tuple[Problem, ...]:
    source = document.positions()
    problems = [
        *(_problem(document.file, f.mark, f.path, f.code, f.message) for f in source.flaws),
        *_placed(document.file, source, canonical, findings),
    ]
    problems.sort(key=lambda problem: (problem.line, problem.column, problem.code))
    if len(problems) > MAX_PROBLEMS:
        message = f"{len(problems) - MAX_PROBLEMS:,} more problems follow"
        first = problems[MAX_PROBLEMS]
        mark = Mark(first.line, first.column)
        last = _problem(document.file, mark, (), "more_problems", message)
        return (*problems[:MAX_PROBLEMS], last)
    return tuple(problems)


def _placed(
    file: str, source: Source, canonical: Canonical, findings: list[Finding]
) -> Iterator[Problem]:
    for number, finding in enumerate(findings):
        path = finding.path if finding.written else canonical.origin(finding.path)
        mark = source.spot.locate(path, at_key=finding.at_key)
        suggestion = ""
        if number < MAX_PROBLEMS:
            suggestion = closest(finding.wrong, finding.candidates)
        yield _problem(file, mark, path, finding.code, finding.message, suggestion)
