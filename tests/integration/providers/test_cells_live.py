"""Cells on a real broker: do replicas change one value together and lose nothing?"""

import asyncio
from functools import partial

import msgspec
from msgspec import structs
from support.replicas import connections
from support.wait import until

from segue_contracts.v1.topology import LEDGER
from segue_providers.shell.cells import Cells
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_testing.broker import Broker


class Tally(msgspec.Struct, frozen=True):
    """A value under test."""

    count: int = 0
    names: tuple[str, ...] = ()


def one_more(tally: Tally) -> tuple[Tally, int]:
    """Count one on."""
    return structs.replace(tally, count=tally.count + 1), tally.count + 1


def at_most_one(name: str, tally: Tally) -> tuple[Tally, bool]:
    """Add a name where there is none."""
    if tally.names:
        return tally, tally.names == (name,)
    return structs.replace(tally, names=(name,)), True


def none_left(tally: Tally) -> tuple[Tally, None]:
    """Take all names away."""
    return structs.replace(tally, names=()), None


def cells_of(bus: Bus, ttl_s: int = 60) -> Cells[Tally]:
    """Return a replica's cells."""
    return Cells(bus, LEDGER, empty=Tally(), ttl_s=ttl_s)


def a_key() -> str:
    """Return a key of one test alone."""
    return f"test.{SystemIds().unique()}"


async def test_changes_of_two_replicas_are_all_kept(broker: Broker) -> None:
    """Whoever comes second does its change on the first one's."""
    key = a_key()
    async with connections(broker, 2) as buses:
        replicas = [cells_of(bus) for bus in buses]
        await asyncio.gather(
            *(cells.change(key, one_more) for cells in replicas for _ in range(50))
        )

        assert (await replicas[0].read(key)).count == 100


async def test_changes_that_wait_are_stored_together(bus: Bus) -> None:
    """A busy cell costs few writes."""
    key, cells, journal = a_key(), cells_of(bus), Journal(bus, f"KV_{LEDGER}")
    before = await journal.last_sequence()

    counts = await asyncio.gather(*(cells.change(key, one_more) for _ in range(200)))

    assert sorted(counts) == [*range(1, 201)]
    assert await journal.last_sequence() - before < 10


async def test_a_refusal_is_never_made_from_what_was_once_known(broker: Broker) -> None:
    """Somebody else may have made room meanwhile."""
    key = a_key()
    async with connections(broker, 2) as buses:
        first, second = (cells_of(bus) for bus in buses)
        assert await first.change(key, partial(at_most_one, "a"))
        await second.change(key, none_left)

        assert await first.change(key, partial(at_most_one, "b"))


async def test_a_cell_that_lapsed_is_empty_and_may_be_used_again(bus: Bus) -> None:
    """What marks its end is no value."""
    key, cells = a_key(), cells_of(bus, ttl_s=1)
    await cells.change(key, one_more)

    async def is_gone() -> bool:
        return (await cells_of(bus).read(key)).count == 0

    await until(is_gone)
    assert await cells.change(key, one_more) == 1


async def test_the_longest_wanted_life_counts(bus: Bus) -> None:
    """Changes that are stored together leave the cell to the last of them."""
    key, cells, short = a_key(), cells_of(bus), a_key()
    await asyncio.gather(
        cells.change(key, one_more, ttl_s=1), cells.change(key, one_more, ttl_s=60)
    )
    await cells.change(short, one_more, ttl_s=1)

    async def is_gone() -> bool:
        return (await cells.read(short)).count == 0

    await until(is_gone)
    assert (await cells.read(key)).count == 2


async def test_a_new_cell_takes_one_write(bus: Bus) -> None:
    """A cell that has a value after all is found out."""
    key = a_key()

    assert await cells_of(bus).change(key, one_more, new=True) == 1
    assert await cells_of(bus).change(key, one_more, new=True) == 2


async def test_who_gives_up_leaves_the_others_alone(bus: Bus) -> None:
    """Their changes are stored all the same."""
    key, cells = a_key(), cells_of(bus)
    tasks = [asyncio.create_task(cells.change(key, one_more)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert (await cells.read(key)).count in {2, 3}
