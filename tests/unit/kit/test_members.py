"""Members: who is believed to be alive, and who is told when that changes?"""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import structlog.testing

from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError
from segue_shared.keyvalue import Entry, KeyValue
from segue_shared.members import Member, Members, common_features
from segue_testing.fakes import FakeClock

ME = Member(service="orchestrator", instance="me", features=("forks",), started_at="2026-01-01")
OTHER = Member(service="orchestrator", instance="other", version="2")


class FakeKeys(KeyValue):
    """A bucket in memory, which may be out of reach."""

    def __init__(self) -> None:
        super().__init__(Bus(), "FAKE")
        self.values: dict[str, bytes] = {}
        self.written: list[tuple[str, int]] = []
        self.away = False

    async def put(self, key: str, value: bytes, *, ttl_s: int = 0) -> int:
        self._reach()
        self.values[key] = value
        self.written.append((key, ttl_s))
        return len(self.written)

    async def delete(self, key: str, *, ttl_s: int = 0) -> None:
        self._reach()
        self.values.pop(key, None)
        self.written.append((f"-{key}", ttl_s))

    async def entries(self, prefix: str, *, timeout_s: float = 5) -> dict[str, Entry]:
        del timeout_s
        self._reach()
        found = (key for key in self.values if key.startswith(f"{prefix}."))
        return {key: Entry(self.values[key], 1) for key in found}

    def _reach(self) -> None:
        if self.away:
            raise BusUnavailableError("away")


class World:
    """A member among others, with time that is told to pass."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.keys = FakeKeys()
        self.members = Members(self.keys, me=ME, clock=self.clock)
        self.changes = 0
        self.forget: Callable[[], None] = self.members.on_change(self._on_change)
        self.task = asyncio.create_task(self.members.run())

    def _on_change(self) -> None:
        self.changes += 1

    async def turns(self, count: int) -> None:
        """Let it look so many times."""
        for _ in range(count):
            await asyncio.sleep(0)
            await self.clock.advance(0.5)
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Stop it in order."""
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A member that runs."""
    made = World()
    await made.turns(1)
    yield made
    await made.end()


def add(world: World, member: Member) -> None:
    """Register another instance."""
    world.keys.values[f"orchestrator.{member.instance}"] = msgspec.json.encode(member)


async def test_a_member_says_who_it_is_every_second(world: World) -> None:
    """The key lapses three seconds after the last time."""
    await world.turns(6)
    assert world.keys.written == [("orchestrator.me", 3)] * 4
    assert msgspec.json.decode(world.keys.values["orchestrator.me"], type=Member) == ME


async def test_a_member_is_among_the_living_before_anybody_saw_it() -> None:
    """The list is never empty."""
    members = Members(FakeKeys(), me=ME, clock=FakeClock())
    assert members.live == (ME,)


async def test_a_change_of_the_living_is_told_once(world: World) -> None:
    """Looking again at the same list tells nobody."""
    add(world, OTHER)
    await world.turns(3)
    assert (world.members.live, world.changes) == ((ME, OTHER), 1)


async def test_whoever_no_longer_wants_to_be_told_is_not(world: World) -> None:
    """The function that registering returned ends it."""
    world.forget()
    add(world, OTHER)
    await world.turns(1)
    assert (world.members.live, world.changes) == ((ME, OTHER), 0)


async def test_a_member_of_another_service_is_no_neighbour(world: World) -> None:
    """Each service has its own list."""
    world.keys.values["agents.other"] = msgspec.json.encode(OTHER)
    await world.turns(1)
    assert world.members.live == (ME,)


async def test_the_last_list_holds_while_the_broker_is_away(world: World) -> None:
    """Nobody is taken for dead because nothing can be seen."""
    add(world, OTHER)
    await world.turns(1)
    world.keys.away = True
    world.keys.values.clear()
    await world.turns(10)
    assert world.members.live == (ME, OTHER)
    world.keys.away = False


async def test_a_member_comes_back_with_the_broker(world: World) -> None:
    """It registers again at its next turn."""
    world.keys.away = True
    await world.turns(4)
    world.keys.values.clear()
    world.keys.away = False
    await world.turns(1)
    assert "orchestrator.me" in world.keys.values


async def test_a_member_that_stops_is_gone_at_once(world: World) -> None:
    """The mark of its leaving does not stay either."""
    await world.end()
    assert world.keys.values == {}
    assert world.keys.written[-1] == ("-orchestrator.me", 60)


async def test_a_member_that_cannot_say_goodbye_is_left_to_lapse(world: World) -> None:
    """Stopping without a broker works, too."""
    world.keys.away = True
    with structlog.testing.capture_logs() as logs:
        await world.end()
    assert world.task.cancelled()
    assert [line["event"] for line in logs] == ["membership_left_to_lapse"]


async def test_what_is_no_member_is_told_and_left_out(world: World) -> None:
    """A key that somebody wrote by hand does no harm."""
    world.keys.values["orchestrator.odd"] = b"{}"
    with structlog.testing.capture_logs() as logs:
        await world.turns(1)
    assert world.members.live == (ME,)
    assert [line["key"] for line in logs] == ["orchestrator.odd"]


@pytest.mark.parametrize("instance", ["host.example.com-17", "a:b c", "größe", "a=2e=b"])
async def test_an_instance_of_any_name_has_a_key_of_two_tokens(instance: str) -> None:
    """Dots, spaces and other letters are written otherwise."""
    keys = FakeKeys()
    member = Member(service="orchestrator", instance=instance)
    task = asyncio.create_task(Members(keys, me=member, clock=FakeClock()).run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    [(key, _)] = keys.written
    task.cancel()
    assert key.count(".") == 1
    assert key.isascii()
    assert " " not in key


def test_the_common_features_are_those_of_every_member() -> None:
    """One old instance is enough to hold a feature back."""
    new = Member(service="o", instance="1", features=("forks", "leases"))
    old = Member(service="o", instance="2", features=("forks",))
    assert common_features([new, old]) == {"forks"}
    assert common_features([new]) == {"forks", "leases"}
    assert common_features([]) == frozenset()
