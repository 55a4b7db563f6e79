"""The pool: how does a process come by its consumer?"""

import asyncio

import pytest
from support.wait import until
from unit.worker.worker_world import WorkerWorld

from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_shared.errors import BusUnavailableError, RefusedError
from segue_worker.pool import Pool, ensured

READY = PoolReady(stream="RUNS", consumer="pool_llm", ack_wait_s=30)


async def test_the_pool_is_waited_for() -> None:
    """An orchestrator that is away, or not ready yet, only delays."""
    world = WorkerWorld()
    unready = RefusedError(Refused(code="unavailable", message="not yet", retryable=True))
    away = [BusUnavailableError("away")] * 7
    world.bus.answers = [*away, unready, READY]
    ready = asyncio.create_task(ensured(world.bus, clock=world.clock, pool="llm", namespace="acme"))
    async with asyncio.timeout(10):
        while not ready.done():
            await world.clock.advance(1)

    assert await ready == READY
    subject = subjects.command("acme", "orchestrator", "pool_ensure")
    assert world.bus.calls == [(subject, EnsurePool(pool="llm"))] * 9


async def test_a_pool_that_is_refused_ends_the_service() -> None:
    """What can never work is not tried for ever."""
    world = WorkerWorld()
    world.bus.answers = [RefusedError(Refused(code="unsupported", message="never"))]

    with pytest.raises(RefusedError, match="never"):
        await ensured(world.bus, clock=world.clock, pool="llm", namespace="acme")


async def test_a_pool_that_waits_says_so_and_can_be_stopped() -> None:
    """A probe hears what is missing, and a stopping process does not begin to take tasks."""
    world = WorkerWorld()
    world.bus.answers = [BusUnavailableError("away")]
    pool = Pool(world.runtime, name="llm", service="test", worker=world.worker, concurrency=1)
    pool.start()
    [serving] = asyncio.all_tasks() - {asyncio.current_task()}
    await until(lambda: present(world.bus.calls))

    assert "waiting for the orchestrator" in world.health.ready()["pool"]
    await pool.stop()
    await asyncio.wait({serving}, timeout=10)

    assert serving.cancelled()
    assert world.runtime.tasks.problem is None


async def present(things: object) -> bool:
    """Tell whether there is anything."""
    return bool(things)
