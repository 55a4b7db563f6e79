"""Simulated services: do the kit's own loops keep their promises when everything goes wrong?"""

import asyncio
from collections.abc import Awaitable, Iterator

import pytest
import structlog.testing
from unit.testing.sim_world import OUT, OWNED, RUN, TASKS, simulated

from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.topology import PIN_GROUP, RUNS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus, Creation
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.journal import Journal
from segue_shared.pinned import PinnedConsumer
from segue_shared.pull import Ack, PullLoop, Verdict
from segue_testing.sim import FaultPlan, SimProcess, SimServer, heartbeat_of

EVENTS = 30

EVERYTHING = FaultPlan(
    publish_lost=0.02,
    ack_lost=0.05,
    ack_delayed=0.05,
    in_flight_stored=0.05,
    in_flight_absent=0.05,
    request_lost=0.02,
    settling_lost=0.1,
    duplicate=0.1,
    redelivery=0.1,
    delivery_delayed=0.02,
    batch_cut=0.05,
    pin_moved=0.05,
    stale_read=0.1,
    crash=0.03,
    disconnect=0.01,
    latency_s=0.02,
    skew_ms=500,
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep thousands of expected warnings out of the output."""
    with structlog.testing.capture_logs():
        yield


async def relaying(process: SimProcess) -> None:
    """Store an effect of each event before the event is settled, as one of several owners."""

    async def on_batch(deliveries: list[Delivery]) -> Awaitable[None]:
        return store([delivery.subject.rsplit(".", 1)[1] for delivery in deliveries])

    async def store(names: list[str]) -> None:
        await process.bus.create_all([Creation(f"{OUT}.{name}", b"") for name in names])

    await PinnedConsumer(
        process.bus,
        stream=RUNS,
        consumer=OWNED.name,
        group=PIN_GROUP,
        clock=process.clock,
        on_batch=on_batch,
        on_takeover=lambda: None,
    ).run()


async def relayed(server: SimServer, bus: Bus) -> list[tuple[float, str, str, str]]:
    """Have two owners relay events until all effects are there, and return what happened."""
    await ensure_consumer(bus, OWNED)
    owners = [SimProcess(server, f"owner{number}", relaying) for number in range(2)]
    for owner in owners:
        owner.start()
    for number in range(EVENTS):
        await bus.append(f"{RUN}.e{number}", b"")
        await asyncio.sleep(server.faults.up_to(0.2))
    await asyncio.sleep(20)
    server.faults.heal()
    await asyncio.sleep(60)
    effects = await Journal(bus, RUNS).last([f"{OUT}.>"])
    names = [message.subject.rsplit(".", 1)[1] for message in effects]
    assert sorted(names) == sorted(f"e{number}" for number in range(EVENTS)), server.story()
    return server.trace


@pytest.mark.parametrize("seed", range(20))
def test_owners_of_a_pinned_consumer_lose_nothing(seed: int) -> None:
    """Each event has its effect once, whatever dies, is lost, repeated or late."""
    simulated(relayed, EVERYTHING, seed=seed)


def test_the_same_seed_brings_the_same_history() -> None:
    """A failing seed fails again, in the same way."""
    first, second = (simulated(relayed, EVERYTHING, seed=7) for _ in range(2))

    assert first == second
    assert first != simulated(relayed, EVERYTHING, seed=8)


def test_a_service_that_settles_too_early_is_found_out() -> None:
    """The check can fail: without the effect before the acknowledgement, seeds notice."""

    async def careless(process: SimProcess) -> None:
        async def on_batch(deliveries: list[Delivery]) -> Awaitable[None]:
            for delivery in deliveries:
                name = delivery.subject.rsplit(".", 1)[1]
                asyncio.get_running_loop().call_later(1, store, name)
            return asyncio.sleep(0)

        def store(name: str) -> None:
            storing.add(asyncio.ensure_future(process.bus.create(f"{OUT}.{name}", b"")))

        storing: set[asyncio.Future[object]] = set()
        await PinnedConsumer(
            process.bus,
            stream=RUNS,
            consumer=OWNED.name,
            group=PIN_GROUP,
            clock=process.clock,
            on_batch=on_batch,
            on_takeover=lambda: None,
        ).run()

    async def body(server: SimServer, bus: Bus) -> int:
        await ensure_consumer(bus, OWNED)
        SimProcess(server, "owner", careless).start()
        for number in range(EVENTS):
            await bus.append(f"{RUN}.e{number}", b"")
            await asyncio.sleep(0.2)
        server.faults.heal()
        await asyncio.sleep(60)
        return len(await Journal(bus, RUNS).last([f"{OUT}.>"]))

    assert any(simulated(body, FaultPlan(crash=0.1), seed=seed) < EVENTS for seed in range(5))


def pool(bus: Bus, process: SimProcess, seen: list[int], *, seconds: float) -> PullLoop:
    """Return a worker whose tasks take a while."""

    async def handler(delivery: Delivery) -> Verdict:
        seen.append(delivery.delivered)
        await process.clock.sleep(seconds)
        return Ack()

    loop = PullLoop(
        bus,
        stream=RUNS,
        consumer=TASKS.name,
        handler=handler,
        dead_letters=DeadLetters(bus, service="tests", clock=process.clock, framer=dead_letter),
        concurrency=2,
        ack_wait_s=TASKS.ack_wait_s,
    )
    loop._heartbeat = heartbeat_of(bus, ack_wait_s=TASKS.ack_wait_s)  # type: ignore[assignment]
    return loop


@pytest.mark.parametrize("dies", [False, True])
def test_a_long_task_stays_with_its_worker_as_long_as_it_lives(*, dies: bool) -> None:
    """Heartbeats of a simulated worker keep its task, and end with it."""
    seen: list[int] = []

    async def body(server: SimServer, bus: Bus) -> None:
        await ensure_consumer(bus, TASKS)
        await bus.append(f"{RUN}.a", b"")

        async def main(process: SimProcess) -> None:
            await pool(process.bus, process, seen, seconds=200).run()

        workers = [SimProcess(server, f"worker{number}", main) for number in range(2)]
        workers[0].start()
        await asyncio.sleep(1)
        workers[1].start()
        await asyncio.sleep(99)
        if dies:
            workers[0].kill()
        await asyncio.sleep(300)

    simulated(body)

    assert seen == ([1, 2] if dies else [1])


def test_a_worker_stops_in_virtual_time() -> None:
    """Its loop gives back what it does not finish, so that another can begin at once."""
    seen: list[int] = []

    async def body(server: SimServer, bus: Bus) -> float:
        await ensure_consumer(bus, TASKS)
        await bus.append(f"{RUN}.a", b"")
        process = SimProcess(server, "unused", relaying)
        loop = pool(bus, process, seen, seconds=200)
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(1)
        await loop.stop(5)
        assert running.cancelled()
        again = pool(bus, process, seen, seconds=0)
        running = asyncio.create_task(again.run())
        await asyncio.sleep(1)
        await again.stop(5)
        return asyncio.get_running_loop().time()

    assert simulated(body) == 7
    assert seen == [1, 2]
