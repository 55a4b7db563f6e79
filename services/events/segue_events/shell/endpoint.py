"""The endpoint: how does a request become a stream?"""

import asyncio
from typing import Final

import structlog

from segue_events.core import frames, problems, request, resume
from segue_events.core.problems import ProblemError
from segue_events.core.request import StreamRequest
from segue_events.core.resume import Bounds, Start
from segue_events.settings import Settings
from segue_events.shell.asgi import (
    EventStream,
    StuckError,
    answer,
    headers_of,
    until_gone,
)
from segue_events.shell.follower import Follower
from segue_events.shell.hub import Hub
from segue_events.shell.ports import History, OpenHistory
from segue_events.shell.viewer import Viewer
from segue_shared.clock import Clock
from segue_shared.errors import SegueError
from segue_shared.http import Message, Receive, Send
from segue_shared.ids import Ids
from segue_shared.journal import StoredMessage

_log = structlog.get_logger()

_UNAVAILABLE: Final = "the journal does not answer; come back in a moment"


class Endpoint:
    """The ASGI application `GET /v1/runs/{run}/stream`."""

    def __init__(
        self, settings: Settings, *, hub: Hub, history: OpenHistory, clock: Clock, ids: Ids
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._open_history = history
        self._clock = clock
        self._ids = ids

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._serve(self._read(scope), receive, send)
        except ProblemError as problem:
            await answer(send, problem)

    def _read(self, scope: Message) -> StreamRequest:
        wanted = request.read(
            scope["path"],
            scope["query_string"].decode("latin-1"),
            headers_of(scope),
            namespace=self._settings.namespace,
        )
        if scope["method"] != "GET":
            raise ProblemError(
                problems.METHOD_NOT_ALLOWED, "method_not_allowed", "a stream is read with GET"
            )
        return wanted

    async def _serve(self, wanted: StreamRequest, receive: Receive, send: Send) -> None:
        viewer = self._hub.join(wanted.namespace, wanted.run, deltas=wanted.deltas)
        gone = asyncio.create_task(until_gone(receive))
        gone.add_done_callback(lambda _: viewer.end("gone"))
        try:
            await self._stream(wanted, viewer, send)
        except StuckError:
            viewer.end("stuck")
        except ProblemError:
            viewer.end("refused")
            raise
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            self._hub.leave(viewer)
            _log.debug("viewer_left", run=wanted.run, why=viewer.ending)

    async def _stream(self, wanted: StreamRequest, viewer: Viewer, send: Send) -> None:
        epoch = self._hub.epoch
        history = self._open_history()
        first, start = await self._look_up(wanted, viewer, history)
        stream = EventStream(send, write_timeout_s=self._settings.write_timeout_s)
        follower = Follower(
            viewer,
            history,
            pattern=wanted.pattern,
            epoch=epoch,
            clock=self._clock,
            write=stream.write,
        )
        await stream.open()
        await stream.write(self._opening(start))
        await follower.run(first, after=start.after)
        await stream.close()

    async def _look_up(
        self, wanted: StreamRequest, viewer: Viewer, history: History
    ) -> tuple[list[StoredMessage], Start]:
        """Read the run's history, after the viewer has joined, and where in it to begin."""
        try:
            first = await history.last([wanted.pattern])
            start = await _start(wanted, history)
        except SegueError as error:
            _log.warning("stream_unavailable", run=wanted.run, error=str(error))
            raise ProblemError(problems.UNAVAILABLE, "unavailable", _UNAVAILABLE) from error
        if not first and not viewer.newest:
            raise ProblemError(
                problems.NOT_FOUND,
                "not_found",
                f"there is no run {wanted.run} in namespace {wanted.namespace}",
            )
        return first, start

    def _opening(self, start: Start) -> bytes:
        opening = frames.retry(self._settings.retry_ms, self._ids.unique())
        if start.reset:
            opening += frames.notice("stream.reset", start.reset)
        return opening


async def _start(wanted: StreamRequest, history: History) -> Start:
    if wanted.cursor is None:
        return Start()
    bounds = Bounds(
        await history.epoch(), await history.first_sequence(), await history.last_sequence()
    )
    return resume.start(wanted.cursor, bounds)
