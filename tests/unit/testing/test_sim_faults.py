"""Simulated faults: does each one do what it says, and nothing else?"""

import asyncio
from collections import Counter

import pytest
from unit.testing.sim_world import RUN, TASKS, simulated

from segue_contracts.v1.topology import RUNS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.delivery import ack, delivery_of
from segue_shared.errors import TimedOutError
from segue_shared.journal import Journal
from segue_shared.puller import Puller
from segue_testing.sim import FaultPlan, SimServer, sim_bus

PUBLISHING = ("publish_lost", "ack_lost", "ack_delayed", "in_flight_stored", "in_flight_absent")
DELIVERING = ("duplicate", "redelivery", "delivery_delayed", "batch_cut", "settling_lost")


@pytest.mark.parametrize("kind", PUBLISHING)
def test_a_publish_that_meets_a_fault_is_stored_once_all_the_same(kind: str) -> None:
    """A bus repeats what is unknown, and creating it again changes nothing."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[bytes], int, Counter[str]]:
        publisher = await sim_bus(server, "publisher")
        for number in range(20):
            await publisher.create(f"{RUN}.e{number}", b"%d" % number)
        stored = await Journal(bus, RUNS).last([f"{RUN}.>"])
        return [m.data for m in stored], len(server.streams[RUNS].messages), server.faults.injected

    stored, held, injected = simulated(body, FaultPlan(**{kind: 0.4}), seed=1)

    assert stored == [b"%d" % number for number in range(20)]
    assert held == 20
    assert set(injected) == {kind}


@pytest.mark.parametrize(
    ("kind", "count"), [("publish_lost", 0), ("ack_lost", 1), ("in_flight_stored", 1)]
)
def test_a_lost_publish_is_told_from_a_lost_answer(kind: str, count: int) -> None:
    """The publisher cannot tell; the stream can."""

    async def body(server: SimServer, _bus: Bus) -> int:
        publisher = await sim_bus(server, "publisher")
        creating = asyncio.create_task(publisher.create(f"{RUN}.a", b""))
        await asyncio.sleep(3)
        creating.cancel()
        return len(server.streams[RUNS].messages)

    assert simulated(body, FaultPlan(**{kind: 1})) == count


async def pulled(bus: Bus, *, count: int) -> list[bytes]:
    """Return what a consumer hands out until `count` different messages were settled."""
    puller = Puller(bus, stream=RUNS, consumer=TASKS.name)
    await puller.open()
    seen: list[bytes] = []
    while len(set(seen)) < count:
        for message in await puller.next(8):
            delivery = delivery_of(message)
            seen.append(delivery.data)
            await ack(bus.client, delivery)
    return seen


@pytest.mark.parametrize("kind", DELIVERING)
def test_a_delivery_that_meets_a_fault_comes_at_least_once(kind: str) -> None:
    """Whatever happens on the way, a consumer hands out everything."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[bytes], Counter[str]]:
        await ensure_consumer(bus, TASKS)
        for number in range(20):
            await bus.append(f"{RUN}.e{number}", b"%d" % number)
        seen = await pulled(await sim_bus(server, "worker"), count=20)
        return seen, server.faults.injected

    seen, injected = simulated(body, FaultPlan(**{kind: 0.3}), seed=1)

    assert set(seen) == {b"%d" % number for number in range(20)}
    assert set(injected) == {kind}
    if kind in {"duplicate", "redelivery"}:
        assert len(seen) > 20


def test_a_settling_that_is_lost_brings_the_message_again() -> None:
    """After the ack wait, with a higher count."""

    async def body(server: SimServer, bus: Bus) -> list[int]:
        await ensure_consumer(bus, TASKS)
        await bus.append(f"{RUN}.a", b"")
        worker = await sim_bus(server, "worker")
        puller = Puller(worker, stream=RUNS, consumer=TASKS.name)
        await puller.open()
        counts: list[int] = []
        while len(counts) < 3:
            for message in await puller.next(1):
                delivery = delivery_of(message)
                counts.append(delivery.delivered)
                await ack(worker.client, delivery)
        return counts

    assert simulated(body, FaultPlan(settling_lost=1)) == [1, 2, 3]


