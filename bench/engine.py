"""The engine: how many durable steps a second, and at what cost?"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.msg import Msg

from bench import floor
from bench.frame import Figure, figure
from bench.noop_worker import POOL
from bench.processes import cpu_seconds, running
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.topology import topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_testing.broker import running_broker

STEPS: Final = floor.STEPS
IN_FLIGHT: Final = 200
_START: Final = subjects.command("default", "orchestrator", "start_run")


def _chain(steps: int) -> str:
    """Return the definition of a chain of no-op steps."""
    body = [
        {"key": f"s{n}", "pool": POOL, "dependsOn": [f"s{n - 1}"] if n else []}
        for n in range(steps)
    ]
    return msgspec.json.encode({"name": "chain", "steps": body}).decode()


async def _start(bus: Bus, request: StartRun) -> RunAccepted:
    while True:
        try:
            return await bus.call(_START, request, RunAccepted, timeout_s=10)
        except TransientError:
            await asyncio.sleep(0.1)


async def _measure(url: str, *, runs: int) -> float:
    """Return the seconds that `runs` runs take with 200 of them in flight."""
    bus = await Bus.connect(url, name="bench", max_wait_s=10)
    room, warm, done = asyncio.Semaphore(IN_FLIGHT), asyncio.Event(), asyncio.Event()
    left = runs

    async def on_end(_message: Msg) -> None:
        nonlocal left
        if not warm.is_set():
            warm.set()
            return
        left -= 1
        room.release()
        if not left:
            done.set()

    await bus.subscribe(f"{subjects.PREFIX}.default.fact.*.*.ended", on_end)
    first = await _start(bus, StartRun(text=_chain(STEPS)))
    await warm.wait()
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as starts:
        for _ in range(runs):
            await room.acquire()
            starts.create_task(_start(bus, StartRun(definition=first.definition)))
    await done.wait()
    seconds = time.perf_counter() - begin
    await bus.close()
    return seconds


async def chain_of_five(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Chain of 5 no-op steps, 200 runs in flight: durable steps per second and CPU per step."""
    runs, rounds = (1500, 1) if quick else (2000, 5)
    rates: list[float] = []
    costs: list[float] = []
    floor_rates: list[float] = []
    floor_costs: list[float] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_broker(directory))
        url = broker.url
        bus = await Bus.connect(url, name="bench-setup", max_wait_s=10)
        await apply(bus, topology())
        await floor.setup(url)
        await bus.close()
        environment = {"SEGUE_NATS_URL": url, "SEGUE_LOG_LEVEL": "error"}
        ours = [broker.pid, stack.enter_context(running("segue_orchestrator", **environment))]
        ours.append(stack.enter_context(running("bench.noop_worker", url)))
        bare = [
            broker.pid,
            stack.enter_context(running("bench.floor", "decider", url)),
            stack.enter_context(running("bench.floor", "worker", url)),
        ]
        await _measure(url, runs=50)
        await floor.measure(url, runs=50, in_flight=IN_FLIGHT)
        for _ in range(rounds):
            before = cpu_seconds(bare)
            seconds = await floor.measure(url, runs=runs, in_flight=IN_FLIGHT)
            floor_rates.append(runs * STEPS / seconds)
            floor_costs.append((cpu_seconds(bare) - before) / (runs * STEPS) * 1e6)
            before = cpu_seconds(ours)
            seconds = await _measure(url, runs=runs)
            rates.append(runs * STEPS / seconds)
            costs.append((cpu_seconds(ours) - before) / (runs * STEPS) * 1e6)
    return [
        figure(
            "engine.chain5.steps_per_s",
            rates,
            unit="steps/s",
            floors=floor_rates,
            goal=0.5,
            better="higher",
        ),
        figure(
            "engine.chain5.cpu_per_step",
            costs,
            unit="us",
            floors=floor_costs,
            goal=2.0,
            better="lower",
        ),
    ]
