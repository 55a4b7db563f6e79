"""The composition root: what is the providers service made of?"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from nats.aio.subscription import Subscription

from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.commands import ProviderList, ProvidersStatus
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.registry import CHAT, PROVIDERS_STATUS, Command
from segue_contracts.v1.topology import PAYLOADS, RUNS, TELEMETRY
from segue_providers.settings import Settings
from segue_providers.shell.cancellations import Cancellations
from segue_providers.shell.llm_step import LlmStep
from segue_providers.shell.pool import ensure_pool
from segue_providers.shell.ports import ModelClient
from segue_providers.shell.registry import connected, providers_of
from segue_providers.shell.router import SERVICE, Router
from segue_providers.shell.worker import Worker
from segue_shared.commands import CommandServer, Context
from segue_shared.dead import DeadLetters
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads
from segue_shared.pull import PullLoop
from segue_shared.runtime import Requires, Runtime

REQUIRES: Final = Requires(streams=(RUNS, TELEMETRY), object_buckets=(PAYLOADS,))
"""What the broker must have before the service starts."""

_SILENT_LIMIT: Final = 3
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
        self._settings = settings
        self._runtime = runtime
        self._commands = CommandServer(runtime)
        self._commands.add(CHAT, _everywhere(CHAT), self.chat)
        self._commands.add(PROVIDERS_STATUS, _everywhere(PROVIDERS_STATUS), self.status)
        self._loop: PullLoop | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._hints: Subscription | None = None
        runtime.health.add("pool", self._pool_problem)

    async def start(self) -> None:
        """Answer commands, and take tasks as soon as there is a pool."""
        await self._commands.start()
        self._hints = await self._runtime.bus.subscribe(
            subjects.controls("cancel"), self.cancellations.on_hint
        )
        self._serving = self._runtime.spawn(self._serve_pool(), name="pool")

    async def stop(self) -> None:
        """Take nothing new, and finish or give back what runs."""
        await asyncio.gather(self._commands.stop(), self._leave_pool())
        if self._hints is not None:
            await self._hints.unsubscribe()

    async def chat(self, request: ChatRequest, context: Context) -> ChatResponse:
        """Answer `providers.chat`."""
        return await self.router.chat(request, namespace=context.namespace)

    async def status(self, _request: ProvidersStatus, _context: Context) -> ProviderList:
        """Answer `providers.status`."""
        return self.router.status()

    async def _serve_pool(self) -> None:
        runtime, settings = self._runtime, self._settings
        pool = await ensure_pool(runtime.bus, clock=runtime.clock, namespace=settings.namespace)
        self._loop = PullLoop(
            runtime.bus,
            stream=pool.stream,
            consumer=pool.consumer,
            handler=self.worker.handle,
            dead_letters=DeadLetters(
                runtime.bus, service=SERVICE, clock=runtime.clock, framer=dead_letter
            ),
            concurrency=settings.providers_concurrency,
            ack_wait_s=pool.ack_wait_s,
        )
        await self._loop.run()

    async def _leave_pool(self) -> None:
        if self._loop is not None:
            await self._loop.stop(self._settings.drain_s)
        elif self._serving is not None:
            self._serving.cancel()

    def _pool_problem(self) -> str | None:
        if self._loop is None:
            return "no tasks yet: waiting for the orchestrator to make the pool"
        silent = self._loop.silent > _SILENT_LIMIT
        return "the broker does not answer requests for tasks" if silent else None


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
        LlmStep(router, Payloads(bus, PAYLOADS), worker=settings.instance),
        bus=bus,
        journal=Journal(bus, RUNS),
        cancellations=cancellations,
        clock=clock,
        name=settings.instance,
        check_s=settings.ack_wait_s / _CHECKS_PER_WAIT,
    )
    return Providers(settings, runtime, router=router, worker=worker, cancellations=cancellations)


def _everywhere(command: Command) -> str:
    return subjects.command("*", command.service, command.verb)
