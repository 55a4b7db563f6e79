"""Shares of shard consumers on a real broker: who reads what, and what becomes of the rest?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.wait import until

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import (
    LAYOUTS,
    MEMBERS,
    PIN_GROUP,
    RUNS,
    shard_layout,
    topology,
)
from segue_orchestrator.shell.shards import Shards
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.consumers import delete_consumer
from segue_shared.delivery import Delivery
from segue_shared.ids import SystemIds
from segue_shared.keyvalue import KeyValue
from segue_shared.members import Member, Members
from segue_shared.pinned import PinnedConsumer
from segue_testing.broker import Broker

SOON_S = 10.0
"""Far less than a broker waits for an acknowledgement before it delivers again."""


class Reader:
    """A process that reads its share of the shard consumers, and keeps what it read."""

    def __init__(self, bus: Bus, instance: str, *, stuck: bool = False) -> None:
        self.bus = bus
        self.seen: list[str] = []
        self.arrived = asyncio.Event()
        self._stuck = stuck
        clock = SystemClock()
        me = Member(service="orchestrator", instance=instance)
        self.members = Members(KeyValue(bus, MEMBERS), me=me, clock=clock)
        self.shards = Shards(bus, members=self.members, clock=clock, read=self._read)
        self._tasks = [
            asyncio.create_task(self.members.run()),
            asyncio.create_task(self.shards.run()),
        ]

    def _read(self, consumer: str) -> PinnedConsumer:
        return PinnedConsumer(
            self.bus,
            stream=RUNS,
            consumer=consumer,
            group=PIN_GROUP,
            clock=SystemClock(),
            on_batch=self._on_batch,
            on_takeover=lambda: None,
        )

    async def _on_batch(self, deliveries: list[Delivery]) -> Awaitable[None]:
        self.arrived.set()
        return self._settle([delivery.subject for delivery in deliveries])

    async def _settle(self, stored: list[str]) -> None:
        if self._stuck:
            await asyncio.Event().wait()
        self.seen += stored

    async def stop(self) -> None:
        """Leave in order."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def die(self) -> None:
        """Lose the connection without a word, as with the process."""
        await self.bus.close()
        await self.stop()


@asynccontextmanager
async def reader(broker: Broker, instance: str, *, stuck: bool = False) -> AsyncIterator[Reader]:
    """Run a reader for the length of a block."""
    bus = await Bus.connect(broker.url, name=instance, max_wait_s=10)
    made = Reader(bus, instance, stuck=stuck)
    try:
        yield made
    finally:
        await made.stop()
        await bus.close()


@pytest.fixture
async def live(fresh_broker: Broker) -> AsyncIterator[Bus]:
    """A connection to a broker of this test alone, with Segue's topology."""
    connection = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(connection, topology(4))
    yield connection
    await connection.close()


async def publish(bus: Bus, count: int) -> set[str]:
    """Store an event of each of so many runs, and return their subjects."""
    runs = [SystemIds().run_id(0) for _ in range(count)]
    stored = [subjects.run_event("default", run, "started") for run in runs]
    await asyncio.gather(*(bus.create(subject, b"{}") for subject in stored))
    return {*stored}


async def reads(one: Reader, other: Reader, *, count: int = 4) -> None:
    """Wait until two readers divide all shard consumers of a layout between them."""
    everything = {consumer.name for consumer in shard_layout().consumers(count)}

    async def ask() -> bool:
        shares = one.shards.share, other.shards.share
        return shares[0] | shares[1] == everything and not shares[0] & shares[1]

    await until(ask)


async def holds(condition: Callable[[], bool], *, within_s: float = SOON_S) -> None:
    """Wait until something is so."""

    async def ask() -> bool:
        return condition()

    await until(ask, patience_s=within_s)


async def test_readers_divide_the_shard_consumers(live: Bus, fresh_broker: Broker) -> None:
    """Each event is read by one of them, and both have nothing to complain of."""
    async with reader(fresh_broker, "a") as one, reader(fresh_broker, "c") as other:
        await reads(one, other)
        await publish(live, 1)
        stored = await publish(live, 64)
        await holds(lambda: {*one.seen} | {*other.seen} >= stored)

        assert one.shards.problem() is None
        assert other.shards.problem() is None


@pytest.mark.parametrize("how", ["stop", "die"])
async def test_what_one_reader_left_unsettled_is_read_by_the_other_at_once(
    live: Bus, fresh_broker: Broker, how: str
) -> None:
    """Even when nothing new arrives, by which another owner would notice that it is one."""
    async with reader(fresh_broker, "stuck", stuck=True) as gone:
        await holds(lambda: len(gone.shards.share) == 4)
        stored = await publish(live, 32)
        await asyncio.wait_for(gone.arrived.wait(), SOON_S)
        async with reader(fresh_broker, "other") as other:
            await (gone.stop() if how == "stop" else gone.die())
            await holds(lambda: {*other.seen} >= stored)


async def test_readers_go_by_the_number_that_is_stored(live: Bus, fresh_broker: Broker) -> None:
    """They change over to the new consumers while events keep coming, and miss none."""
    stored = set[str]()
    async with reader(fresh_broker, "a") as one, reader(fresh_broker, "c") as other:
        await reads(one, other)
        for count in (16, 2, 5):
            changing = asyncio.create_task(apply(live, topology(count)))
            while not changing.done():
                stored |= await publish(live, 8)
            await changing
            await reads(one, other, count=count)
        stored |= await publish(live, 8)
        await holds(lambda: {*one.seen} | {*other.seen} >= stored)


async def test_a_reader_says_what_keeps_it_from_reading(live: Bus, fresh_broker: Broker) -> None:
    """Without a number, and with a consumer that is gone, it names the way out."""
    await KeyValue(live, LAYOUTS).delete("orchestrator")
    async with reader(fresh_broker, "a") as one:
        unknown = one.shards.problem()
        await apply(live, topology(2))
        await holds(lambda: one.shards.problem() is None)
        await delete_consumer(live, stream=RUNS, consumer="orchestrator_2_00")
        await holds(lambda: one.shards.problem() is not None)
        missing = one.shards.problem()
        await apply(live, topology())
        await holds(lambda: one.shards.problem() is None)

    assert unknown is not None
    assert "number of shard consumers is not known; 'segue bus apply'" in unknown
    assert missing is not None
    assert "does not answer; 'segue bus apply'" in missing
