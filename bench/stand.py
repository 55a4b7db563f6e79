"""The stand: what does a benchmark of the engine run against?"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from nats.aio.msg import Msg

from bench import floor
from bench.noop_worker import POOL
from bench.processes import cpu_seconds, running
from segue_contracts.topology import Topology
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.topology import (
    DEFAULT_SHARD_CONSUMERS,
    LOCAL_SHARD_CONSUMERS,
    topology,
)
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import SegueError, TransientError
from segue_testing.broker import running_broker
from segue_testing.cluster import running_cluster

Profile = Literal["fast", "fsync", "replicated"]
"""When a stored message counts: at once, once synced, or once synced by two of three brokers."""

_START: Final = subjects.command("default", "orchestrator", "start_run")
_AGREED_S: Final = 60
"""How long the servers of a cluster may take to know each other and to choose leaders."""


def definition(steps: list[dict[str, Any]]) -> str:
    """Return the text of a definition."""
    return msgspec.json.encode({"name": "bench", "steps": steps}).decode()


def chain(length: int) -> str:
    """Return the definition of no-op steps, one after the other."""
    return definition(
        [
            {"key": f"s{n}", "pool": POOL, "dependsOn": [f"s{n - 1}"] if n else []}
            for n in range(length)
        ]
    )


def fan_out(width: int) -> str:
    """Return the definition of no-op steps that go on at once, and whose outputs are joined."""
    steps = [{"key": f"s{n}", "pool": POOL} for n in range(width)]
    return definition(steps)


def repeated(count: int) -> str:
    """Return the definition of one no-op step for each of many items."""
    return definition([{"key": "each", "pool": POOL, "forEach": list(range(count))}])


@dataclass(frozen=True, slots=True)
class Work:
    """A workload, for the engine and for the floor."""

    text: str
    runs: int
    in_flight: int
    steps: int
    """Of each run."""
    wide: bool = False
    """Whether a run's steps go on at once."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a workload took."""

    seconds: float
    cpu_s: float
    """Of all processes, the broker's share included."""
    steps: int

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds

    @property
    def cost_us(self) -> float:
        """CPU time per step, microseconds."""
        return self.cpu_s / self.steps * 1e6


class Stand:
    """A broker with the engine beside the floor; they take turns."""

    def __init__(self, url: str, *, ours: list[int], bare: list[int]) -> None:
        self.url = url
        self.ours = ours
        """Ids of the processes that the engine consists of, the broker's first."""
        self._bare = bare
        self._definitions: dict[str, str] = {}

    async def engine(self, work: Work) -> Sample:
        """Run a workload on the engine."""
        bus = await Bus.connect(self.url, name="bench", max_wait_s=10)
        try:
            known = await self._known(bus, work.text)
            before = cpu_seconds(self.ours)
            seconds = await _measure(bus, known, work)
            cpu_s = cpu_seconds(self.ours) - before
        finally:
            await bus.close()
        return Sample(seconds, cpu_s, work.runs * work.steps)

    async def floor(self, work: Work) -> Sample:
        """Run the same workload on the floor."""
        before = cpu_seconds(self._bare)
        seconds = await floor.measure(
            self.url,
            runs=work.runs,
            in_flight=work.in_flight,
            steps=work.steps,
            wide=work.wide,
        )
        return Sample(seconds, cpu_seconds(self._bare) - before, work.runs * work.steps)

    async def both(self, work: Work, rounds: int) -> tuple[list[Sample], list[Sample]]:
        """Return samples of engine and floor, taken in turns."""
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(await self.floor(work))
            ours.append(await self.engine(work))
        return ours, bare

    async def _known(self, bus: Bus, text: str) -> str:
        """Have a definition stored by running it once, and return its hash."""
        if text not in self._definitions:
            async with ends(bus, lambda _run: None) as ended:
                accepted = await start(bus, StartRun(text=text))
                await ended(1)
            self._definitions[text] = accepted.definition
        return self._definitions[text]


async def start(bus: Bus, request: StartRun) -> RunAccepted:
    """Start a run, as often as it takes."""
    while True:
        try:
            return await bus.call(_START, request, RunAccepted, timeout_s=10)
        except TransientError:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def ends(bus: Bus, on_end: Callable[[str], None]) -> AsyncIterator[Any]:
    """Listen to the ends of runs; yields a function that waits until so many have come."""
    count, arrived = 0, asyncio.Event()

    async def note(message: Msg) -> None:
        nonlocal count
        count += 1
        on_end(message.subject)
        arrived.set()

    async def wait_for(wanted: int) -> None:
        while count < wanted:
            arrived.clear()
            await arrived.wait()

    listening = await bus.subscribe(f"{subjects.PREFIX}.default.fact.*.*.ended", note)
    yield wait_for
    await listening.unsubscribe()


async def _measure(bus: Bus, known: str, work: Work) -> float:
    room = asyncio.Semaphore(work.in_flight)
    async with ends(bus, lambda _run: room.release()) as ended:
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as starts:
            for _ in range(work.runs):
                await room.acquire()
                starts.create_task(start(bus, StartRun(definition=known)))
        await ended(work.runs)
        return time.perf_counter() - begin


@asynccontextmanager
async def stand(profile: Profile = "fast") -> AsyncIterator[Stand]:
    """Start a broker, the engine in two processes, and the floor in two.

    Args:
        profile: When a stored message counts; with `replicated` the broker is a cluster.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, brokers = stack.enter_context(_brokers(directory, profile))
        await _prepare(url, profile)
        environment = engine_environment(url)
        orchestrator = stack.enter_context(running("segue_orchestrator", **environment))
        worker = stack.enter_context(running("bench.noop_worker", url))
        decider = stack.enter_context(running("bench.floor", "decider", url))
        bare_worker = stack.enter_context(running("bench.floor", "worker", url))
        made = Stand(
            url, ours=[*brokers, orchestrator, worker], bare=[*brokers, decider, bare_worker]
        )
        warm = Work(chain(5), runs=50, in_flight=50, steps=5)
        await made.engine(warm)
        await made.floor(warm)
        yield made


def engine_environment(url: str) -> dict[str, str]:
    """Return the environment of an orchestrator."""
    return {"SEGUE_NATS_URL": url, "SEGUE_LOG_LEVEL": "error"}


@contextmanager
def _brokers(directory: Path, profile: Profile) -> Iterator[tuple[str, list[int]]]:
    """Run the broker of a profile; yields its address and the ids of its processes."""
    if profile == "replicated":
        with running_cluster(directory, synced=True) as cluster:
            yield cluster.url, cluster.pids
    else:
        with running_broker(directory, synced=profile == "fsync") as broker:
            yield broker.url, [broker.pid]


async def _prepare(url: str, profile: Profile) -> None:
    """Give the broker what engine and floor need, with as many replicas as the profile has."""
    replicated = profile == "replicated"
    replicas = 3 if replicated else 1
    consumers = DEFAULT_SHARD_CONSUMERS if replicated else LOCAL_SHARD_CONSUMERS
    bus = await Bus.connect(url, name="bench-setup", max_wait_s=10)
    async with asyncio.timeout(_AGREED_S):
        await _until_applied(bus, topology(fresh=consumers), replicas)
    await bus.close()
    await floor.setup(url, replicas=replicas)


async def _until_applied(bus: Bus, wanted: Topology, replicas: int) -> None:
    """Apply a topology, again and again while the servers of a cluster do not know each other."""
    while True:
        try:
            await apply(bus, wanted, replicas=replicas)
        except SegueError:
            if replicas == 1:
                raise
            await asyncio.sleep(0.2)
        else:
            return
