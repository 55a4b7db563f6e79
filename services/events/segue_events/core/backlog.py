"""The backlog: what waits for one viewer, and what gives way when it is too slow?"""

from collections import deque

from segue_events.core.frames import Frame


class Backlog:
    """Frames for one viewer, at most `limit`; deltas give way to durable events."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: deque[Frame] = deque()
        self.overflowed = False
        """Whether a durable frame found no room; nothing durable is taken after it."""
        self.dropped = 0
        """Deltas that gave way so far."""

    def offer(self, frame: Frame) -> None:
        """Take a frame, or note that there is no room for it."""
        if self.overflowed:
            return
        if len(self._frames) >= self._limit and frame.sequence:
            self._drop_deltas()
        if len(self._frames) < self._limit:
            self._frames.append(frame)
        elif frame.sequence:
            self.overflowed = True
        else:
            self.dropped += 1

    def take(self) -> list[Frame]:
        """Return everything that waits, in order."""
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def reset(self) -> None:
        """Forget what waits; the reader gets it from the journal."""
        self._frames.clear()
        self.overflowed = False

    def _drop_deltas(self) -> None:
        kept = [frame for frame in self._frames if frame.sequence]
        self.dropped += len(self._frames) - len(kept)
        self._frames = deque(kept)
