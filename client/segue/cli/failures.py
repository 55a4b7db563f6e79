"""Failures: which sentence and which exit code does an error end a command with?

This is the only place that maps errors to exit codes.
"""

from dataclasses import dataclass
from typing import Final

from segue.core.exits import Exit, of_refusal
from segue.core.inputs import ContextError
from segue_contracts.reply import Problem, Refused
from segue_shared.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    SegueError,
    TooLargeError,
    TransientError,
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a command ends."""

    code: Exit
    """The exit code."""
    lines: tuple[str, ...]
    """What is said about it."""


class UsageError(Exception):
    """The command was given something that cannot be; the text says what and the way out."""


class InvalidDefinitionError(Exception):
    """The definition has problems; each is one line `file:line:column: sentence`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StillRunningError(Exception):
    """The run has not ended in the time that the caller would wait."""


_CODES: Final[dict[type[Exception], Exit]] = {
    StillRunningError: Exit.TIMED_OUT,
    UsageError: Exit.USAGE,
    ContextError: Exit.USAGE,
    TooLargeError: Exit.USAGE,
    OSError: Exit.USAGE,
    NotFoundError: Exit.NOT_FOUND_OR_CONFLICT,
    ConflictError: Exit.NOT_FOUND_OR_CONFLICT,
    TransientError: Exit.UNREACHABLE,
    PermissionDeniedError: Exit.UNREACHABLE,
    SegueError: Exit.RUN_FAILED,
}
"""The exit code of each error and what derives from it; the first that fits counts."""


def explain(error: Exception) -> Failure | None:
    """Return how a command ends with an error; None for what is not for a sentence to explain."""
    match error:
        case InvalidDefinitionError(problems=problems):
            return Failure(code=Exit.INVALID_DEFINITION, lines=tuple(problems))
        case RefusedError(refused=refused):
            return Failure(code=of_refusal(refused.code), lines=_refusal(refused))
        case BrokenPipeError():
            # Whoever read the output has seen enough; the command line ends quietly by itself.
            return None
        case OSError(filename=str() as name, strerror=str() as reason):
            return Failure(code=Exit.USAGE, lines=(f"segue: {name}: {reason}",))
        case _:
            code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
            return None if code is None else Failure(code=code, lines=(f"segue: {error}",))


def _refusal(refused: Refused) -> tuple[str, ...]:
    if refused.code == "invalid_request" and refused.problems:
        # A field of what was asked, not a place in a definition.
        return tuple(f"segue: {one.pointer}: {one.message}" for one in refused.problems)
    if refused.problems:
        return tuple(place(problem) for problem in refused.problems)
    return (f"segue: {refused.message}",)


def place(problem: Problem) -> str:
    """Write a service's problem on one line, the way compilers do."""
    where = problem.file or "<definition>"
    if problem.line:
        where += f":{problem.line}:{problem.column}"
    elif problem.pointer:
        where += f": {problem.pointer}"
    hint = f" (did you mean '{problem.suggestion}'?)" if problem.suggestion else ""
    return f"{where}: {problem.message}{hint}"
