"""A pinned consumer's pipeline on a real broker: is nothing settled before it is stored?"""

from functools import partial

import msgspec
import pytest
import structlog.testing
from integration.kit.pinned_owner import Pipelined, fresh_shard
from support.wait import until

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import PIN_GROUP, RUNS
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.wire import settle
from segue_testing.broker import Broker


@pytest.fixture
async def shard(bus: Bus) -> tuple[Consumer, str]:
    """A fresh pinned consumer over one run of this test alone, and the run's prefix."""
    return await fresh_shard(bus)


async def test_a_batch_is_decided_on_while_the_one_before_it_is_stored(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """And is acknowledged only together with it."""
    stage = Pipelined(bus, shard)
    await stage.begin(b"0", b"1", b"2")
    going = sorted(stage.store.going)

    stage.store.going[b"1"].set_result(None)
    stage.store.going[b"2"].set_result(None)
    await stage.begin(b"3")
    before = await stage.floor()
    stage.store.going[b"0"].set_result(None)
    await stage.until_floor(3)
    await stage.end()

    assert going == [b"0", b"1", b"2"]
    assert before == 0
    assert stage.owner.takeovers == 1
    assert stage.owner.seen == [b"0", b"1", b"2", b"3"]


async def test_no_more_batches_are_stored_at_once_than_allowed(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """The next one waits until the oldest is stored."""
    stage = Pipelined(bus, shard, pipeline=2)
    await stage.begin(b"0", b"1")
    await bus.create(f"{stage.prefix}.signal.2", b"2")
    stage.store.going[b"1"].set_result(None)
    await until(stage.has_nothing_pending)
    await settle(bus.client)
    before = list(stage.owner.seen)
    stage.store.going[b"0"].set_result(None)
    await stage.owner.until(b"2")
    await stage.end()

    assert before == [b"0", b"1"]


async def test_what_fails_while_it_is_stored_takes_all_after_it_along(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """What came before it counts; the rest comes again, to an owner that knows nothing."""
    stage = Pipelined(bus, shard)
    await stage.begin(b"0", b"1", b"2", b"3")
    stage.store.going[b"2"].set_result(None)
    stage.store.going[b"1"].set_exception(TransientError("away"))

    async def is_given_up() -> bool:
        return b"3" in stage.store.cancelled

    await until(is_given_up)
    before = await stage.floor()
    stage.owner.storing = stage.owner.store
    stage.store.going[b"0"].set_result(None)
    await stage.until_floor(4)
    await stage.end()

    assert before == 0
    assert stage.owner.takeovers == 2
    assert stage.owner.seen == [b"0", b"1", b"2", b"3", b"1", b"2", b"3"]


async def test_a_bug_while_it_is_stored_has_the_batch_come_again(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """An error that nobody foresaw is logged and never ends the owner."""
    stage = Pipelined(bus, shard)
    await stage.begin(b"0")
    stage.owner.storing = stage.owner.store
    with structlog.testing.capture_logs() as logged:
        stage.store.going[b"0"].set_exception(KeyError("bug"))
        await stage.until_floor(1)
    await stage.end()

    assert stage.owner.seen == [b"0", b"0"]
    assert "batch_failed" in [line["event"] for line in logged]


async def test_an_owner_that_lost_its_pin_acknowledges_nothing_more(
    bus: Bus, broker: Broker, shard: tuple[Consumer, str]
) -> None:
    """What it is still storing comes again to the next one, and only that one settles it."""
    other = await Bus.connect(broker.url, name="other", max_wait_s=10)
    first = Pipelined(bus, shard)
    await first.begin(b"0", b"1")
    second = Pipelined(other, shard)
    unpin = f"$JS.API.CONSUMER.UNPIN.{RUNS}.{first.consumer.name}"
    await bus.request(unpin, msgspec.json.encode({"group": PIN_GROUP}))
    await bus.create(f"{first.prefix}.signal.2", b"2")
    await second.owner.until(b"2")

    async def first_has_noticed() -> bool:
        return not first.owner._loop._puller.pin

    await until(first_has_noticed)
    for storing in tuple(first.store.going.values()):
        storing.set_result(None)
    await until(first.is_idle)
    await settle(bus.client)
    before = await first.floor()
    await second.store.end()
    await second.until_floor(3)
    await first.end()
    await second.end()

    assert before == 0
    assert second.owner.seen == [b"0", b"1", b"2"]
    await other.close()


async def test_an_owner_that_gets_its_pin_anew_starts_over(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """What it was storing under the old one is given up, and comes again."""
    stage = Pipelined(bus, shard)
    await stage.begin(b"0", b"1")
    unpin = f"$JS.API.CONSUMER.UNPIN.{RUNS}.{stage.consumer.name}"
    await bus.request(unpin, msgspec.json.encode({"group": PIN_GROUP}))
    stage.owner.on_takeover = partial(setattr, stage.owner, "storing", stage.owner.store)
    await stage.begin(b"2")
    await stage.until_floor(3)
    await stage.end()

    assert sorted(stage.store.cancelled) == [b"0", b"1"]
    assert stage.owner.takeovers == 2
    assert stage.owner.seen == [b"0", b"1", b"0", b"1", b"2"]


async def test_an_owner_that_stops_gives_up_what_it_is_storing(
    bus: Bus, shard: tuple[Consumer, str]
) -> None:
    """Nothing goes on behind its back, and nothing of it is acknowledged."""
    stage = Pipelined(bus, shard)
    await stage.begin(b"0", b"1")

    await stage.end()

    assert sorted(stage.store.cancelled) == [b"0", b"1"]
    assert await stage.floor() == 0
