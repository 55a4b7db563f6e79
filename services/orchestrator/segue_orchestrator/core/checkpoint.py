"""Checkpoints: which position of which run does a text name?"""

import msgspec

from segue_contracts.cursor import Cursor, parse_cursor


class Checkpoint(msgspec.Struct, frozen=True):
    """A run at a position of the journal."""

    run: str
    """The run's id."""
    cursor: Cursor | None = None
    """The newest event that counts; None for all."""


def parse_checkpoint(run: str, cursor: str = "") -> Checkpoint:
    """Return what is named by a run or `<run>@<cursor>`, and by a cursor beside it.

    Raises:
        ValueError: Nothing is named, two different things are, or the position is no cursor.
    """
    texts = [_parts(run), _parts(cursor) if "@" in cursor else ("", cursor)]
    runs = {name for name, _ in texts if name}
    positions = {position for _, position in texts if position}
    if not runs:
        raise ValueError("no run is named; a checkpoint looks like '<run>@<cursor>'")
    if len(runs) > 1 or len(positions) > 1:
        raise ValueError(f"{run!r} and {cursor!r} name different checkpoints; send one of them")
    return Checkpoint(runs.pop(), parse_cursor(positions.pop()) if positions else None)


def _parts(text: str) -> tuple[str, str]:
    run, _, cursor = text.partition("@")
    return run, cursor
