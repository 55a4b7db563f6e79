"""The follower: how does one viewer get every event once, in order?

It joins the feed first and lets frames wait, writes history, skips what it has written, and goes on
live; whenever something may be missing it reads the journal again from what it wrote last.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from segue_events.core import frames
from segue_events.core.frames import Frame
from segue_events.core.unsent import unsent
from segue_events.shell.ports import History
from segue_events.shell.viewer import Viewer
from segue_shared.clock import Clock
from segue_shared.errors import PermanentError, TransientError
from segue_shared.journal import StoredMessage

Write = Callable[[bytes], Awaitable[None]]

_log = structlog.get_logger()

_PAGE: Final = 1_000
_CHUNK: Final = 256
_LAG_S: Final = 0.05
_LAG_TRIES: Final = 100
_RETRY_S: Final = 0.5


class Follower:
    """One viewer's stream, from its history to its end."""

    def __init__(
        self,
        viewer: Viewer,
        history: History,
        *,
        pattern: str,
        epoch: str,
        clock: Clock,
        write: Write,
    ) -> None:
        self._viewer = viewer
        self._history = history
        self._pattern = pattern
        self._epoch = epoch
        self._clock = clock
        self._write = write
        self._sent = 0
        self._tries = 0

    async def run(self, first: Sequence[StoredMessage], *, after: int) -> None:
        """Write history, then what comes, until the stream is over, and say why.

        Args:
            first: The run's history, read after the viewer joined.
            after: The sequence up to which the viewer has seen it.
        """
        self._sent = after
        await self._write_stored(first)
        viewer = self._viewer
        viewer.stale = viewer.stale or self._sent < viewer.newest
        while viewer.ending is None:
            await self._step()
        await self._say_why()

    async def _step(self) -> None:
        viewer = self._viewer
        if viewer.ping:
            viewer.ping = False
            await self._write(frames.PING)
        elif viewer.stale:
            await self._catch_up()
        elif waiting := viewer.backlog.take():
            await self._write_frames(waiting)
        elif viewer.backlog.overflowed:
            viewer.end("lagged")
        else:
            await viewer.wait()

    async def _catch_up(self) -> None:
        """Read one page of the journal; what overflowed meanwhile is in it or in the next."""
        viewer = self._viewer
        viewer.stale = False
        if viewer.backlog.overflowed:
            viewer.backlog.reset()
        newest = viewer.newest
        page = await self._page()
        await self._write_stored(page)
        if len(page) == _PAGE:
            viewer.stale = True
        elif self._sent < newest:
            await self._await_replica()
        else:
            self._tries = 0
            viewer.stale = viewer.stale or viewer.backlog.overflowed

    async def _page(self) -> list[StoredMessage]:
        try:
            return await self._history.after(self._pattern, self._sent, limit=_PAGE)
        except TransientError as error:
            _log.warning("history_unavailable", pattern=self._pattern, error=str(error))
            self._viewer.stale = True
            await self._clock.sleep(_RETRY_S)
        except PermanentError as error:
            _log.error("history_refused", pattern=self._pattern, error=str(error))
            self._viewer.end("unavailable")
        return []

    async def _await_replica(self) -> None:
        """A reading counts only if it holds what the feed has brought: a replica may lag."""
        self._viewer.stale = True
        self._tries += 1
        if self._tries > _LAG_TRIES:
            self._viewer.end("lagged")
        else:
            await self._clock.sleep(_LAG_S)

    async def _write_stored(self, messages: Sequence[StoredMessage]) -> None:
        for begin in range(0, len(messages), _CHUNK):
            if self._viewer.ending is None:
                chunk = messages[begin : begin + _CHUNK]
                await self._write_frames([self._frame(message) for message in chunk])

    def _frame(self, message: StoredMessage) -> Frame:
        return frames.durable(
            message.subject, message.data, sequence=message.sequence, epoch=self._epoch
        )

    async def _write_frames(self, waiting: Sequence[Frame]) -> None:
        chosen = unsent(waiting, self._sent)
        self._sent = chosen.sequence
        if chosen.data:
            await self._write(chosen.data)
        if chosen.over:
            self._viewer.end("ended")

    async def _say_why(self) -> None:
        match self._viewer.ending:
            case None | "gone" | "stuck" | "refused":
                pass
            case "lagged":
                await self._write(frames.notice("stream.lagged", "too_slow"))
            case reason:
                await self._write(frames.notice("bye", reason))
