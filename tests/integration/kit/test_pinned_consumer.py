"""Owners of a pinned consumer on a real broker: is nothing lost, and nothing settled too early?"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import msgspec
import pytest
from integration.kit.pinned_owner import Owner, Pipelined, fresh_shard
from nats.aio.msg import Msg
from support.wait import PATIENCE_S, until

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import PIN_GROUP, RUNS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.errors import TransientError
from segue_shared.puller import Puller
from segue_testing.broker import Broker

UNPIN = msgspec.json.encode({"group": PIN_GROUP})


@pytest.fixture
async def shard(bus: Bus) -> tuple[Consumer, str]:
    """A fresh pinned consumer over one run of this test alone, and the run's prefix."""
    return await fresh_shard(bus)


async def test_a_new_owner_gets_what_the_dead_one_had_not_settled(
    bus: Bus, broker: Broker, shard: tuple[Consumer, str]
) -> None:
    """Under a new pin everything unsettled comes again in order, before anything newer."""
    consumer, prefix = shard
    other = await Bus.connect(broker.url, name="other", max_wait_s=10)
    first, second = Owner(bus, consumer, stuck_at=b"0"), Owner(other, consumer)
    for number in range(5):
        await bus.create(f"{prefix}.signal.{number}", str(number).encode())
    dying = asyncio.create_task(first.run())
    async with asyncio.timeout(PATIENCE_S):
        await first.arrived.wait()
    taking_over = asyncio.create_task(second.run())
    dying.cancel()
    await bus.create(f"{prefix}.signal.5", b"5")

    await second.until(b"5")
    taking_over.cancel()

    assert second.seen == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert second.takeovers == 1
    await other.close()


async def test_an_owner_that_leaves_gives_its_pin_up(
    bus: Bus, broker: Broker, shard: tuple[Consumer, str]
) -> None:
    """After an orderly stop the next owner works at once, not after the pin's timeout."""
    consumer, prefix = shard
    patient = msgspec.structs.replace(consumer, pinned_timeout_s=PATIENCE_S * 2)
    await ensure_consumer(bus, patient)
    other = await Bus.connect(broker.url, name="other", max_wait_s=10)
    first, second = Owner(bus, patient), Owner(other, patient)
    leaving = asyncio.create_task(first.run())
    await bus.create(f"{prefix}.signal.0", b"0")
    await first.until(b"0")
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    taking_over = asyncio.create_task(second.run())
    await bus.create(f"{prefix}.signal.1", b"1")

    await second.until(b"1")
    taking_over.cancel()

    assert second.seen[-1] == b"1"
    await other.close()


async def test_a_batch_that_fails_comes_again(bus: Bus, shard: tuple[Consumer, str]) -> None:
    """With acknowledgements that cover everything before, a failed batch is delivered anew."""
    consumer, prefix = shard
    failures = 0
    owner = Owner(bus, consumer)
    handle = owner._on_batch

    async def flaky(deliveries: list[Delivery]) -> Awaitable[None]:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise TransientError("not yet")
        return await handle(deliveries)

    owner._loop._on_batch = flaky
    running = asyncio.create_task(owner.run())
    for number in range(3):
        await bus.create(f"{prefix}.signal.{number}", str(number).encode())

    await owner.until(b"2")
    running.cancel()

    assert owner.seen == [b"0", b"1", b"2"]
    assert failures == 2


async def test_an_owner_that_is_cancelled_while_it_takes_over_settles_nothing(
    bus: Bus, broker: Broker, shard: tuple[Consumer, str]
) -> None:
    """The next one gets everything, in order."""
    consumer, prefix = shard
    other = await Bus.connect(broker.url, name="other", max_wait_s=10)
    first, second = Owner(bus, consumer), Owner(other, consumer)
    for number in range(3):
        await bus.create(f"{prefix}.signal.{number}", str(number).encode())
    dying = asyncio.create_task(first.run())
    first.on_takeover = dying.cancel
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([dying])

    taking_over = asyncio.create_task(second.run())
    await second.until(b"2")
    taking_over.cancel()

    assert dying.cancelled()
    assert first.seen == []
    assert second.seen == [b"0", b"1", b"2"]
    await other.close()


