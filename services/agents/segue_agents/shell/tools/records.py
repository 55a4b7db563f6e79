"""Records: what does the analysing process say about one file?"""

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Problem(Struct, frozen=True, kw_only=True):
    """Why a file could not be analysed."""

    message: str
    """The reason."""
    rule: str = "syntax"
    """`syntax` when it does not parse, `not-analysed` when something else went wrong."""
    line: int = 1
    """Where it shows."""
    column: int | None = None
    """Where in the line."""


class Record(Struct, Generic[T], frozen=True, kw_only=True):
    """One file's result, or its problem."""

    file: str
    """Relative to the root."""
    value: T | None = None
    """The result."""
    problem: Problem | None = None
    """Set when there is no result."""


class Exposed(Struct, frozen=True, kw_only=True):
    """A line that seems to hold a secret; the secret itself never leaves the process."""

    kind: str
    """What sort of secret it looks like."""
    line: int
    """Where it stands."""
