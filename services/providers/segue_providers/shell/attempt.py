"""An attempt: how does one try at one provider go, and what did it use?"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog
from msgspec import structs

from segue_contracts.v1.chat import CallAttempt, ChatRequest
from segue_contracts.v1.deltas import Delta
from segue_contracts.v1.metering import Cost, Usage
from segue_providers.core.answer import Alive
from segue_providers.core.assembly import Assembly, MalformedAnswerError, deltas_of
from segue_providers.core.catalogue import Target
from segue_providers.core.configuration import Timeouts
from segue_providers.core.usage import estimate
from segue_providers.shell.ports import ModelCallError, ModelClient

_log = structlog.get_logger()

Show = Callable[[Iterable[Delta]], Awaitable[None]]
"""Shows more of the answer; waits while its reader is slow."""


class Attempt:
    """One try at one provider.

    It is read in two stretches: up to the first word of an answer, after which it alone is shown,
    and from there to the end. Time that a slow reader takes is not held against the provider.

    Args:
        target: Who is asked.
        request: What is asked, with the target's own name of the model.
        client: The provider.
        timeouts: How long it may take.
        deadline: When the whole call gives up, on the event loop's clock.
    """

    def __init__(
        self,
        target: Target,
        request: ChatRequest,
        *,
        client: ModelClient,
        timeouts: Timeouts,
        deadline: float,
    ) -> None:
        self.target: Final = target
        self.assembly: Final = Assembly()
        self.first_ms = 0.0
        """Milliseconds to the first word; 0 while there is none."""
        self._request = request
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended = 0.0
        self._deadline = deadline
        self._own_deadline = min(deadline, self._began + timeouts.total_s)
        self._held: list[Delta] = []
        self._events = client.answer(request)

    @property
    def total_ms(self) -> float:
        """Milliseconds it took, or has taken so far."""
        return round(((self._ended or self._loop.time()) - self._began) * 1000, 3)

    async def begin(self) -> None:
        """Read up to the first word of the answer.

        Raises:
            ModelCallError: There is none.
        """
        await self._read(self._hold, until_spoken=True)

    async def finish(self, show: Show) -> None:
        """Show what there is, and read on to the end.

        Raises:
            ModelCallError: The answer broke off.
        """
        await self._read(show, until_spoken=False)

    async def close(self) -> None:
        """End the connection, if there still is one."""
        self._ended = self._ended or self._loop.time()
        await self._events.aclose()

    def usage(self) -> Usage:
        """Return what it used: as the provider counted, as far as it counted, or as estimated."""
        told = self.assembly.usage
        if told is not None:
            whole = self.assembly.stopped is not None
            return told if whole else structs.replace(told, source="partial")
        if not self.assembly.spoken:
            return Usage(source="estimated")
        return estimate(self._request, self.assembly.message())

    def told(self, error: ModelCallError | None, *, number: int, cost: Cost) -> CallAttempt:
        """Return the record of the try."""
        done = CallAttempt(
            number=number,
            provider=self.target.provider,
            model=self.assembly.began.model or self.target.model,
            total_ms=self.total_ms,
            usage=self.usage(),
            cost=cost,
        )
        if error is None:
            return done
        return structs.replace(
            done, error=error.error, message=str(error), http_status=error.http_status
        )

    async def _hold(self, deltas: Iterable[Delta]) -> None:
        self._held.extend(deltas)

    async def _read(self, show: Show, *, until_spoken: bool) -> None:
        limit = asyncio.timeout_at(self._due())
        try:
            async with limit:
                await self._pull(show, limit, until_spoken=until_spoken)
        except TimeoutError as error:
            if not limit.expired():
                raise _broken(error) from error
            raise self._late() from error
        except ModelCallError:
            raise
        except MalformedAnswerError as error:
            raise ModelCallError("server_error", f"its answer makes no sense: {error}") from error
        except Exception as error:
            raise _broken(error) from error

    async def _pull(self, show: Show, limit: asyncio.Timeout, *, until_spoken: bool) -> None:
        assembly, stream, provider = self.assembly, self._request.stream, self.target.provider
        if not until_spoken and not await self._shown(show, limit):
            return
        async for event in self._events:
            _put_off(limit, self._own_deadline)
            assembly.take(event)
            if not isinstance(event, Alive):
                await show(deltas_of(event, assembly, provider=provider, stream=stream))
            if assembly.spoken and not self.first_ms:
                self.first_ms = self.total_ms
            if until_spoken and assembly.spoken:
                return
            _put_off(limit, self._due())
        self._ended = self._loop.time()
        if assembly.stopped is None:
            raise ModelCallError("truncated", "the answer ended without the provider's own end")

    async def _shown(self, show: Show, limit: asyncio.Timeout) -> bool:
        """Show what was held back, and tell whether there is more to come."""
        held, self._held = self._held, []
        limit.reschedule(self._own_deadline)
        await show(held)
        limit.reschedule(self._due())
        return not self._ended

    def _due(self) -> float:
        """Return when the next event must be there at the latest."""
        if not self._request.stream.on:
            return self._own_deadline
        if self.assembly.spoken:
            patience = self._loop.time() + self._timeouts.idle_s
        else:
            patience = self._began + self._timeouts.first_token_s
        return min(patience, self._own_deadline)

    def _late(self) -> ModelCallError:
        """Return which patience ended."""
        if self._loop.time() >= self._deadline:
            return ModelCallError("timeout_total", "the call's deadline passed")
        if self._loop.time() >= self._own_deadline:
            seconds = self._timeouts.total_s
            return ModelCallError("timeout_first_token", f"no whole answer within {seconds:g} s")
        if self.assembly.spoken:
            seconds = self._timeouts.idle_s
            return ModelCallError("timeout_idle", f"nothing came for {seconds:g} s")
        seconds = self._timeouts.first_token_s
        return ModelCallError("timeout_first_token", f"no first word within {seconds:g} s")


def _put_off(limit: asyncio.Timeout, when: float) -> None:
    if limit.when() != when:
        limit.reschedule(when)


def _broken(error: Exception) -> ModelCallError:
    """Return what an error means that an adapter should have told otherwise."""
    _log.error("adapter_broke", exc_info=error)
    return ModelCallError("server_error", f"its adapter broke down ({type(error).__name__})")