class DeafBus(Bus):
    """A connection on which resets are refused until it is told otherwise."""

    def __init__(self, inner: Bus) -> None:
        super().__init__()
        self.inner = inner
        self.client = inner.client  # type: ignore[misc] # the connection is the inner one's
        self.deaf = True
        self.refused = 0

    async def wait_connected(self) -> None:
        await self.inner.wait_connected()

    async def request(self, subject: str, data: bytes, *, timeout_s: float = 5) -> bytes:
        if self.deaf and ".RESET." in subject:
            self.refused += 1
            return b'{"error":{"code":503,"description":"JetStream is not ready"}}'
        return await self.inner.request(subject, data, timeout_s=timeout_s)


async def test_an_owner_works_only_once_its_consumer_was_reset(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """A reset that is refused is asked for again, and shows as silence meanwhile."""
    consumer, prefix = shard
    deaf = DeafBus(bus)
    owner = Owner(deaf, consumer)
    running = asyncio.create_task(owner.run())
    await bus.create(f"{prefix}.signal.0", b"0")

    async def is_refused_twice() -> bool:
        return deaf.refused >= 2 and owner.silent >= 2

    await until(is_refused_twice)
    before = list(owner.seen)
    deaf.deaf = False
    await owner.until(b"0")
    running.cancel()

    assert before == []
    assert owner.seen == [b"0"]
    assert owner.silent == 0


async def test_an_owner_goes_on_after_its_consumer_was_made_again(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """Meanwhile its silence grows; then everything comes again."""
    consumer, prefix = shard
    owner = Owner(bus, consumer)
    running = asyncio.create_task(owner.run())
    await bus.create(f"{prefix}.signal.0", b"0")
    await owner.until(b"0")

    async def is_silent() -> bool:
        return owner.silent > 3

    await delete(bus, consumer)
    await until(is_silent)
    await ensure_consumer(bus, consumer)
    await bus.create(f"{prefix}.signal.1", b"1")
    await owner.until(b"1")
    running.cancel()

    assert owner.silent == 0


class LossyPuller(Puller):
    """A puller on whose way a message is lost."""

    lost = b""

    async def next(self, wanted: int) -> list[Msg]:
        messages = await super().next(wanted)
        kept = [message for message in messages if message.data != self.lost]
        if len(kept) < len(messages):
            self.lost = b""
        return kept


async def test_a_delivery_that_is_lost_on_its_way_is_settled_by_nothing_after_it(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """A gap in the broker's count of deliveries has everything unsettled come again."""
    consumer, prefix = shard
    owner = Owner(bus, consumer)
    puller = LossyPuller(bus, stream=RUNS, consumer=consumer.name, group=PIN_GROUP)
    puller.lost = b"1"
    owner._loop._puller = puller
    running = asyncio.create_task(owner.run())
    for number in range(4):
        await bus.create(f"{prefix}.signal.{number}", str(number).encode())

    await owner.until(b"1")
    await owner.until(b"3")
    running.cancel()

    assert [data for data in owner.seen if data != b"0"] == [b"1", b"2", b"3"]


async def pulled(bus: Bus, consumer: Consumer, count: int) -> list[Msg]:
    """Return deliveries as an owner gets them that says nothing of them."""
    puller = Puller(bus, stream=RUNS, consumer=consumer.name, group=PIN_GROUP)
    await puller.open()
    messages: list[Msg] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            messages += await puller.next(count - len(messages))
    await puller.close()
    return messages


async def test_a_consumer_that_an_old_owner_made_deaf_is_reset_again(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """What the old owner settles after a reset counts in the old numbers, ahead of the new ones."""
    consumer, prefix = shard
    for number in range(6):
        await bus.create(f"{prefix}.signal.{number}", str(number).encode())
    old = await pulled(bus, consumer, 6)
    await bus.request(old[3].reply, b"+ACK")
    await bus.request(f"$JS.API.CONSUMER.UNPIN.{RUNS}.{consumer.name}", UNPIN)
    work = Pipelined(bus, shard)
    await work.begin(b"6")

    await bus.request(old[4].reply, b"+ACK")
    await work.store.end()
    await work.until_floor(7)
    await work.end()

    assert work.owner.takeovers > 1
    assert work.owner.seen[-1] == b"6"


async def delete(bus: Bus, consumer: Consumer) -> None:
    """Take a consumer away under its users."""
    subject = f"$JS.API.CONSUMER.DELETE.{consumer.stream}.{consumer.name}"
    assert msgspec.json.decode(await bus.request(subject, b""))["success"]
