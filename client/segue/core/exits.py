"""Exit codes: how does a command tell a script what became of it?"""

from enum import IntEnum
from typing import Final

from segue_contracts.reply import RefusalCode


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    RUN_FAILED = 1
    USAGE = 2
    INVALID_DEFINITION = 3
    NOT_FOUND_OR_CONFLICT = 5
    UNREACHABLE = 6
    TIMED_OUT = 124
    DETACHED = 130


_REFUSALS: Final[dict[RefusalCode, Exit]] = {
    "invalid_request": Exit.USAGE,
    "invalid_definition": Exit.INVALID_DEFINITION,
    "not_found": Exit.NOT_FOUND_OR_CONFLICT,
    "conflict": Exit.NOT_FOUND_OR_CONFLICT,
    "checkpoint_expired": Exit.NOT_FOUND_OR_CONFLICT,
    "too_large": Exit.USAGE,
    "unsupported": Exit.INVALID_DEFINITION,
    "unavailable": Exit.UNREACHABLE,
    "provider_failed": Exit.RUN_FAILED,
    "budget_exceeded": Exit.RUN_FAILED,
    "internal": Exit.RUN_FAILED,
}


def of_refusal(code: RefusalCode) -> Exit:
    """Return the exit code of a service's refusal."""
    return _REFUSALS[code]


def of_end(status: str) -> Exit:
    """Return the exit code of a run that ended."""
    return Exit.DONE if status == "completed" else Exit.RUN_FAILED