def test_a_stale_read_lacks_the_newest_messages() -> None:
    """It is an older state of the stream, never one with holes."""

    async def body(server: SimServer, bus: Bus) -> set[tuple[bytes, ...]]:
        for number in range(6):
            await bus.append(f"{RUN}.e{number}", b"%d" % number)
        journal = Journal(await sim_bus(server, "reader"), RUNS)
        return {tuple(m.data for m in await journal.last([f"{RUN}.>"])) for _ in range(30)}

    views = simulated(body, FaultPlan(stale_read=0.8, lag=3))

    whole = (b"0", b"1", b"2", b"3", b"4", b"5")
    assert views == {whole, whole[:5], whole[:4], whole[:3]}


def test_a_stale_read_has_everything_old() -> None:
    """Replicas lag by moments, not for ever."""

    async def body(server: SimServer, bus: Bus) -> int:
        for number in range(6):
            await bus.append(f"{RUN}.e{number}", b"")
        await asyncio.sleep(2.1)
        return len(await Journal(await sim_bus(server, "reader"), RUNS).last([f"{RUN}.>"]))

    assert simulated(body, FaultPlan(stale_read=1, lag_s=2)) == 6
    assert simulated(body, FaultPlan(stale_read=1, lag_s=3)) < 6


def test_a_request_that_is_lost_times_out() -> None:
    """Nobody answers, and nothing happened."""

    async def body(server: SimServer, bus: Bus) -> None:
        asking = await sim_bus(server, "asking")
        with pytest.raises(TimedOutError):
            await Journal(asking, RUNS).last_sequence()
        assert await Journal(bus, RUNS).last_sequence() == 0

    simulated(body, FaultPlan(request_lost=1))


def test_a_purge_leaves_the_newest_messages() -> None:
    """Everything older is gone."""

    async def body(server: SimServer, _bus: Bus) -> list[int]:
        publisher = await sim_bus(server, "publisher")
        for number in range(9):
            await publisher.append(f"{RUN}.e{number}", b"")
        return list(server.streams[RUNS].messages)

    assert simulated(body, FaultPlan(purge=1, kept=4)) == [6, 7, 8, 9]


def test_a_lost_connection_comes_back() -> None:
    """What is asked meanwhile is done afterwards, and the bus hears of both."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[bool], int]:
        lossy = await sim_bus(server, "lossy")
        reconnects: list[bool] = []
        lossy.on_reconnect(lambda: reconnects.append(lossy.connected))
        for number in range(20):
            await lossy.create(f"{RUN}.e{number}", b"")
        assert len(reconnects) == server.faults.injected["disconnect"] > 0
        return reconnects, len(await Journal(bus, RUNS).last([f"{RUN}.>"]))

    reconnects, stored = simulated(body, FaultPlan(disconnect=0.2), seed=2)

    assert all(reconnects)
    assert stored == 20


def test_nothing_goes_wrong_on_a_steady_connection() -> None:
    """A test can look at a world in which everything else goes wrong."""

    async def body(server: SimServer, bus: Bus) -> Counter[str]:
        for number in range(50):
            await bus.create(f"{RUN}.e{number}", b"")
        await Journal(bus, RUNS).last([f"{RUN}.>"])
        return server.faults.injected

    plan = FaultPlan(**dict.fromkeys((*PUBLISHING, "stale_read", "request_lost", "disconnect"), 1))

    assert simulated(body, plan) == Counter()


def test_a_healed_world_has_no_faults() -> None:
    """From then on everything arrives."""

    async def body(server: SimServer, _bus: Bus) -> float:
        publisher = await sim_bus(server, "publisher")
        server.faults.heal()
        await publisher.create(f"{RUN}.a", b"")
        return asyncio.get_running_loop().time()

    assert simulated(body, FaultPlan(publish_lost=1)) == 0
