"""The composition root: what does the providers service run?"""

import asyncio
import os
import random
from collections.abc import Callable, Mapping
from typing import Final

from nats.aio.subscription import Subscription

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import (
    COMPLETIONS,
    LEDGER,
    LLM_POOL,
    MEMBERS,
    PAYLOADS,
    RUNS,
    TELEMETRY,
)
from segue_providers.settings import Settings
from segue_providers.shell.completions import Completions
from segue_providers.shell.setup import Connect
from segue_providers.shell.telling import SERVICE
from segue_providers.wiring import Parts, ground, wire
from segue_shared.commands import CommandServer
from segue_shared.runtime import Requires, Runtime
from segue_worker.pool import Pool

REQUIRES: Final = Requires(
    streams=(RUNS, TELEMETRY), buckets=(COMPLETIONS, LEDGER, MEMBERS), object_buckets=(PAYLOADS,)
)
"""What the broker must have before the service starts."""

_HINTS: Final = ("cancel", "cancel_call", "credit")


class Providers:
    """The service: commands and the pool of LLM steps, over one router."""

    def __init__(self, settings: Settings, runtime: Runtime, parts: Parts) -> None:
        self.parts: Final = parts
        """What it is made of."""
        self._runtime = runtime
        self._commands = CommandServer(runtime)
        parts.handlers.register(self._commands)
        self._pool = Pool(
            runtime,
            name=LLM_POOL,
            service=SERVICE,
            worker=parts.worker,
            concurrency=settings.providers_concurrency,
        )
        self._hints: list[Subscription] = []

    async def start(self) -> None:
        """Answer commands, and take tasks as soon as there is a pool."""
        bus, parts = self._runtime.bus, self.parts
        heard = [("cancel", parts.cancellations.on_hint)]
        heard += [(hint, parts.controls.on_hint) for hint in _HINTS]
        self._hints = [await bus.subscribe(subjects.controls(hint), hear) for hint, hear in heard]
        self._runtime.spawn(parts.ground.members.run(), name="members")
        self._runtime.spawn(parts.ground.configured.watch(), name="configuration")
        self._runtime.spawn(parts.prober.watch(), name="prober")
        self._runtime.spawn(parts.reporter.watch(), name="reporter")
        await self._commands.start()
        self._pool.start()

    async def stop(self) -> None:
        """Take nothing new, and finish or give back what runs."""
        on, stores = self.parts.ground, self.parts.stores
        await asyncio.gather(self._commands.stop(), self._pool.stop())
        for hint in self._hints:
            await hint.unsubscribe()
        await asyncio.gather(stores.ledger.close(), stores.rates.close())
        await on.configured.close()
        await on.http.close()


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    connect: Connect | None = None,
    environ: Mapping[str, str] = os.environ,
    draw: Callable[[], float] = random.random,
    completions: Completions | None = None,
) -> Providers:
    """Wire the service; see `wiring` for what may be handed in."""
    on = ground(settings, runtime, connect=connect, environ=environ, draw=draw)
    return Providers(settings, runtime, wire(on, completions=completions))
