"""Failures: what does an error say to whoever reads the run?"""

from typing import Final

import structlog

from segue_agents.shell.ports import InputError
from segue_contracts.v1.values import Failure
from segue_shared.errors import (
    InvalidMessageError,
    PayloadMissingError,
    PermissionDeniedError,
    SegueError,
    TooLargeError,
)

_log = structlog.get_logger()

_CODES: Final[dict[type[SegueError], str]] = {
    InputError: "invalid_input",
    PayloadMissingError: "payload_missing",
    TooLargeError: "too_large",
    PermissionDeniedError: "permission_denied",
    InvalidMessageError: "message_unreadable",
}


def failure_of(error: Exception) -> Failure:
    """Return the typed failure of a lasting error; an unforeseen one may pass on another try."""
    if isinstance(error, SegueError):
        code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "failed")
        return Failure(code=code, message=str(error), retryable=False)
    _log.error("attempt_crashed", exc_info=error)
    message = f"the agents service broke down on it ({type(error).__name__}); see its log"
    return Failure(code="internal", message=message)
