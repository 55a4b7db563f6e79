"""Answers to commands: what does a service say when asked, and how does it refuse?"""

from typing import Literal

from msgspec import UNSET, Raw, UnsetType

from segue_contracts.envelope import Message

RefusalCode = Literal[
    "invalid_request",
    "invalid_definition",
    "not_found",
    "conflict",
    "checkpoint_expired",
    "too_large",
    "unsupported",
    "unavailable",
    "provider_failed",
    "budget_exceeded",
    "internal",
]


class Problem(Message, frozen=True, kw_only=True):
    """One thing that is wrong with a definition or a body, and where."""

    message: str
    """One sentence."""
    code: str = ""
    """Stable reason, such as `unknown_field`."""
    pointer: str = ""
    """JSON Pointer into the document."""
    file: str = ""
    """The file, as the caller named it."""
    line: int = 0
    """Counted from 1; 0 when unknown."""
    column: int = 0
    """Counted from 1; 0 when unknown."""
    suggestion: str = ""
    """What was probably meant."""


class Refused(Message, frozen=True, kw_only=True):
    """The typed answer of a service that will not do what was asked."""

    code: RefusalCode
    """Stable reason."""
    message: str
    """One sentence that names the way out."""
    retryable: bool = False
    """Whether the same request could succeed later."""
    problems: list[Problem] = []
    """Everything that is wrong, all at once."""
    details: dict[str, str] = {}
    """Further facts."""


class Reply(Message, frozen=True, kw_only=True):
    """The answer to a command: exactly one field is present."""

    result: Raw | UnsetType = UNSET
    """The command's result."""
    refused: Refused | UnsetType = UNSET
    """Why not."""
