"""Telling: what do others learn of routes, tries and breakers?

Whatever is told on the side is lost rather than waited for; the answer is not.
"""

from itertools import count
from typing import Final

import structlog
from msgspec import UnsetType
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from segue_contracts.envelope import Message, encode
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import CallAttempt, ChatRequest, ChatResponse
from segue_contracts.v1.events import make_event
from segue_contracts.v1.providers import ProviderList, ProvidersReported
from segue_contracts.v1.telemetry import BreakerChanged, ModelCalled, RouteDecided
from segue_providers.core.fleet import Fleet, Turned
from segue_providers.core.routing import Decision
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import TransientError
from segue_shared.ids import Ids
from segue_worker.ports import EventBus

SERVICE: Final = "providers"
SOURCE: Final = f"segue/{SERVICE}"

_log = structlog.get_logger()

_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)
_LET_THROUGH: Final = {"closed": 1.0, "ramping": 0.5, "half_open": 0.1, "open": 0.0}


class Figures:
    """What is counted of calls to models.

    Args:
        registry: Where the metrics are exposed.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "segue_model_calls_total",
            "Requests by who answered; `none` when nobody did.",
            ["provider"],
            registry=registry,
        )
        self._tries = Counter(
            "segue_model_tries_total",
            "Tries by provider, and how they ended.",
            ["provider", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "segue_model_try_seconds",
            "Seconds a try took that answered.",
            ["provider"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "segue_model_tokens_total",
            "Tokens by provider and direction.",
            ["provider", "direction"],
            registry=registry,
        )
        self._usd = Counter(
            "segue_model_cost_usd_total",
            "US dollars by provider, as far as prices are known.",
            ["provider"],
            registry=registry,
        )
        self._breakers = Gauge(
            "segue_model_breaker",
            "What a breaker lets through: 1 all, 0.5 a growing share, 0.1 probes, 0 nothing.",
            ["provider", "model"],
            registry=registry,
        )

    def called(self, provider: str) -> None:
        """Count a request by who answered it."""
        self._calls.labels(provider).inc()

    def tried(self, record: CallAttempt) -> None:
        """Count a try."""
        failed = not isinstance(record.error, UnsetType)
        self._tries.labels(record.provider, str(record.error) if failed else "answered").inc()
        if not failed:
            self._seconds.labels(record.provider).observe(record.total_ms / 1000)
        self._tokens.labels(record.provider, "input").inc(record.usage.input_total)
        self._tokens.labels(record.provider, "output").inc(record.usage.output_total)
        self._usd.labels(record.provider).inc(float(record.cost.usd))

    def turned(self, turned: Turned) -> None:
        """Note the state of a breaker."""
        lets = _LET_THROUGH[turned.change.state]
        self._breakers.labels(turned.target.provider, turned.target.model).set(lets)


class Telling:
    """Tells of the calls of this process.

    Args:
        bus: Where it is told.
        clock: For the time of events.
        ids: For the name of their series.
        figures: What is counted.
        namespace: The service's own namespace, for what belongs to no call.
        instance: Which instance tells it.
    """

    def __init__(
        self,
        bus: EventBus,
        *,
        clock: Clock,
        ids: Ids,
        figures: Figures,
        namespace: str,
        instance: str,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._series = ids.unique()
        self._numbers = count()
        self._figures = figures
        self._namespace = namespace
        self._instance = instance

    def stamp(self) -> str:
        """Return the time, RFC 3339 in UTC."""
        return rfc3339(self._clock.now_ms())

    async def route(self, request: ChatRequest, decision: Decision, namespace: str) -> None:
        """Tell how a request was routed."""
        body = RouteDecided(
            request=request.id,
            chosen=decision.targets[0].provider if decision.targets else "",
            requested=list(decision.requested),
            candidates=list(decision.candidates),
            run=request.run,
            step=request.step,
            policy=decision.policy,
        )
        await self._tell(
            body, "router", "route_decided", namespace=namespace, about=about_of(request)
        )

    async def tried(
        self, request: ChatRequest, record: CallAttempt, then: str, *, namespace: str
    ) -> None:
        """Tell how a try went, and what follows."""
        self._figures.tried(record)
        body = ModelCalled(
            request=request.id, call=record, run=request.run, step=request.step, then=then
        )
        about = about_of(request)
        await self._tell(body, "router", "model_called", namespace=namespace, about=about)

    async def breakers(self, fleet: Fleet) -> None:
        """Tell which breakers changed their state since this was told last."""
        for turned in fleet.turned():
            await self._turned(turned)

    async def _turned(self, turned: Turned) -> None:
        self._figures.turned(turned)
        change = turned.change
        body = BreakerChanged(
            provider=turned.target.provider,
            model=turned.target.model,
            state=change.state,
            before=change.before,
            reason=change.reason,
            instance=self._instance,
        )
        about = "/".join(turned.target)
        await self._tell(body, "breaker", change.state, namespace=self._namespace, about=about)

    async def report(self, state: ProviderList) -> None:
        """Tell how the providers fare."""
        await self._tell(
            ProvidersReported(state=state),
            "health",
            "reported",
            namespace=self._namespace,
            about=self._instance,
        )

    def answered(self, response: ChatResponse) -> None:
        """Count a request that was answered."""
        self._figures.called(response.provider)

    def unanswered(self) -> None:
        """Count a request that nobody answered."""
        self._figures.called("none")

    async def _tell(
        self, body: Message, name: str, event: str, *, namespace: str, about: str
    ) -> None:
        # A name of its own for each event would cost more than all else about it.
        event_id = f"{self._series}-{next(self._numbers)}"
        framed = make_event(body, id=event_id, source=SOURCE, subject=about, time=self.stamp())
        try:
            await self._bus.publish(
                subjects.telemetry(namespace, SERVICE, name, event), encode(framed)
            )
        except TransientError as error:
            _log.info("telemetry_lost", what=event, reason=str(error))


def about_of(request: ChatRequest) -> str:
    """Return what the events of a request are about: its run and step, else the request."""
    return "/".join(part for part in (request.run, request.step) if part) or request.id
