"""Simulated processes: do they live and die as processes do?"""

import asyncio
from contextlib import suppress

import pytest
from nats.aio.msg import Msg
from unit.testing.sim_world import RUN, simulated

from segue_contracts.v1.topology import RUNS
from segue_shared.bus import Bus
from segue_shared.errors import SegueError
from segue_testing.sim import FaultPlan, SimProcess, SimServer


async def counting(process: SimProcess) -> None:
    """Store a message each second."""
    number = 0
    while True:
        await process.bus.append(f"{RUN}.{process.name}.{process.lives}-{number}", b"")
        number += 1
        await process.clock.sleep(1)


def test_a_killed_process_does_nothing_more() -> None:
    """It neither sends nor cleans up, and its tasks are over."""
    ends: list[str] = []

    async def child(process: SimProcess) -> None:
        try:
            await process.clock.sleep(3600)
        finally:
            ends.append("child")
            await process.bus.append(f"{RUN}.testament", b"")

    async def main(process: SimProcess) -> None:
        children = asyncio.gather(*(child(process) for _ in range(3)))
        await asyncio.gather(children, counting(process))

    async def body(server: SimServer, _bus: Bus) -> tuple[int, int]:
        process = SimProcess(server, "p", main)
        process.start()
        await asyncio.sleep(4.5)
        process.kill()
        before = len(server.streams[RUNS].messages)
        await asyncio.sleep(100)
        assert not process.alive
        assert asyncio.all_tasks() == {asyncio.current_task(), *steady_tasks()}
        return before, len(server.streams[RUNS].messages)

    assert simulated(body) == (5, 5)
    assert ends == ["child"] * 3


def steady_tasks() -> set[asyncio.Task[object]]:
    """Return the tasks of the test's own connection."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("test: ")}


def test_a_dead_process_hears_nothing() -> None:
    """Messages to it are lost, and nobody else is told of it."""
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    async def main(process: SimProcess) -> None:
        await process.bus.subscribe("talk", hear)
        await asyncio.Event().wait()

    async def body(server: SimServer, bus: Bus) -> None:
        process = SimProcess(server, "p", main)
        process.start()
        await asyncio.sleep(1)
        await bus.publish("talk", b"first")
        await asyncio.sleep(1)
        await bus.publish("talk", b"second")
        process.kill()
        await asyncio.sleep(1)
        assert not server.has_interest("talk")

    simulated(body)

    assert heard == [b"first"]


def test_a_process_that_dies_at_publishes_comes_back() -> None:
    """Right before one or right after it, at random; each life begins anew."""

    async def body(server: SimServer, _bus: Bus) -> tuple[int, int, set[str]]:
        process = SimProcess(server, "p", counting)
        process.start()
        await asyncio.sleep(60)
        subjects = {
            held.subject.rsplit(".", 1)[1] for held in server.streams[RUNS].messages.values()
        }
        return process.lives, server.faults.injected["crash"], subjects

    lives, crashes, stored = simulated(body, FaultPlan(crash=0.2), seed=4)

    assert lives == crashes + 1 > 3
    assert {text.split("-")[0] for text in stored} <= {str(life + 1) for life in range(lives)}
    assert len({text.split("-")[0] for text in stored}) > 2


def test_stopping_lets_a_process_clean_up() -> None:
    """Unlike a killed one, it may still say something."""

    async def main(process: SimProcess) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await process.bus.append(f"{RUN}.goodbye", b"")

    async def body(server: SimServer, _bus: Bus) -> int:
        process = SimProcess(server, "p", main)
        process.start()
        await asyncio.sleep(1)
        await process.stop()
        await process.stop()
        return len(server.streams[RUNS].messages)

    assert simulated(body) == 1


def test_a_process_that_fails_ends_the_run() -> None:
    """An error that no program handles is the simulation's result."""

    async def main(_process: SimProcess) -> None:
        raise ZeroDivisionError

    async def body(server: SimServer, _bus: Bus) -> None:
        SimProcess(server, "p", main).start()
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        simulated(body)


def test_what_a_dying_process_says_is_not_heard() -> None:
    """Its errors are its own."""

    async def main(_process: SimProcess) -> None:
        with suppress(SegueError):
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError

    async def body(server: SimServer, _bus: Bus) -> None:
        process = SimProcess(server, "p", main)
        process.start()
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(1)

    simulated(body)


def test_clocks_of_processes_differ_when_told_to() -> None:
    """Each is off by as much as the plan allows at most."""

    async def body(server: SimServer, _bus: Bus) -> list[int]:
        return [SimProcess(server, "p", counting).clock.skew_ms for _ in range(20)]

    skews = simulated(body, FaultPlan(skew_ms=500))

    assert len(set(skews)) > 5
    assert all(-500 <= skew <= 500 for skew in skews)
    assert set(simulated(body)) == {0}


def test_ids_of_a_seed_are_the_same() -> None:
    """They are run ids and short ids in the forms that subjects allow."""

    async def body(server: SimServer, _bus: Bus) -> tuple[str, str]:
        process = SimProcess(server, "p", counting)
        return process.ids.run_id(process.clock.now_ms()), process.ids.unique()

    run, unique = simulated(body, seed=1)

    assert (len(run), len(unique)) == (26, 13)
    assert simulated(body, seed=1) == (run, unique)
    assert simulated(body, seed=2) != (run, unique)
