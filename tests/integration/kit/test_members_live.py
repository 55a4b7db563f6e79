"""Members on a real broker: do instances see each other come, go and die?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.wait import until

from segue_contracts.v1.topology import MEMBERS, topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.ids import SystemIds
from segue_shared.keyvalue import KeyValue
from segue_shared.members import Member, Members
from segue_testing.broker import Broker

LAPSE_S = 3.0


@pytest.fixture
def service() -> str:
    """A service of this test alone."""
    return SystemIds().unique()


@asynccontextmanager
async def member(broker: Broker, service: str, instance: str) -> AsyncIterator[tuple[Members, Bus]]:
    """Run a member with a connection of its own for the length of a block."""
    bus = await Bus.connect(broker.url, name=instance, max_wait_s=10)
    me = Member(service=service, instance=instance)
    members = Members(KeyValue(bus, MEMBERS), me=me, clock=SystemClock())
    running = asyncio.create_task(members.run())
    try:
        yield members, bus
    finally:
        running.cancel()
        await asyncio.wait([running])
        await bus.close()


def sees(members: Members, *instances: str) -> Callable[[], Awaitable[bool]]:
    """Return a question: does a member see exactly these?"""

    async def ask() -> bool:
        return [one.instance for one in members.live] == list(instances)

    return ask


def is_connected(bus: Bus, *, wanted: bool) -> Callable[[], Awaitable[bool]]:
    """Return a question: is a connection as wanted?"""

    async def ask() -> bool:
        return bus.connected is wanted

    return ask


async def apply_to(broker: Broker) -> None:
    """Give the topology to a broker of one's own."""
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    await bus.close()


async def test_members_see_each_other_come_and_go(broker: Broker, service: str) -> None:
    """Whoever stops in order is gone long before its key would lapse."""
    clock = SystemClock()
    async with member(broker, service, "a") as (first, _):
        async with member(broker, service, "b") as (second, _):
            await until(sees(first, "a", "b"))
            await until(sees(second, "a", "b"))
        left = clock.monotonic()
        await until(sees(first, "a"))
        took = clock.monotonic() - left

    assert took < LAPSE_S - 1


async def test_a_member_that_falls_silent_lapses(broker: Broker, service: str) -> None:
    """Its key is gone after three seconds, with nobody who removes it."""
    async with (
        member(broker, service, "a") as (first, _),
        member(broker, service, "b") as (_, cut),
    ):
        await until(sees(first, "a", "b"))
        await cut.close()
        await until(sees(first, "a"))


async def test_members_find_each_other_again_after_the_broker_was_away(
    fresh_broker: Broker, service: str
) -> None:
    """Meanwhile the last list holds."""
    await apply_to(fresh_broker)
    async with (
        member(fresh_broker, service, "a") as (first, bus),
        member(fresh_broker, service, "b") as (second, _),
    ):
        await until(sees(first, "a", "b"))
        fresh_broker.kill()
        await until(is_connected(bus, wanted=False))
        held = [one.instance for one in first.live]
        fresh_broker.restart()
        await until(is_connected(bus, wanted=True))
        await until(sees(first, "a", "b"))
        await until(sees(second, "a", "b"))

    assert held == ["a", "b"]


async def test_the_mark_of_a_key_that_was_deleted_goes_too(bus: Bus, service: str) -> None:
    """Instances that come and go leave nothing behind."""
    keys = KeyValue(bus, MEMBERS)
    await keys.put(f"{service}.a", b"1")
    await keys.delete(f"{service}.a", ttl_s=1)

    async def is_gone() -> bool:
        return await keys.keys(service) == []

    assert await keys.entries(service) == {}
    await until(is_gone)
