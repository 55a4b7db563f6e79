"""Watching: how does an answer come to the gateway while it is written?

Deltas are plain messages that may be lost. An answer counts as whole only when each delta came, the
last one says that it is complete, and the reply says so too.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog
from msgspec import structs
from nats.aio.msg import Msg

from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.deltas import AttemptReset, Delta, DeltaEnd, DeltaError, StepDelta
from segue_contracts.v1.registry import decode
from segue_gateway.core.openai.faults import FaultError, broken, of_broken, of_refused
from segue_shared.errors import RefusedError

Grant = Callable[[ChatRequest, int], Awaitable[None]]
"""Allows a request so many more deltas."""

_LATE_S: Final = 2.0
"""How long after its reply the end of a stream may come."""

_log = structlog.get_logger()


class Watch:
    """One answer in the making.

    Args:
        request: What was asked; it says how many deltas may be on their way.
        grant: Allows more of them.
    """

    def __init__(self, request: ChatRequest, *, grant: Grant) -> None:
        self._request = request
        self._grant = grant
        self._queue: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._call: asyncio.Task[ChatResponse] | None = None
        self._next = 0
        self._taken = 0

    def follow(self, call: asyncio.Task[ChatResponse]) -> None:
        """Say which call it is."""
        self._call = call
        call.add_done_callback(lambda _: self._queue.put_nowait(None))

    async def on_message(self, message: Msg) -> None:
        """Take a delta; what cannot be read leaves a hole, which is noticed."""
        try:
            body = decode(decode_event(message.data))
        except UndecodableError as error:
            _log.warning("delta_unreadable", request=self._request.id, reason=str(error))
            return
        if isinstance(body, StepDelta) and self._queue.qsize() <= self._request.stream.credit:
            self._queue.put_nowait(body.delta)

    async def deltas(self) -> AsyncIterator[Delta]:
        """Yield what is new until the answer is complete; the next is asked for by going on.

        Raises:
            FaultError: The answer broke off.
            SegueError: There will be none.
        """
        while True:
            delta = await self._following()
            match delta:
                case DeltaEnd():
                    return
                case DeltaError():
                    raise await self._broken(delta)
                case AttemptReset():
                    raise broken("truncated", "the answer was begun anew after some of it was sent")
                case _:
                    yield delta
            await self._allow()

    async def response(self) -> ChatResponse:
        """Return the whole answer.

        Raises:
            SegueError: There is none.
        """
        assert self._call is not None  # noqa: S101 - it is followed before it is watched
        return await asyncio.shield(self._call)

    async def _following(self) -> Delta:
        delta = await self._queue.get()
        if delta is None:
            await self.response()
            delta = await self._late()
        if delta.seq != self._next:
            raise broken("delta_lost", "a part of the answer was lost on its way; ask again")
        self._next += 1
        return delta

    async def _late(self) -> Delta:
        """Return the delta that the reply has overtaken."""
        try:
            async with asyncio.timeout(_LATE_S):
                delta = await self._queue.get()
        except TimeoutError:
            delta = None
        if delta is None:
            raise broken("delta_lost", "the end of the answer was lost on its way; ask again")
        # The mark of the reply stays behind what the reply has overtaken.
        self._queue.put_nowait(None)
        return delta

    async def _allow(self) -> None:
        """Let as many deltas follow as were taken, some at a time."""
        self._taken += 1
        if self._taken >= max(self._request.stream.credit // 2, 1):
            await self._grant(self._request, self._taken)
            self._taken = 0

    async def _broken(self, delta: DeltaError) -> FaultError:
        """Return the fault of a broken stream: what the reply says, with the wait that is told."""
        told = of_broken(delta)
        try:
            await self.response()
        except RefusedError as error:
            refused = of_refused(error.refused)
            wait_s = refused.retry_after_s or told.retry_after_s
            return FaultError(structs.replace(refused, retry_after_s=wait_s))
        return FaultError(told)
