"""A viewer: what does one open stream wait for?"""

import asyncio
from typing import Literal

from segue_events.core.backlog import Backlog
from segue_events.core.frames import Frame

Ending = Literal[
    "gone", "stuck", "refused", "ended", "shutdown", "lagged", "journal_changed", "unavailable"
]
"""Why a stream is over."""


class Viewer:
    """The mailbox between the feed, which never waits, and one stream's writer."""

    def __init__(self, key: str, *, deltas: bool, limit: int, newest: int) -> None:
        self.key = key
        self.deltas = deltas
        self.backlog = Backlog(limit)
        self.newest = newest
        """The newest sequence of its run that the feed has seen."""
        self.stale = False
        """Whether the journal must be read again before anything that waits is written."""
        self.ping = False
        """Whether it is time for a sign of life."""
        self.ending: Ending | None = None
        self._wake = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        """Hand over a frame."""
        self.newest = max(self.newest, frame.sequence)
        self.backlog.offer(frame)
        self._wake.set()

    def rejoin(self) -> None:
        """Say that frames may be missing."""
        self.stale = True
        self._wake.set()

    def tick(self) -> None:
        """Say that it is time for a sign of life."""
        self.ping = True
        self._wake.set()

    def end(self, why: Ending) -> None:
        """Say that the stream is over; the first reason counts."""
        self.ending = self.ending or why
        self._wake.set()

    async def wait(self) -> None:
        """Wait until something of the above happened."""
        await self._wake.wait()
        self._wake.clear()
