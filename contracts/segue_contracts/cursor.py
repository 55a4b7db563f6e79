"""The cursor: where in the journal is a reader?"""

import re

import msgspec

_FORM = re.compile(r"([a-z0-9]{1,32})-([0-9]{1,19})")


class CursorError(ValueError):
    """The text is no cursor."""


class Cursor(msgspec.Struct, frozen=True, order=True):
    """A position in the journal, opaque to users as `<epoch>-<sequence>`."""

    epoch: str
    """Which journal: a wiped or restored store has another epoch."""
    sequence: int
    """The stream sequence of the last event seen; 0 is before the first."""

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


def parse_cursor(text: str) -> Cursor:
    """Read a cursor's text.

    Raises:
        CursorError: The text has another form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise CursorError(f"{text!r} is no cursor; a cursor looks like 'k3v9x2-1042'")
    return Cursor(match[1], int(match[2]))
