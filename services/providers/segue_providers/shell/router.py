"""The router: how is a request answered once, whoever asks how often?

A request with an id is answered under a claim, so that a repetition gets the same answer. An equal
request that may share an answer gets one from the cache, or follows the one in flight. All others
become a call.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import CallAttempt, ChatRequest, ChatResponse
from segue_contracts.v1.deltas import Delta
from segue_providers.core.attempts import unanswerable
from segue_providers.core.filters import InvalidRouteError, Moment
from segue_providers.core.fingerprint import shared
from segue_providers.core.fleet import Fleet
from segue_providers.core.routing import Decision, decide
from segue_providers.core.usage import expected_input
from segue_providers.shell.cache import ExactCache
from segue_providers.shell.call import Call
from segue_providers.shell.coalescing import Coalescing
from segue_providers.shell.completions import Claim, Completions
from segue_providers.shell.configured import Configured
from segue_providers.shell.controls import Controls
from segue_providers.shell.deltas import DeltaStream, Send
from segue_providers.shell.hedging import Hedges
from segue_providers.shell.ledger import Ledger
from segue_providers.shell.lines import Lines
from segue_providers.shell.meter import Bill, Meter
from segue_providers.shell.opening import opened
from segue_providers.shell.rates import Rates
from segue_providers.shell.setup import Setup
from segue_providers.shell.telling import Telling
from segue_providers.shell.watching import relayed, sender_of, show_whole
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError
from segue_shared.ids import Ids
from segue_shared.refusals import invalid
from segue_shared.tracing import Tracer
from segue_worker.ports import EventBus, PayloadStore

_LEAST_WAIT_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What outlives a call."""

    completions: Completions
    """Answers by the ids of their requests."""
    cache: ExactCache
    """Answers by what was asked."""
    ledger: Ledger
    """Who spent what."""
    rates: Rates
    """What may be asked of whom in a minute."""
    payloads: PayloadStore
    """Values that are too large for a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is being answered."""

    request: ChatRequest
    namespace: str
    deadline_ms: int
    """When it gives up, Unix milliseconds."""
    setup: Setup
    """What was configured when it came."""
    send: Send | None
    """Who watches; None when nobody does."""


