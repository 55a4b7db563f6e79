"""The hub: who gets a copy of what the feed brings?"""

import asyncio
from typing import Final

from segue_contracts.v1 import subjects
from segue_events.core import frames
from segue_events.core.problems import UNAVAILABLE, ProblemError
from segue_events.shell.meters import Meters
from segue_events.shell.viewer import Ending, Viewer

_REMEMBERED_RUNS: Final = 4096


class Hub:
    """All viewers of this process, by the run they watch."""

    def __init__(self, meters: Meters, *, queue_frames: int, max_viewers: int) -> None:
        self._meters = meters
        self._queue_frames = queue_frames
        self._max_viewers = max_viewers
        self._viewers: dict[str, set[Viewer]] = {}
        self._newest: dict[str, int] = {}
        self._left = asyncio.Event()
        self.count = 0
        """How many viewers there are."""
        self.epoch = ""
        """Which journal the feed brings; empty while there is no feed."""

    def join(self, namespace: str, run: str, *, deltas: bool) -> Viewer:
        """Add a viewer; from here on it misses nothing that the feed brings.

        Raises:
            ProblemError: There is no room for another, or no feed.
        """
        if not self.epoch:
            raise ProblemError(UNAVAILABLE, "unavailable", "this instance does not stream now")
        if self.count >= self._max_viewers:
            detail = f"this instance has {self.count} viewers, as many as it may"
            raise ProblemError(UNAVAILABLE, "too_many_viewers", detail)
        key = subjects.deltas(namespace, run)
        newest = self._newest.get(key, 0)
        viewer = Viewer(key, deltas=deltas, limit=self._queue_frames, newest=newest)
        self._viewers.setdefault(key, set()).add(viewer)
        self.count += 1
        self._meters.joined()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        watching = self._viewers[viewer.key]
        watching.remove(viewer)
        self.count -= 1
        self._left.set()
        self._meters.left(viewer)
        if not watching:
            del self._viewers[viewer.key]

    def fact(self, subject: str, data: bytes, sequence: int) -> None:
        """Hand a stored event to those who watch its run; it is encoded once, and only for them.

        Raises:
            SubjectError: The subject is no fact.
        """
        place = subjects.parse_run(subject)
        key = subjects.deltas(place.namespace, place.run)
        self._remember(key, sequence)
        if key in self._viewers:
            frame = frames.durable(subject, data, sequence=sequence, epoch=self.epoch)
            for viewer in self._viewers[key]:
                viewer.offer(frame)

    def delta(self, subject: str, data: bytes) -> None:
        """Hand a delta to those who watch its run and want deltas."""
        watching = self._viewers.get(f"{subject.rpartition('.')[0]}.>", ())
        wanting = [viewer for viewer in watching if viewer.deltas]
        if not wanting:
            return
        frame = frames.ephemeral(data)
        if frame.data:
            for viewer in wanting:
                viewer.offer(frame)

    def rejoin(self) -> None:
        """Let every viewer read the journal again from where it is."""
        for viewer in self._everyone():
            viewer.rejoin()

    def tick(self) -> None:
        """Let every viewer send a sign of life."""
        for viewer in self._everyone():
            viewer.tick()

    def end(self, why: Ending) -> None:
        """End every stream."""
        for viewer in self._everyone():
            viewer.end(why)

    def change(self, epoch: str) -> None:
        """Go over to another journal: end every stream, and forget what was seen."""
        self.epoch = epoch
        self._newest.clear()
        self.end("journal_changed")

    async def close(self) -> None:
        """Take no more viewers, end every stream, and return when the last has left."""
        self.epoch = ""
        self.end("shutdown")
        while self.count:
            self._left.clear()
            await self._left.wait()

    def _everyone(self) -> list[Viewer]:
        return [viewer for watching in self._viewers.values() for viewer in watching]

    def _remember(self, key: str, sequence: int) -> None:
        """Keep the newest sequence of the runs that were last heard of."""
        self._newest[key] = max(sequence, self._newest.pop(key, 0))
        if len(self._newest) > _REMEMBERED_RUNS:
            del self._newest[next(iter(self._newest))]
