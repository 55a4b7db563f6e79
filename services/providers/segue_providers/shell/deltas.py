"""Deltas: how does an answer reach those who watch it being written?

Nothing is sent before the first word of an answer, so that another provider can still step in
unnoticed. After it, what comes within 20 ms is sent together: watchers see no difference, and the
bus carries a fraction of the messages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog
from msgspec import UNSET, UnsetType, structs

from segue_contracts.v1.chat import ChatResponse, ErrorClass
from segue_contracts.v1.deltas import (
    AttemptReset,
    Delta,
    DeltaEnd,
    DeltaError,
    DeltaStart,
    Heartbeat,
    PartDelta,
    PartStart,
    UsageDelta,
)
from segue_contracts.v1.metering import Usage
from segue_shared.clock import Clock
from segue_shared.errors import SegueError

TOGETHER_S: Final = 0.02
"""Seconds for which further text is kept to be sent together."""
TOGETHER_CHARS: Final = 512
"""Characters of text that are sent without further waiting."""

_log = structlog.get_logger()

Send = Callable[[Delta], Awaitable[None]]
"""Publishes a delta; may wait for the caller's credit."""


class DeltaStream:
    """Numbers and times the deltas of one request, and ends them once.

    Args:
        request: The request's id.
        send: Publishes a delta; None when nobody watches.
        clock: Where time comes from.
    """

    def __init__(self, request: str, *, send: Send | None, clock: Clock) -> None:
        self._request = request
        self._send = send
        self._clock = clock
        self._began = clock.monotonic()
        self._sequence = 0
        self._held: list[Delta] = []
        self._text: PartDelta | None = None
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self.attempt = 1
        """The router's attempt that is being streamed."""
        self.shown = False
        """Whether anything of the answer was shown in this attempt."""

    @property
    def watched(self) -> bool:
        """Whether anybody is shown anything."""
        return self._send is not None

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request began."""
        return round((self._clock.monotonic() - self._began) * 1000, 3)

    async def show(self, deltas: Iterable[Delta]) -> None:
        """Show more of an answer."""
        if self._send is None:
            return
        for delta in deltas:
            await self._show(delta)

    async def restart(self, reason: str) -> None:
        """Begin the next attempt; what was shown is void."""
        self._drop()
        self.attempt += 1
        if self.shown:
            self.shown = False
            await self._emit(AttemptReset(request=self._request, reason=reason))

    async def beat(self) -> None:
        """Say that the provider is still being waited for."""
        await self._emit(Heartbeat(request=self._request))

    async def end(self, response: ChatResponse) -> None:
        """Say that the answer is complete."""
        await self._release()
        await self._flush()
        await self._emit(
            DeltaEnd(
                request=self._request,
                stop=response.stop,
                usage=response.usage,
                cost=response.cost,
            )
        )

    async def fail(
        self,
        error: ErrorClass,
        message: str,
        *,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Say that there will be no complete answer; what was not sent yet is not waited for."""
        self._drop()
        await self._emit(
            DeltaError(
                request=self._request,
                error=error,
                message=message,
                retry_after_ms=int((retry_after_s or 0) * 1000),
                partial=self.shown,
                usage=usage or Usage(),
            )
        )

    async def _show(self, delta: Delta) -> None:
        if not self.shown:
            self._held.append(delta)
            if not isinstance(delta, DeltaStart | PartStart | UsageDelta):
                await self._release()
            return
        if not isinstance(delta, PartDelta):
            await self._flush()
            await self._emit(delta)
            return
        await self._gather(delta)

    async def _release(self) -> None:
        """Send what was held back until the first word."""
        held, self._held = self._held, []
        self.shown = self.shown or bool(held)
        for delta in held:
            await self._emit(delta)

    async def _gather(self, delta: PartDelta) -> None:
        """Send text at once when none was sent lately; keep it for a moment otherwise."""
        together = _together(self._text, delta)
        if together is None:
            await self._flush()
            together = delta
        self._text = together
        due_s = self._sent_at + TOGETHER_S - self._clock.monotonic()
        if due_s <= 0 or _length(together) >= TOGETHER_CHARS:
            await self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(due_s, self._flush_soon)

    def _flush_soon(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._send_text())

    async def _flush(self) -> None:
        """Send the text that is kept, now."""
        self._stop_timer()
        await self._send_text()

    def _drop(self) -> None:
        """Forget what was not sent yet, also what waits for its reader."""
        self._stop_timer()
        self._held.clear()
        self._text = None
        if self._flushing is not None:
            self._flushing.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _send_text(self) -> None:
        text, self._text = self._text, None
        if text is not None:
            await self._emit(text)

    async def _emit(self, delta: Delta) -> None:
        """Publish a delta; one that cannot be sent is lost, the answer is not."""
        if self._send is None:
            return
        async with self._sending:
            stamped = structs.replace(
                delta,
                request=self._request,
                attempt=self.attempt,
                seq=self._sequence,
                t_ms=self.elapsed_ms,
            )
            self._sequence += 1
            try:
                await self._send(stamped)
            except SegueError as error:
                _log.info("delta_lost", request=self._request, reason=str(error))
            self._sent_at = self._clock.monotonic()


_FIELDS: Final = ("text", "args", "reasoning")


def _together(kept: PartDelta | None, more: PartDelta) -> PartDelta | None:
    """Return two deltas as one; None when they are of different parts or kinds."""
    if kept is None:
        return more
    if kept.index != more.index:
        return None
    for name in _FIELDS:
        before, after = getattr(kept, name), getattr(more, name)
        if not isinstance(before, UnsetType) and not isinstance(after, UnsetType):
            return structs.replace(kept, **{name: before + after})
    return None


def _length(delta: PartDelta) -> int:
    values = (getattr(delta, name) for name in _FIELDS)
    return sum(len(value) for value in values if value is not UNSET)
