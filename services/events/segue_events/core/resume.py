"""Resuming: where does a viewer's stream begin?"""

import msgspec

from segue_contracts.cursor import Cursor


class Bounds(msgspec.Struct, frozen=True):
    """What the journal can still tell."""

    epoch: str
    """Which journal it is."""
    first: int
    """The oldest sequence it holds."""
    last: int
    """The newest."""


class Start(msgspec.Struct, frozen=True):
    """Where a stream begins."""

    after: int = 0
    """Send what comes after this sequence."""
    reset: str = ""
    """Why the viewer must forget what it has; empty when it may keep it."""


def start(cursor: Cursor, bounds: Bounds) -> Start:
    """Return where to go on for a viewer who has seen everything up to `cursor`."""
    if cursor.epoch != bounds.epoch:
        return Start(reset="other_epoch")
    if cursor.sequence > bounds.last:
        # The store lost its end, say by a power cut; what comes next reuses these sequences.
        return Start(reset="ahead_of_journal")
    if 0 < cursor.sequence < bounds.first - 1:
        return Start(reset="expired")
    return Start(after=cursor.sequence)
