"""A worker: who serves the steps of a test's own pool?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from support.wait import until

from segue_contracts.envelope import decode_body, decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepFailed, StepScheduled
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock, rfc3339
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.errors import TransientError
from segue_shared.pull import Ack, Nak, PullLoop, Verdict

Serve = Callable[[StepScheduled], Awaitable[StepCompleted | StepFailed | StepCancelled]]


async def ensure_pool(bus: Bus, pool: str) -> PoolReady:
    """Have the orchestrator make a pool's consumer, however long it takes to come up."""
    subject = subjects.command("default", "orchestrator", "pool_ensure")

    async def ask() -> PoolReady | None:
        try:
            return await bus.call(subject, EnsurePool(pool=pool), PoolReady)
        except TransientError:
            return None

    ready = await until(ask)
    assert ready is not None
    return ready


@asynccontextmanager
async def worker(bus: Bus, pool: str, serve: Serve) -> AsyncIterator[PullLoop]:
    """Serve a pool for the length of a block."""
    ready = await ensure_pool(bus, pool)
    clock = SystemClock()

    async def handle(delivery: Delivery) -> Verdict:
        task = decode_body(decode_event(delivery.data).data, StepScheduled)
        if (early_ms := task.not_before_ms - clock.now_ms()) > 0:
            return Nak(early_ms / 1000)
        body = await serve(task)
        attempt = subjects.task_prefix(delivery.subject)
        subject = f"{attempt}.outcome.{OUTCOME_OF[type(body)]}"
        time = rfc3339(clock.now_ms())
        about = f"{task.run}/{task.step}"
        data = frame(body, subject=subject, source="tests/worker", about=about, time=time)
        await bus.create(subject, data, guard=f"{attempt}.outcome.*")
        return Ack()

    loop = PullLoop(
        bus,
        stream=ready.stream,
        consumer=ready.consumer,
        handler=handle,
        dead_letters=DeadLetters(bus, service="tests", clock=clock, framer=dead_letter),
        concurrency=16,
        ack_wait_s=ready.ack_wait_s,
    )
    running = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        await loop.stop(0.1)
        with suppress(asyncio.CancelledError):
            await running
