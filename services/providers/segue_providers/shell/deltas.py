"""Deltas: how does an answer reach those who watch it being written?"""

from collections.abc import Awaitable, Callable

import structlog
from msgspec import structs

from segue_contracts.v1.chat import ChatResponse, ErrorClass
from segue_contracts.v1.deltas import (
    AttemptReset,
    Delta,
    DeltaEnd,
    DeltaError,
    PartDelta,
    PartStart,
)
from segue_shared.clock import Clock
from segue_shared.errors import TransientError

_log = structlog.get_logger()

Send = Callable[[Delta], Awaitable[None]]


async def nowhere(_delta: Delta) -> None:
    """Drop a delta that nobody asked for."""


class DeltaStream:
    """Numbers and times the deltas of one request, and ends them once.

    Args:
        request: The request's id.
        send: Publishes a delta.
        clock: Where time comes from.
    """

    def __init__(self, request: str, *, send: Send, clock: Clock) -> None:
        self._request = request
        self._send = send
        self._clock = clock
        self._began = clock.monotonic()
        self._sequence = 0
        self.attempt = 1
        """The router's attempt that is being streamed."""
        self.spoken = False
        """Whether anything of the answer was shown in this attempt."""
        self.first_ms = 0.0
        """When that was, milliseconds after the request began."""

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request began."""
        return round((self._clock.monotonic() - self._began) * 1000, 3)

    async def emit(self, delta: Delta) -> None:
        """Publish a delta; one that cannot be sent is lost, the answer is not."""
        if isinstance(delta, PartStart | PartDelta) and not self.spoken:
            self.spoken = True
            self.first_ms = self.elapsed_ms
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
        except TransientError as error:
            _log.info("delta_lost", request=self._request, reason=str(error))

    async def restart(self, reason: str) -> None:
        """Begin the next attempt; what was shown is void."""
        self.attempt += 1
        if self.spoken:
            self.spoken = False
            await self.emit(AttemptReset(request=self._request, reason=reason))

    async def end(self, response: ChatResponse) -> None:
        """Say that the answer is complete."""
        await self.emit(
            DeltaEnd(
                request=self._request,
                stop=response.stop,
                usage=response.usage,
                cost=response.cost,
            )
        )

    async def fail(self, error: ErrorClass, message: str) -> None:
        """Say that there will be no complete answer."""
        await self.emit(
            DeltaError(request=self._request, error=error, message=message, partial=self.spoken)
        )
