"""The router: how is a request answered, streamed and accounted for?"""

from collections.abc import Mapping, Sequence

import structlog
from msgspec import structs
from prometheus_client import CollectorRegistry, Counter

from segue_contracts.envelope import Message, encode
from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.commands import ProviderList, ProviderState
from segue_contracts.v1.deltas import Delta, StepDelta
from segue_contracts.v1.events import make_event
from segue_contracts.v1.telemetry import RouteDecided
from segue_providers.core.attempts import unanswerable
from segue_providers.core.route import Decision, Provider, decide, obstacle, way_out
from segue_providers.shell.call import Call
from segue_providers.shell.deltas import DeltaStream, Send, nowhere
from segue_providers.shell.ports import ModelClient
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import Ids
from segue_worker.ports import EventBus

_log = structlog.get_logger()

SERVICE = "providers"
SOURCE = f"segue/{SERVICE}"


class Router:
    """Answers requests with whoever can.

    Args:
        providers: All providers, by priority.
        clients: The clients of those that have an adapter and what it needs.
        timeout_s: Seconds a request may take when it sets no earlier deadline.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        providers: Sequence[Provider],
        clients: Mapping[str, ModelClient],
        *,
        bus: EventBus,
        clock: Clock,
        ids: Ids,
        timeout_s: float,
        registry: CollectorRegistry,
    ) -> None:
        self._providers = providers
        self._clients = clients
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._timeout_s = timeout_s
        self._calls = Counter(
            "segue_model_calls_total",
            "Requests by who answered; `none` when nobody did.",
            ["provider"],
            registry=registry,
        )

    def status(self) -> ProviderList:
        """Tell which providers could serve a call now."""
        return ProviderList(
            providers=[
                ProviderState(name=one.name, available=not obstacle(one), reason=obstacle(one))
                for one in self._providers
            ]
        )

    async def chat(self, request: ChatRequest, *, namespace: str) -> ChatResponse:
        """Answer a request.

        Args:
            request: What is asked.
            namespace: Whose run it belongs to; its deltas and telemetry go there.

        Raises:
            RefusedError: The request is not valid, nobody can serve it, or nobody answered.
        """
        named = request if request.id else structs.replace(request, id=self._ids.unique())
        send = self._sender(named, namespace)
        decision = decide(named, self._providers)
        await self._tell(named, decision, namespace)
        if not decision.targets:
            self._calls.labels("none").inc()
            raise RefusedError(unanswerable(way_out(decision, self._providers)))
        deltas = DeltaStream(named.id, send=send, clock=self._clock)
        call = Call(named, decision=decision, deltas=deltas)
        try:
            response = await call.run(self._clients, seconds=self._seconds_left(named))
        except BaseException:
            self._calls.labels("none").inc()
            raise
        self._calls.labels(response.provider).inc()
        return response

    def _seconds_left(self, request: ChatRequest) -> float:
        if not request.deadline_ms:
            return self._timeout_s
        left = (request.deadline_ms - self._clock.now_ms()) / 1000
        return max(min(left, self._timeout_s), 0)

    def _sender(self, request: ChatRequest, namespace: str) -> Send:
        """Return how the request's deltas are published.

        Raises:
            RefusedError: The request lacks messages, or names a run or step that cannot be.
        """
        if not request.messages:
            raise RefusedError(_invalid("messages: at least one is needed"))
        if not (request.run and request.step):
            return nowhere
        try:
            subjects.run_prefix(namespace, request.run)
            step = subjects.StepId(request.step)
            subject = subjects.delta(namespace, request.run, subjects.step_token(step))
        except subjects.SubjectError as error:
            raise RefusedError(_invalid(f"run, step: {error}")) from error
        if not request.stream.on:
            return nowhere

        async def send(delta: Delta) -> None:
            body = StepDelta(run=request.run, step=request.step, delta=delta)
            event_id = f"{request.id}/{delta.seq}"
            await self._bus.publish(subject, self._framed(body, request, event_id))

        return send

    async def _tell(self, request: ChatRequest, decision: Decision, namespace: str) -> None:
        body = RouteDecided(
            request=request.id,
            chosen=decision.targets[0].provider if decision.targets else "",
            requested=list(decision.requested),
            candidates=list(decision.candidates),
            run=request.run,
            step=request.step,
        )
        subject = subjects.telemetry(namespace, SERVICE, "router", "route_decided")
        try:
            await self._bus.publish(subject, self._framed(body, request, self._ids.unique()))
        except TransientError as error:
            _log.info("telemetry_lost", request=request.id, reason=str(error))

    def _framed(self, body: Message, request: ChatRequest, event_id: str) -> bytes:
        about = "/".join(part for part in (request.run, request.step) if part) or request.id
        time = rfc3339(self._clock.now_ms())
        return encode(make_event(body, id=event_id, source=SOURCE, subject=about, time=time))


def _invalid(message: str) -> Refused:
    return Refused(code="invalid_request", message=message)
