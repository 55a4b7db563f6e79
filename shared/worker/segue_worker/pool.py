"""The pool: how do tasks come to this process?"""

import asyncio
from typing import Any, Final

import structlog

from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.registry import POOL_ENSURE
from segue_shared.clock import Clock
from segue_shared.dead import DeadLetters
from segue_shared.errors import RefusedError, TransientError
from segue_shared.pull import PullLoop
from segue_shared.runtime import Runtime
from segue_worker.ports import EventBus
from segue_worker.worker import Worker

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
_SILENT_TOO_OFTEN: Final = 3


class Pool:
    """Pulls tasks once the pool's durable consumer exists, and shows in health whether it does.

    Args:
        name: The pool's name.
        service: Who gives up dead letters.
        worker: Who settles tasks.
        concurrency: How many at the same time.
    """

    def __init__(
        self, runtime: Runtime, *, name: str, service: str, worker: Worker, concurrency: int
    ) -> None:
        self._runtime = runtime
        self._name = name
        self._service = service
        self._worker = worker
        self._concurrency = concurrency
        self._serving: asyncio.Task[Any] | None = None
        self._loop: PullLoop | None = None
        runtime.health.add("pool", self.check)

    def check(self) -> str | None:
        """Say why no task would be taken now; None when one would."""
        if self._loop is None:
            return "no tasks yet: waiting for the orchestrator to make the pool"
        if self._loop.silent > _SILENT_TOO_OFTEN:
            return "the broker does not answer requests for tasks"
        return None

    def start(self) -> None:
        """Take tasks as soon as there is a pool."""
        self._serving = self._runtime.spawn(self._serve(), name="pool")

    async def stop(self) -> None:
        """Take nothing new, let what runs finish for `drain_s` seconds, give the rest back."""
        if self._loop is not None:
            await self._loop.stop(self._runtime.settings.drain_s)
        elif self._serving is not None:
            self._serving.cancel()

    async def _serve(self) -> None:
        runtime = self._runtime
        namespace = runtime.settings.namespace
        ready = await ensured(
            runtime.bus, clock=runtime.clock, pool=self._name, namespace=namespace
        )
        self._loop = PullLoop(
            runtime.bus,
            stream=ready.stream,
            consumer=ready.consumer,
            handler=self._worker.handle,
            dead_letters=DeadLetters(
                runtime.bus, service=self._service, clock=runtime.clock, framer=dead_letter
            ),
            concurrency=self._concurrency,
            ack_wait_s=ready.ack_wait_s,
        )
        await self._loop.run()


async def ensured(bus: EventBus, *, clock: Clock, pool: str, namespace: str) -> PoolReady:
    """Have the orchestrator make the pool's consumer, however long it is away.

    Raises:
        RefusedError: The orchestrator will never make it.
    """
    subject = subjects.command(namespace, POOL_ENSURE.service, POOL_ENSURE.verb)
    tries = 0
    while True:
        try:
            return await bus.call(subject, EnsurePool(pool=pool), PoolReady)
        except TransientError as error:
            reason = str(error)
        except RefusedError as error:
            if not error.refused.retryable:
                raise
            reason = error.refused.message
        _log.info("pool_not_ready", pool=pool, tries=tries + 1, reason=reason)
        await clock.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
        tries += 1
