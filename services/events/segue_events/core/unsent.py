"""Deduplication: what of some frames has a viewer not had yet?"""

from collections.abc import Iterable

import msgspec

from segue_events.core.frames import Frame


class Unsent(msgspec.Struct, frozen=True):
    """The next bytes for a viewer."""

    data: bytes
    """What to write."""
    sequence: int
    """The newest sequence that it has with them."""
    over: bool
    """Whether the run is over for it."""


def unsent(frames: Iterable[Frame], sequence: int) -> Unsent:
    """Return what comes after `sequence`, up to the end of the run; deltas keep their place."""
    chosen: list[bytes] = []
    for frame in frames:
        if not frame.sequence or frame.sequence > sequence:
            chosen.append(frame.data)
            sequence = max(sequence, frame.sequence)
        if frame.last:
            return Unsent(b"".join(chosen), sequence, over=True)
    return Unsent(b"".join(chosen), sequence, over=False)
