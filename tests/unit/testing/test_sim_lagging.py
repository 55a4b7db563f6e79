"""Lagging reads: is what was stored found, when whoever is asked does not know it yet?"""

import asyncio

from unit.testing.sim_world import RUN, simulated

from segue_contracts.v1.topology import LAYOUTS, PAYLOADS, PIN_GROUP, RUNS, shard_layout, topology
from segue_shared.bus import Bus
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.layouts import settled_up_to
from segue_shared.payloads import Payloads
from segue_shared.puller import Puller
from segue_testing.sim import FaultPlan, SimProcess, SimServer, run_virtual, sim_bus

LAGGING = FaultPlan(stale_read=1, lag=100, lag_s=60)
"""Whoever answers a direct get knows nothing of the last minute."""


async def stored(server: SimServer, count: int) -> tuple[Bus, list[str]]:
    """Store some messages and return another connection, on which reads lag."""
    bus = await sim_bus(server, "reader")
    subjects = [f"{RUN}.e{number}" for number in range(count)]
    for subject in subjects:
        await bus.append(subject, b"x")
    return bus, subjects


def test_a_message_is_found_by_its_sequence() -> None:
    """One that the nearest replica lacks is asked of the leader; one that is not there is not."""

    async def body(server: SimServer, _: Bus) -> list[str]:
        bus, _subjects = await stored(server, 2)
        journal = Journal(bus, RUNS)
        found = [await journal.get(sequence) for sequence in (1, 2, 3)]
        return [message.subject if message else "" for message in found]

    assert simulated(body, LAGGING) == [f"{RUN}.e0", f"{RUN}.e1", ""]


def test_the_newest_of_a_subject_is_found() -> None:
    """It is read from the leader; a subject that holds nothing has none."""

    async def body(server: SimServer, _: Bus) -> list[int]:
        bus, subjects = await stored(server, 2)
        journal = Journal(bus, RUNS)
        found = [await journal.newest(subject) for subject in (*subjects, f"{RUN}.none")]
        return [message.sequence if message else 0 for message in found]

    assert simulated(body, LAGGING) == [1, 2, 0]


def test_a_key_is_found_where_it_was_set() -> None:
    """What a plain read does not see yet is there all the same, and what was deleted is not."""

    async def body(server: SimServer, _: Bus) -> list[bytes | None]:
        keys = KeyValue(await sim_bus(server, "reader"), LAYOUTS)
        await keys.create("a", b"1")
        found = [await keys.get("a"), await keys.newest("a"), await keys.newest("b")]
        await keys.delete("a")
        found.append(await keys.newest("a"))
        return [entry.value if entry else None for entry in found]

    assert simulated(body, LAGGING) == [None, b"1", None, None]


def test_what_a_replica_lacks_is_not_old() -> None:
    """A journal whose newest messages are not seen is not taken for one that grew old."""

    async def body(server: SimServer, _: Bus) -> tuple[int, int]:
        bus, _subjects = await stored(server, 3)
        journal = Journal(bus, RUNS)
        young = await journal.first_since(server.now_ns // 1_000_000 - 1_000)
        await asyncio.sleep(120)
        return young, await journal.first_since(server.now_ns // 1_000_000 - 1_000)

    assert simulated(body, LAGGING) == (1, 4)


def test_an_empty_journal_begins_with_what_comes() -> None:
    """There is nothing that could be old."""

    async def body(_server: SimServer, bus: Bus) -> int:
        return await Journal(bus, RUNS).first_since(0)

    assert simulated(body) == 1


def test_an_answer_that_is_cut_off_is_read_to_its_end() -> None:
    """A broker that answers with a few messages at a time is asked for the rest."""

    async def body(server: SimServer, _: Bus) -> list[str]:
        bus, _subjects = await stored(server, 7)
        return [message.subject for message in await Journal(bus, RUNS).last([f"{RUN}.>"])]

    assert simulated(body, FaultPlan(batch_most=3)) == [f"{RUN}.e{number}" for number in range(7)]


def test_what_no_consumer_has_left_is_settled() -> None:
    """As long as one has an event to settle, only what comes before it is."""

    async def body(_server: SimServer, bus: Bus) -> list[int]:
        [consumer, *_] = topology(1).consumers
        await bus.append(f"{RUN}.a", b"")
        before = await settled_up_to(bus, shard_layout())
        puller = Puller(bus, stream=RUNS, consumer=consumer.name, group=PIN_GROUP)
        await puller.open()
        [message] = await puller.next(1)
        handed_out = await settled_up_to(bus, shard_layout())
        await bus.client.publish(message.reply, b"+ACK")
        return [before, handed_out, await settled_up_to(bus, shard_layout())]

    assert simulated(body) == [0, 0, 1]


def test_a_consumer_that_has_nothing_to_do_holds_nothing_back() -> None:
    """Its floor stays where it is, and what others settled is settled."""

    async def main() -> int:
        server = SimServer()
        await server.load(topology(2))
        bus = await sim_bus(server, "test", steady=True)
        await bus.append(f"{RUN}.a", b"")
        [consumer, *_] = topology(2).consumers
        puller = Puller(bus, stream=RUNS, consumer=consumer.name, group=PIN_GROUP)
        await puller.open()
        [message] = await puller.next(1)
        await bus.client.publish(message.reply, b"+ACK")
        return await settled_up_to(bus, shard_layout())

    assert run_virtual(main()) == 1


def test_large_values_can_be_listed_and_removed() -> None:
    """As the sweep does it."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[str], int, list[str]]:
        payloads = Payloads(bus, PAYLOADS)
        none = await payloads.older_than(server.now_ns)
        value = await payloads.wrap("x" * 70_000)
        await asyncio.sleep(1)
        old = await payloads.older_than(server.now_ns // 1_000_000)
        for digest in old:
            await payloads.remove(digest)
        assert value.ref
        return none, len(old), await payloads.older_than(server.now_ns // 1_000_000)

    assert simulated(body) == ([], 1, [])


def test_who_stays_away_does_not_come_back_sooner() -> None:
    """Neither a start nor a crash before brings a process back before its time."""

    async def body(server: SimServer, _bus: Bus) -> list[int]:
        async def main(process: SimProcess) -> None:
            await process.clock.sleep(3_600)

        process = SimProcess(server, "p", main)
        process.start()
        process.stay_away(100)
        process.start()
        lives = [process.lives]
        await asyncio.sleep(99)
        lives.append(process.lives)
        await asyncio.sleep(2)
        return [*lives, process.lives]

    assert simulated(body) == [1, 1, 2]