class Router:
    """Answers requests with whoever can.

    Args:
        configured: What is configured.
        fleet: How everything fares.
        stores: What outlives a call.
        controls: What callers still say of calls that run.
        telling: Tells of what happens.
        bus: Where deltas go.
        clock: Time.
        ids: New names.
        timeout_s: Seconds a request may take when it sets no earlier deadline.
        draw: Draws a random number from 0 to 1.
        tracer: Who records spans; OpenTelemetry's own when none is named.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        configured: Configured,
        *,
        fleet: Fleet,
        stores: Stores,
        controls: Controls,
        telling: Telling,
        bus: EventBus,
        clock: Clock,
        ids: Ids,
        timeout_s: float,
        draw: Callable[[], float],
        tracer: Tracer | None = None,
    ) -> None:
        self._configured = configured
        self._fleet = fleet
        self._stores = stores
        self._controls = controls
        self._telling = telling
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._timeout_s = timeout_s
        self._draw = draw
        self._tracer = tracer
        self._hedges = Hedges()
        self._flights: Coalescing[Delta, ChatResponse] = Coalescing()

    async def chat(self, request: ChatRequest, *, namespace: str) -> ChatResponse:
        """Answer a request.

        Args:
            request: What is asked.
            namespace: Whose run it belongs to; its deltas and telemetry go there.

        Raises:
            RefusedError: The request is not valid, nobody can serve it, or nobody answered.
            TransientError: The broker does not answer, so that it may be asked again.
        """
        named = request if request.id else structs.replace(request, id=self._ids.unique())
        whole = await opened(named, self._stores.payloads)
        try:
            async with self._configured.lease() as setup:
                work = self._controlled(whole, namespace, setup, claimed=bool(request.id))
                response = await work
        except BaseException:
            self._telling.unanswered()
            raise
        self._telling.answered(response)
        return response

    async def explain(self, request: ChatRequest, *, namespace: str) -> Decision:
        """Return how a request would be routed now.

        Raises:
            RefusedError: It has no messages, or one of its options cannot be.
        """
        whole = await opened(request, self._stores.payloads)
        async with self._configured.lease() as setup:
            return self._decided(self._asked(whole, namespace, setup, None), expected_input(whole))

    async def _controlled(
        self, request: ChatRequest, namespace: str, setup: Setup, *, claimed: bool
    ) -> ChatResponse:
        """Answer a request that its caller may still take back."""
        reasons: list[str] = []
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()

        def cancel(reason: str) -> None:
            if task is not None and not reasons:
                reasons.append(reason)
                task.cancel()

        with self._controls.of(request, cancel) as credit:
            send = sender_of(
                request,
                namespace,
                bus=self._bus,
                credit=credit,
                stamp=self._telling.stamp,
            )
            asked = self._asked(request, namespace, setup, send)
            try:
                response = await self._once(asked, claimed=claimed)
                if reasons:
                    await asyncio.sleep(0)  # where a cancel arrives that came just before the end
            except asyncio.CancelledError:
                # Somebody else may have cancelled it too, who then is to be obeyed.
                if not reasons or (task is not None and task.uncancel() > before):
                    raise
                raise RefusedError(_given_up(reasons[0])) from None
            return response

    def _asked(
        self, request: ChatRequest, namespace: str, setup: Setup, send: Send | None
    ) -> Asked:
        latest = self._clock.now_ms() + round(self._timeout_s * 1000)
        return Asked(
            request=request,
            namespace=namespace,
            deadline_ms=min(request.deadline_ms or latest, latest),
            setup=setup,
            send=send,
        )

    async def _once(self, asked: Asked, *, claimed: bool) -> ChatResponse:
        """Answer a request, but not twice."""
        if not claimed:
            return await self._shared(asked)
        completions = self._stores.completions
        claim = await completions.claim(
            asked.namespace, asked.request, deadline_ms=asked.deadline_ms
        )
        if isinstance(claim, ChatResponse):
            await show_whole(claim, asked.request, self._deltas(asked))
            return claim
        keeping = asyncio.create_task(completions.keep(claim))
        try:
            response = await self._shared(asked)
            ttl_s = asked.setup.catalogue.configuration.completion_ttl_s
            return await completions.store(claim, response, ttl_s=ttl_s)
        except BaseException:
            await self._released(claim)
            raise
        finally:
            keeping.cancel()

    async def _released(self, claim: Claim) -> None:
        """Let others answer; a claim that cannot be given up lapses by itself."""
        with contextlib.suppress(Exception):
            await asyncio.shield(self._stores.completions.release(claim))

    async def _shared(self, asked: Asked) -> ChatResponse:
        """Answer a request, with somebody else's answer where that is allowed."""
        request, cache = asked.request, self._stores.cache
        key = cache.key_of(asked.namespace, request)
        if not key:
            return await self._call(asked)
        found = await cache.find(key, request)
        if found is not None:
            await show_whole(found, request, self._deltas(asked))
            return found

        async def lead(tell: Send) -> ChatResponse:
            response = await self._call(replace(asked, send=tell))
            ttl_s = request.cache.ttl_s or asked.setup.catalogue.configuration.cache_ttl_s
            if not asked.setup.catalogue.entries[response.provider].stand_in:
                # A stand-in's answer is not kept in a model's place.
                await cache.keep(key, response, ttl_s=ttl_s)
            return response

        response, led = await self._flights.run(key, lead, relayed(request, asked.send))
        return response if led else shared(response, request, "coalesced")

    async def _call(self, asked: Asked) -> ChatResponse:
        request, setup = asked.request, asked.setup
        bill = Bill(
            namespace=asked.namespace,
            deadline_ms=asked.deadline_ms,
            input_tokens=expected_input(request),
        )
        decision = await self._routed(asked, bill.input_tokens)
        lines = Lines(
            setup,
            self._fleet,
            Meter(self._stores.ledger, self._stores.rates, setup.prices),
            bill=bill,
            clock=self._clock,
            draw=self._draw,
            tracer=self._tracer,
        )
        call = Call(
            request,
            decision,
            lines=lines,
            deltas=self._deltas(asked),
            hedges=self._hedges,
            clock=self._clock,
        )

        async def tell(record: CallAttempt, then: str) -> None:
            await self._telling.tried(request, record, then, namespace=asked.namespace)
            await self._telling.breakers(self._fleet)

        return await call.run(seconds=self._left_s(asked), tell=tell)

    async def _routed(self, asked: Asked, input_tokens: int) -> Decision:
        """Return how a request is routed, once somebody can serve it.

        When everybody rests, this waits for whoever may serve first, if the deadline allows.

        Raises:
            RefusedError: Nobody can serve it in time.
        """
        while True:
            decision = self._decided(asked, input_tokens)
            await self._telling.route(asked.request, decision, asked.namespace)
            if decision.targets:
                return decision
            wait_s = (decision.retry_at_ms - self._clock.now_ms()) / 1000
            if not decision.retry_at_ms or wait_s >= self._left_s(asked):
                raise RefusedError(unanswerable(decision))
            await self._clock.sleep(max(wait_s, _LEAST_WAIT_S))

    def _decided(self, asked: Asked, input_tokens: int) -> Decision:
        moment = Moment(
            now_ms=self._clock.now_ms(),
            draw=self._draw(),
            namespace=asked.namespace,
            input_tokens=input_tokens,
        )
        try:
            return decide(asked.request, asked.setup.catalogue, self._fleet, moment)
        except InvalidRouteError as error:
            raise RefusedError(invalid(str(error))) from error

    def _deltas(self, asked: Asked) -> DeltaStream:
        return DeltaStream(asked.request.id, send=asked.send, clock=self._clock)

    def _left_s(self, asked: Asked) -> float:
        return max((asked.deadline_ms - self._clock.now_ms()) / 1000, 0)


def _given_up(reason: str) -> Refused:
    message = f"the call was given up: {reason}"
    return Refused(code="provider_failed", message=message, details={"error": "cancelled"})
