"""The pool: how does this process come to the tasks of the pool `agents`?"""

from typing import Final

import structlog

from segue_agents.shell.ports import EventBus
from segue_agents.shell.worker import Worker
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_contracts.v1.registry import POOL_ENSURE
from segue_contracts.v1.topology import AGENTS_POOL
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.dead import DeadLetters
from segue_shared.errors import RefusedError, TransientError
from segue_shared.pull import PullLoop

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
_SILENT_TOO_OFTEN: Final = 5


class Pool:
    """Pulls tasks once the pool's durable consumer exists."""

    def __init__(
        self,
        bus: Bus,
        *,
        worker: Worker,
        dead_letters: DeadLetters,
        clock: Clock,
        namespace: str,
        concurrency: int,
    ) -> None:
        self._bus = bus
        self._worker = worker
        self._dead_letters = dead_letters
        self._clock = clock
        self._namespace = namespace
        self._concurrency = concurrency
        self._loop: PullLoop | None = None

    def check(self) -> str | None:
        """Say why no task would be taken now; None when one would."""
        if self._loop is None:
            return "the orchestrator has not made the pool's consumer yet"
        if self._loop.silent > _SILENT_TOO_OFTEN:
            return "the broker does not answer requests for tasks"
        return None

    async def run(self) -> None:
        """Work until `stop` is called or this is cancelled."""
        ready = await ensured(self._bus, clock=self._clock, namespace=self._namespace)
        self._loop = PullLoop(
            self._bus,
            stream=ready.stream,
            consumer=ready.consumer,
            handler=self._worker.handle,
            dead_letters=self._dead_letters,
            concurrency=self._concurrency,
            ack_wait_s=ready.ack_wait_s,
        )
        await self._loop.run()

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, let what runs finish for `drain_s` seconds, give the rest back."""
        if self._loop is not None:
            await self._loop.stop(drain_s)


async def ensured(bus: EventBus, *, clock: Clock, namespace: str) -> PoolReady:
    """Have the orchestrator make the pool's consumer, however long it is away."""
    subject = subjects.command(namespace, POOL_ENSURE.service, POOL_ENSURE.verb)
    tries = 0
    while True:
        try:
            return await bus.call(subject, EnsurePool(pool=AGENTS_POOL), PoolReady)
        except (TransientError, RefusedError) as error:
            _log.info("pool_not_ready", tries=tries + 1, reason=str(error))
        await clock.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
        tries += 1
