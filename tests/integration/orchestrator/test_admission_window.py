"""The admission window on a real broker: does what waits for a pool wait in its run, in order?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from support.runs import Desk, Runs
from support.wait import until
from support.worker import worker

from segue_contracts.v1 import topology
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_testing.broker import Broker
from segue_testing.services import serving

ITEMS = 30
MANY = (
    f"{{name: many, steps: [{{key: bulk, pool: POOL, priority: p3, forEach: {[*range(ITEMS)]}}}]}}"
)
URGENT = "{name: urgent, steps: [{key: now, pool: POOL, priority: p0}]}"


@asynccontextmanager
async def narrow(broker: Broker, window: int) -> AsyncIterator[Runs]:
    """Serve an orchestrator that lets few tasks lie before a pool; nobody works yet."""
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10)
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2, pool_window=window)
    try:
        await apply(bus, topology.topology())
        async with serving(NAME, settings, build, requires=REQUIRES):
            yield Runs(bus, SystemIds().unique(), Desk())
    finally:
        await bus.close()


async def pending(runs: Runs) -> int:
    """Return how many tasks lie before the workers of the pool."""
    consumer = topology.pool_consumer(runs.pool).name
    answer = await runs.bus.request(f"$JS.API.CONSUMER.INFO.{topology.RUNS}.{consumer}", b"")
    return int(msgspec.json.decode(answer).get("num_pending", 0))


async def test_no_more_tasks_lie_before_a_pool_than_its_window(fresh_broker: Broker) -> None:
    """The rest is not dispatched while nobody works, and all of it once somebody does."""
    async with narrow(fresh_broker, 4) as runs:
        run = await runs.start(MANY)
        await until(lambda: _is(runs, 4))
        other = await runs.start(MANY)
        await runs.is_at(other, "running")

        assert await pending(runs) == 4

        async with worker(runs.bus, runs.pool, runs.desk.serve):
            assert len((await runs.output(run))["bulk"]) == ITEMS
            assert len((await runs.output(other))["bulk"]) == ITEMS
    assert len(runs.desk.tasks) == 2 * ITEMS


async def test_what_is_urgent_overtakes_what_waits_in_its_run(fresh_broker: Broker) -> None:
    """Only what lies before the workers already goes first."""
    async with narrow(fresh_broker, 4) as runs:
        many = await runs.start(MANY)
        await until(lambda: _is(runs, 4))
        urgent = await runs.start(URGENT)
        await runs.is_at(urgent, "pending")

        async with worker(runs.bus, runs.pool, runs.desk.serve):
            await runs.ended(urgent)
            await runs.ended(many)

    assert runs.desk.steps.index("now") < ITEMS - 4


async def _is(runs: Runs, count: int) -> bool:
    return await pending(runs) == count
