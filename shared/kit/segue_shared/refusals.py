"""Refusals: what does a caller hear when its command cannot be done?"""

import re
from typing import Final

import msgspec

from segue_contracts.reply import Problem, RefusalCode, Refused
from segue_shared.errors import (
    ConflictError,
    DestructiveChangeError,
    InvalidMessageError,
    NotFoundError,
    PayloadMissingError,
    PermanentError,
    RefusedError,
    SegueError,
    TooLargeError,
    TransientError,
)

_PLACE: Final = re.compile(r"(?P<what>.*) - at `\$(?P<path>[^`]*)`", re.DOTALL)
_FIELD: Final = re.compile(r"required field `(?P<field>[^`]+)`")
_PART: Final = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")
_ANY_KEY: Final = "[...]"
"""How msgspec writes a dictionary's key, which it does not tell."""

_CODES: Final[dict[type[SegueError], RefusalCode]] = {
    TransientError: "unavailable",
    NotFoundError: "not_found",
    PayloadMissingError: "not_found",
    ConflictError: "conflict",
    DestructiveChangeError: "conflict",
    TooLargeError: "too_large",
    InvalidMessageError: "invalid_request",
    PermanentError: "internal",
    SegueError: "internal",
}
"""What each branch of the error tree means to a caller; the nearest ancestor counts."""


def refusal_of(error: SegueError) -> Refused:
    """Return the refusal that tells a caller of one of our errors."""
    if isinstance(error, RefusedError):
        return error.refused
    code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    return Refused(code=code, message=str(error), retryable=isinstance(error, TransientError))


def invalid(message: str) -> Refused:
    """Return the refusal of a request that cannot be; the message names the field and a way out."""
    return Refused(code="invalid_request", message=message)


def unexpected(what: str, instance: str) -> Refused:
    """Return the refusal for an error that nobody foresaw; its traceback stays in the log."""
    message = f"{what} failed unexpectedly; the log of {instance} says why"
    return Refused(code="internal", message=message, details={"instance": instance})


def overloaded(what: str, limit: int) -> Refused:
    """Return the refusal of a call that comes while too many others run."""
    message = f"{what} already answers {limit} calls at once; ask again shortly"
    return Refused(code="unavailable", message=message, retryable=True)


def stopping(what: str) -> Refused:
    """Return the refusal of a call that this instance could not finish."""
    message = f"the instance that answered {what} stopped before it was done; ask again"
    return Refused(code="unavailable", message=message, retryable=True)


def too_large(what: str, size: int, limit: int) -> Refused:
    """Return the refusal for a result that the broker would not carry."""
    message = f"the result of {what} has {size} bytes, and the broker carries {limit}; ask for less"
    return Refused(code="too_large", message=message)


def undecodable(what: str, error: Exception) -> Refused:
    """Return the refusal of a request that does not fit its type, naming the field."""
    problem = problem_of(error)
    place = f" at {problem.pointer}" if problem.pointer else ""
    message = f"{what}: {problem.message}{place}"
    return Refused(code="invalid_request", message=message, problems=[problem])


def problem_of(error: Exception) -> Problem:
    """Return what a decoding error says, with its place as a JSON Pointer."""
    if not isinstance(error, msgspec.ValidationError):
        return Problem(message=f"the body is not JSON: {error}", code="malformed")
    match = _PLACE.fullmatch(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), "")
    known = _PART.finditer(path.partition(_ANY_KEY)[0])
    pointer = "".join(f"/{part['name'] or part['index']}" for part in known)
    if field := _FIELD.search(what):
        return Problem(message=what, code="missing_field", pointer=f"{pointer}/{field['field']}")
    return Problem(message=what, code="invalid_field", pointer=pointer)
