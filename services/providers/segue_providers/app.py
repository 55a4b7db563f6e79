"""The composition root: what is the providers service made of?"""

import asyncio
from collections.abc import Mapping
from typing import Final

from nats.aio.subscription import Subscription

from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.commands import ProviderList, ProvidersStatus
from segue_contracts.v1.registry import CHAT, PROVIDERS_STATUS, Command
from segue_contracts.v1.topology import LLM_POOL, PAYLOADS, RUNS, TELEMETRY
from segue_providers.settings import Settings
from segue_providers.shell.llm_step import LlmStep
from segue_providers.shell.ports import ModelClient
from segue_providers.shell.registry import connected, providers_of
from segue_providers.shell.router import SERVICE, SOURCE, Router
from segue_shared.commands import CommandServer, Context
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads
from segue_shared.runtime import Requires, Runtime
from segue_worker.cancellations import Cancellations
from segue_worker.pool import Pool
from segue_worker.publisher import Publisher
from segue_worker.worker import Worker

REQUIRES: Final = Requires(streams=(RUNS, TELEMETRY), object_buckets=(PAYLOADS,))
"""What the broker must have before the service starts."""

_CHECKS_PER_WAIT: Final = 3


class Providers:
    """The service: commands and the pool of LLM steps, over one router."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        *,
        router: Router,
        worker: Worker,
        cancellations: Cancellations,
    ) -> None:
        self.router: Final = router
        """Answers requests."""
        self.worker: Final = worker
        """Settles tasks."""
        self.cancellations: Final = cancellations
        """Hears which work is no longer wanted."""
        self._runtime = runtime
        self._commands = CommandServer(runtime)
        self._commands.add(CHAT, _everywhere(CHAT), self.chat)
        self._commands.add(PROVIDERS_STATUS, _everywhere(PROVIDERS_STATUS), self.status)
        self._pool = Pool(
            runtime,
            name=LLM_POOL,
            service=SERVICE,
            worker=worker,
            concurrency=settings.providers_concurrency,
        )
        self._hints: Subscription | None = None

    async def start(self) -> None:
        """Answer commands, and take tasks as soon as there is a pool."""
        await self._commands.start()
        self._hints = await self._runtime.bus.subscribe(
            subjects.controls("cancel"), self.cancellations.on_hint
        )
        self._pool.start()

    async def stop(self) -> None:
        """Take nothing new, and finish or give back what runs."""
        await asyncio.gather(self._commands.stop(), self._pool.stop())
        if self._hints is not None:
            await self._hints.unsubscribe()

    async def chat(self, request: ChatRequest, context: Context) -> ChatResponse:
        """Answer `providers.chat`."""
        return await self.router.chat(request, namespace=context.namespace)

    async def status(self, _request: ProvidersStatus, _context: Context) -> ProviderList:
        """Answer `providers.status`."""
        return self.router.status()


def build(
    settings: Settings, runtime: Runtime, *, clients: Mapping[str, ModelClient] | None = None
) -> Providers:
    """Wire the service.

    Args:
        settings: Its settings.
        runtime: What its process gives it.
        clients: Clients by provider, instead of those that the registry makes.
    """
    bus, clock = runtime.bus, runtime.clock
    found = connected(settings) if clients is None else clients
    router = Router(
        providers_of(settings, found),
        found,
        bus=bus,
        clock=clock,
        ids=runtime.ids,
        timeout_s=settings.providers_timeout_s,
        registry=runtime.metrics.registry,
    )
    cancellations = Cancellations()
    worker = Worker(
        LlmStep(router, Payloads(bus, PAYLOADS)),
        runtime=runtime,
        publisher=Publisher(bus, clock=clock, ids=runtime.ids, source=SOURCE),
        journal=Journal(bus, RUNS),
        cancellations=cancellations,
        check_s=settings.ack_wait_s / _CHECKS_PER_WAIT,
    )
    return Providers(settings, runtime, router=router, worker=worker, cancellations=cancellations)


def _everywhere(command: Command) -> str:
    return subjects.command("*", command.service, command.verb)
