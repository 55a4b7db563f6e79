"""Pinned owners: what do the tests of a pinned consumer share?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from support.wait import until

from segue_contracts.topology import Consumer
from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import PIN_GROUP, RUNS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.delivery import Delivery
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.pinned import PinnedConsumer


async def fresh_shard(bus: Bus) -> tuple[Consumer, str]:
    """Make a fresh pinned consumer over one run of a test alone; return it and the run's prefix."""
    run = SystemIds().run_id(0)
    prefix = subjects.run_prefix("default", run)
    consumer = Consumer(
        stream=RUNS,
        name=f"orchestrator_{run}",
        filters=(f"{prefix}.>",),
        ack_policy="all",
        max_ack_pending=1000,
        pinned_group=PIN_GROUP,
        pinned_timeout_s=1,
    )
    await ensure_consumer(bus, consumer)
    return consumer, prefix


class Owner:
    """A recording owner of a pinned consumer."""

    def __init__(
        self, bus: Bus, consumer: Consumer, *, stuck_at: bytes = b"", pipeline: int = 8
    ) -> None:
        self.storing: Callable[[list[Delivery]], Awaitable[None]] = self.store
        self.seen: list[bytes] = []
        self.takeovers = 0
        self.on_takeover: Callable[[], object] = lambda: None
        self.arrived = asyncio.Event()
        self._stuck_at = stuck_at
        self._loop = PinnedConsumer(
            bus,
            stream=consumer.stream,
            consumer=consumer.name,
            group=PIN_GROUP,
            clock=SystemClock(),
            on_batch=self._on_batch,
            on_takeover=self._on_takeover,
            pipeline=pipeline,
            look_s=0.05,
        )

    async def run(self) -> None:
        """Own the consumer until cancelled."""
        await self._loop.run()

    @property
    def silent(self) -> int:
        """Requests in a row that no consumer answered."""
        return self._loop.silent

    def _on_takeover(self) -> None:
        self.takeovers += 1
        self.on_takeover()

    async def _on_batch(self, deliveries: list[Delivery]) -> Awaitable[None]:
        for delivery in deliveries:
            self.arrived.set()
            if delivery.data == self._stuck_at:
                await asyncio.Event().wait()
            self.seen.append(delivery.data)
        return self.storing(deliveries)

    async def store(self, deliveries: list[Delivery]) -> None:
        """Have nothing to store, unless a test puts something else in place."""

    async def until(self, last: bytes) -> None:
        """Wait until the owner has handled a message."""

        async def has_seen() -> bool:
            return last in self.seen

        await until(has_seen)


class Store:
    """Storing that goes on until a test ends it."""

    def __init__(self, owner: Owner) -> None:
        self.going: dict[bytes, asyncio.Future[None]] = {}
        self.cancelled: list[bytes] = []
        self.owner = owner
        owner.storing = self.store

    async def store(self, deliveries: list[Delivery]) -> None:
        """Store what a batch that ends with some delivery implies."""
        key = deliveries[-1].data
        self.going[key] = asyncio.get_running_loop().create_future()
        try:
            await self.going[key]
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        finally:
            del self.going[key]

    async def end(self) -> None:
        """Have everything stored, now and later."""
        for storing in self.going.values():
            storing.set_result(None)
        self.owner.storing = self.owner.store


class Pipelined:
    """An owner whose batches of one message each are being stored."""

    def __init__(self, bus: Bus, shard: tuple[Consumer, str], *, pipeline: int = 8) -> None:
        self.bus = bus
        self.consumer, self.prefix = shard
        self.owner = Owner(bus, self.consumer, pipeline=pipeline)
        self.store = Store(self.owner)
        self.running = asyncio.create_task(self.owner.run())

    async def begin(self, *data: bytes) -> None:
        """Have messages decided on, one after the other."""
        for one in data:
            await self.bus.create(f"{self.prefix}.signal.{one.decode()}", one)
            await self.owner.until(one)

    async def info(self) -> dict[str, Any]:
        """Return what the broker says of the consumer."""
        subject = f"$JS.API.CONSUMER.INFO.{self.consumer.stream}.{self.consumer.name}"
        found: dict[str, Any] = msgspec.json.decode(await self.bus.request(subject, b""))
        return found

    async def has_nothing_pending(self) -> bool:
        """Tell whether the broker has handed everything out."""
        return (await self.info())["num_pending"] == 0

    async def floor(self) -> int:
        """Return how many messages of this test are acknowledged."""
        info = await self.info()
        waiting: int = info["num_ack_pending"] + info["num_pending"]
        return len(await Journal(self.bus, RUNS).last([f"{self.prefix}.>"])) - waiting

    async def until_floor(self, count: int) -> None:
        """Wait until so many messages are acknowledged."""

        async def is_there() -> bool:
            return await self.floor() == count

        await until(is_there)

    async def is_idle(self) -> bool:
        """Tell whether nothing is being stored."""
        return not self.store.going

    async def end(self) -> None:
        """Stop the owner."""
        self.running.cancel()
        await asyncio.wait([self.running])
