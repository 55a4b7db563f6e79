"""The wiring: how do the parts of the providers service come together?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from segue_contracts.v1.providers import ProviderList
from segue_contracts.v1.topology import MEMBERS, PAYLOADS, RUNS
from segue_providers.core.configuration import NamespaceRules
from segue_providers.core.fleet import Fleet
from segue_providers.core.standing import listed
from segue_providers.settings import Settings
from segue_providers.shell.cache import ExactCache
from segue_providers.shell.completions import Completions
from segue_providers.shell.configured import Configured
from segue_providers.shell.controls import Controls
from segue_providers.shell.handlers import Handlers
from segue_providers.shell.ledger import Ledger
from segue_providers.shell.llm_step import LlmStep
from segue_providers.shell.prober import Prober
from segue_providers.shell.rates import Rates
from segue_providers.shell.reporting import Reporter
from segue_providers.shell.router import Router, Stores
from segue_providers.shell.setup import Connect, connector
from segue_providers.shell.side import Side
from segue_providers.shell.table import Table
from segue_providers.shell.telling import SERVICE, SOURCE, Figures, Telling
from segue_shared.clock import rfc3339
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.members import Member, Members
from segue_shared.payloads import Payloads
from segue_shared.runtime import Runtime
from segue_worker.cancellations import Cancellations
from segue_worker.publisher import Publisher
from segue_worker.worker import Worker

if TYPE_CHECKING:
    import httpx2

_CHECKS_PER_WAIT: Final = 3


class LazyHttp:
    """The HTTP client that all providers share, made when the first needs it."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    def __call__(self) -> "httpx2.AsyncClient":
        """Return the client."""
        if self._client is None:
            from segue_providers.shell.http import (  # noqa: PLC0415 - its library takes 0.1 s
                http_client,
            )

            self._client = http_client()
        return self._client

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._client.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is there before anything is asked, and what all parts share."""

    settings: Settings
    runtime: Runtime
    fleet: Fleet
    """How everything fares."""
    configured: Configured
    """What is configured."""
    members: Members
    """The live instances of this service."""
    http: LazyHttp
    """The connections to providers."""
    draw: Callable[[], float]
    """Draws a random number from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of."""

    ground: Ground
    stores: Stores
    """What outlives a call."""
    router: Router
    """Answers requests."""
    handlers: Handlers
    """Answer commands."""
    worker: Worker
    """Settles tasks."""
    cancellations: Cancellations
    """Hears which work is no longer wanted."""
    controls: Controls
    """Hears what callers still say of their calls."""
    prober: Prober
    """Checks providers."""
    reporter: Reporter
    """Tells how providers fare."""


def ground(
    settings: Settings,
    runtime: Runtime,
    *,
    connect: Connect | None,
    environ: Mapping[str, str],
    draw: Callable[[], float],
) -> Ground:
    """Configure the service.

    Args:
        settings: Its settings.
        runtime: What its process gives it.
        connect: Makes the clients of providers, instead of their adapters.
        environ: The environment, in which keys are.
        draw: Draws a random number from 0 to 1.

    Raises:
        InvalidSettingsError: The configuration is bad.
    """
    fleet, http = Fleet(), LazyHttp()
    configured = Configured(
        file=settings.providers_file,
        environ=environ,
        offline=settings.providers_offline,
        fleet=fleet,
        clock=runtime.clock,
        connect=connect or connector(http),
        look=Table(runtime.clock.now_ms).look,
    )
    configured.load()
    return Ground(
        settings=settings,
        runtime=runtime,
        fleet=fleet,
        configured=configured,
        members=_members(runtime),
        http=http,
        draw=draw,
    )


def wire(on: Ground, *, completions: Completions | None = None) -> Parts:
    """Wire the service.

    Args:
        on: What is there.
        completions: Where answers are kept, instead of the broker.
    """
    runtime, controls = on.runtime, Controls()
    stores, telling = _stores(on, completions), _telling(on)
    router = Router(
        on.configured,
        fleet=on.fleet,
        stores=stores,
        controls=controls,
        telling=telling,
        bus=runtime.bus,
        clock=runtime.clock,
        ids=runtime.ids,
        timeout_s=on.settings.providers_timeout_s,
        draw=on.draw,
        tracer=runtime.tracer,
    )
    cancellations = Cancellations()
    return Parts(
        ground=on,
        stores=stores,
        router=router,
        handlers=_handlers(on, router, stores),
        worker=_worker(on, router, stores, cancellations),
        cancellations=cancellations,
        controls=controls,
        prober=Prober(on.configured, on.fleet, clock=runtime.clock, draw=on.draw, telling=telling),
        reporter=Reporter(partial(_status, on), telling=telling, clock=runtime.clock),
    )


def _stores(on: Ground, completions: Completions | None) -> Stores:
    bus, clock, ids = on.runtime.bus, on.runtime.clock, on.runtime.ids
    payloads = Payloads(bus, PAYLOADS)

    def rules_of(namespace: str) -> NamespaceRules:
        return on.configured.current.catalogue.rules(namespace)

    return Stores(
        completions=completions or Completions(bus, payloads=payloads, clock=clock, ids=ids),
        cache=ExactCache(bus, payloads=payloads, clock=clock, rules_of=rules_of),
        ledger=Ledger(bus, clock=clock, ids=ids, instance=on.settings.instance, rules_of=rules_of),
        rates=Rates(bus, clock=clock, live=lambda: len(on.members.live)),
        payloads=payloads,
    )


def _telling(on: Ground) -> Telling:
    return Telling(
        on.runtime.bus,
        clock=on.runtime.clock,
        ids=on.runtime.ids,
        figures=Figures(on.runtime.metrics.registry),
        namespace=on.settings.namespace,
        instance=on.settings.instance,
    )


def _handlers(on: Ground, router: Router, stores: Stores) -> Handlers:
    side = Side(
        on.configured,
        fleet=on.fleet,
        ledger=stores.ledger,
        router=router,
        clock=on.runtime.clock,
        ids=on.runtime.ids,
        draw=on.draw,
    )
    return Handlers(
        router,
        side=side,
        ledger=stores.ledger,
        payloads=stores.payloads,
        status=partial(_status, on),
    )


def _worker(on: Ground, router: Router, stores: Stores, cancellations: Cancellations) -> Worker:
    runtime, bus = on.runtime, on.runtime.bus
    return Worker(
        LlmStep(router, stores.payloads),
        runtime=runtime,
        publisher=Publisher(bus, clock=runtime.clock, ids=runtime.ids, source=SOURCE),
        journal=Journal(bus, RUNS),
        cancellations=cancellations,
        check_s=on.settings.ack_wait_s / _CHECKS_PER_WAIT,
    )


def _members(runtime: Runtime) -> Members:
    me = Member(
        service=SERVICE,
        instance=runtime.settings.instance,
        started_at=rfc3339(runtime.clock.now_ms()),
    )
    return Members(KeyValue(runtime.bus, MEMBERS), me=me, clock=runtime.clock)


def _status(on: Ground) -> ProviderList:
    setup = on.configured.current
    return listed(
        setup.catalogue,
        on.fleet,
        now_ms=on.runtime.clock.now_ms(),
        digest=setup.digest,
        refused=on.configured.refused,
        instance=on.settings.instance,
    )
