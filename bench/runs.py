"""Runs: how soon is a large map dispatched, and what does a sleeping run weigh?"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import psutil
from nats.aio.msg import Msg

from bench.frame import Figure, figure
from bench.stand import Stand, definition, repeated, stand, start
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import StartRun
from segue_shared.bus import Bus

_ITEMS: Final = 1_000


async def large_map(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """From a run's start to the dispatch of the last of its 1,000 items."""
    async with stand() as made:
        bus = await Bus.connect(made.url, name="bench", max_wait_s=10)
        samples = [await _last_dispatch_ms(bus) for _ in range(3 if quick else 9)]
        await bus.close()
    return [
        figure("engine.map1000.last_scheduled_ms", samples, unit="ms", goal=250, better="lower")
    ]


async def _last_dispatch_ms(bus: Bus) -> float:
    seen, began, last, done = 0, 0.0, 0.0, asyncio.Event()

    async def note(message: Msg) -> None:
        nonlocal seen, began, last
        if message.subject.endswith(".started") and ".step." not in message.subject:
            began = time.perf_counter()
        elif ".scheduled." in message.subject:
            seen += 1
            last = time.perf_counter()
        elif message.subject.endswith(".ended"):
            done.set()

    listening = await bus.subscribe(subjects.facts("default"), note)
    await start(bus, StartRun(text=repeated(_ITEMS)))
    await done.wait()
    await listening.unsubscribe()
    if seen != _ITEMS:
        raise RuntimeError(f"{seen} of {_ITEMS} items were dispatched")
    return (last - began) * 1000


async def sleeping_runs(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """What a run that waits for a signal weighs, over all processes."""
    runs = 1_000 if quick else 10_000
    text = definition([{"key": "hold", "wait": {"signal": "go"}}])
    async with stand() as made:
        bus = await Bus.connect(made.url, name="bench", max_wait_s=10)
        first = await start(bus, StartRun(text=text))
        await _until_waiting(bus, first.definition, 200)
        before = _resident_kib(made)
        await _until_waiting(bus, first.definition, runs)
        weight = (_resident_kib(made) - before) / runs
        await bus.close()
    return [
        figure("engine.sleeping_run.kib", [weight], unit="KiB", goal=10_000 / 1024, better="lower")
    ]


async def _until_waiting(bus: Bus, known: str, runs: int) -> None:
    """Start runs and return once each waits."""
    left, done, room = runs, asyncio.Event(), asyncio.Semaphore(100)

    async def note(_message: Msg) -> None:
        nonlocal left
        left -= 1
        room.release()
        if not left:
            done.set()

    pattern = f"{subjects.PREFIX}.default.fact.*.*.step.*.*.waiting"
    listening = await bus.subscribe(pattern, note)
    async with asyncio.TaskGroup() as starts:
        for _ in range(runs):
            await room.acquire()
            starts.create_task(start(bus, StartRun(definition=known)))
    await done.wait()
    await listening.unsubscribe()


def _resident_kib(made: Stand) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in made.ours) / 1024
