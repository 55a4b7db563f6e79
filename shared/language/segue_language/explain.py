"""What does a validation error mean to the author?"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segue_language.aliases import NESTED_ALIASES, STEP_ALIASES, WORKFLOW_ALIASES
from segue_language.models import (
    MAX_KEY,
    MAX_STEPS,
    Approval,
    Budget,
    Compensation,
    Concurrency,
    Escalation,
    ForEach,
    InputSpec,
    LlmCall,
    Rate,
    Retry,
    RetryClass,
    Step,
    Timeouts,
    Wait,
    Workflow,
)
from segue_language.problems import Finding, Path, shown

CHECKED_ELSEWHERE: Final = frozenset({"step_kind", "misplaced_field"})
"""Errors that the checks explain better, since they see a step although it has other faults."""

_MODELS: Final[dict[str, type[BaseModel]]] = {
    "retry": Retry,
    "budget": Budget,
    "compensate": Compensation,
    "concurrency": Concurrency,
    "escalation": Escalation,
    "forEach": ForEach,
    "rate": Rate,
    "timeouts": Timeouts,
    "llm": LlmCall,
    "wait": Wait,
    "approval": Approval,
}
_EXPECTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "float_type": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_PATTERNS: Final = {
    "pool": "must be 1 to 64 of a-z, 0-9, '_' and '-', and begin with a letter or digit",
    "uses": "must be '<connector>.<action>'",
    "event": "must be names of a-z, A-Z, 0-9, '_' and '-', joined by dots",
    "nonRetryable": "must be a code, in which '*' may stand at the end only",
}
_LIMITS: Final = {
    "steps": f"must hold 1 to {MAX_STEPS:,} steps",
    "key": f"must have 1 to {MAX_KEY} characters",
    "name": f"must have 1 to {MAX_KEY} characters",
}
_IN_STEPS = 2
_IN_ITEM = 3


def explain(error: ValidationError, origin: Callable[[Path], Path]) -> Iterator[Finding]:
    """Yield a finding for each error, named as the author wrote the field."""
    for details in error.errors(include_url=False):
        # A list counts as too short, too, when each of its items is faulty.
        hollow = details["type"] == "too_short" and details["input"]
        if details["type"] not in CHECKED_ELSEWHERE and not hollow:
            yield _finding(details, origin)


def _finding(details: ErrorDetails, origin: Callable[[Path], Path]) -> Finding:
    kind = details["type"]
    path = details["loc"]
    path = path[:-1] if path[-1:] == ("[key]",) else path
    if kind == "missing":
        return Finding(path=path[:-1], code="missing_field", message=_missing(path))
    if kind == "extra_forbidden":
        message = f"unknown field {shown(str(path[-1]))}"
        return Finding(
            path=path,
            code="unknown_field",
            message=message,
            wrong=str(path[-1]),
            candidates=_fields(path),
            at_key=True,
        )
    subject = _subject(path, origin(path))
    if kind == "literal_error":
        return _choice(details, path, subject)
    code = "wrong_type" if kind in _EXPECTED else "wrong_value"
    return Finding(path=path, code=code, message=f"{subject}{_reason(details, path)}")


def _missing(path: Path) -> str:
    if len(path) == 1:
        return f"the workflow has no {shown(str(path[0]))}"
    if path[0] == "steps" and len(path) == _IN_ITEM:
        return f"the step has no {shown(str(path[-1]))}"
    return f"{shown('.'.join(_names(path[:-1])))} has no {shown(str(path[-1]))}"


def _names(path: Path) -> list[str]:
    """Return the names in a path, from the step on where there is one."""
    numbers = [index for index, part in enumerate(path) if isinstance(part, int)]
    start = numbers[0] + 1 if numbers and numbers[0] + 1 < len(path) else 0
    return [str(part) for part in path[start:]]


def _last_name(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _subject(path: Path, written: Path) -> str:
    if not path:
        return "the workflow "
    if path[0] == "steps" and len(path) == _IN_STEPS:
        return "a step "
    return f"{shown('.'.join(_names(written)))} "


def _choice(details: ErrorDetails, path: Path, subject: str) -> Finding:
    expected = str(details.get("ctx", {}).get("expected", ""))
    choices = expected.split("'")[1::2]
    given = details["input"]
    return Finding(
        path=path,
        code="wrong_value",
        message=f"{subject}must be one of {', '.join(choices)}",
        wrong=given if isinstance(given, str) else "",
        candidates=choices,
    )


def _reason(details: ErrorDetails, path: Path) -> str:
    kind, context = details["type"], details.get("ctx", {})
    expected = _EXPECTED.get(kind)
    if expected:
        return f"must be {expected}, not {_given(details['input'])}"
    if kind == "value_error":
        return f"is wrong: {context.get('error')}"
    if kind in ("too_short", "too_long", "string_too_long", "string_too_short"):
        return _LIMITS.get(str(path[-1]), "must not be empty")
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(_last_name(path), "holds a control character")
    message = details["msg"]
    return message.replace("Input should be", "must be") if "Input" in message else f"- {message}"


def _given(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def _fields(path: Path) -> list[str]:
    """Return the names that a field at this place can have."""
    model, aliases = _model(path)
    names = [info.alias or name for name, info in model.model_fields.items()]
    return [*names, *aliases]


def _model(path: Path) -> tuple[type[BaseModel], Mapping[str, str]]:
    if len(path) == 1:
        return Workflow, WORKFLOW_ALIASES
    if path[0] == "steps" and len(path) == _IN_ITEM:
        return Step, STEP_ALIASES
    if path[0] == "inputs":
        return InputSpec, {}
    if path[-3:-2] == ("classes",):
        return RetryClass, {}
    return _MODELS.get(str(path[-2]), Workflow), NESTED_ALIASES.get(str(path[-2]), {})
