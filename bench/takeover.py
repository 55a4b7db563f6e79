"""Takeover: how soon do runs go on after the orchestrator that held them was killed?"""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from nats.aio.msg import Msg

from bench.frame import Figure, figure
from bench.processes import running
from bench.stand import chain, engine_environment, start
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import StartRun
from segue_contracts.v1.topology import (
    DEFAULT_SHARD_CONSUMERS,
    MEMBERS,
    shard_layout,
    topology,
)
from segue_orchestrator.core.shares import owner
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.keyvalue import KeyValue
from segue_shared.members import TTL_S
from segue_testing.broker import running_broker

_RUNS: Final = 100
_STEP_S: Final = 0.25
_DEFINITION: Final = chain(24)
_PATIENCE_S: Final = 120
_SETTLED_S: Final = TTL_S + 2
"""How long after a change of members each of them surely reads its share."""
_ON_THE_WAY_S: Final = 0.05
"""How long after a kill what the dead one knew may still be on its way to us."""
_ARRIVED_S: Final = 1.0
"""How long after a kill all outcomes of what was dispatched before it have come."""
_CONSUMER_OF: Final = {
    pattern.split(".")[4]: consumer.name
    for consumer in shard_layout().consumers(DEFAULT_SHARD_CONSUMERS)
    for pattern in consumer.filters
}
"""The shard consumer of each virtual shard."""


async def takeover(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """From the SIGKILL of an orchestrator until each run that it held makes its next event."""
    async with _site() as site:
        rounds = [await site.kill_one() for _ in range(2 if quick else 7)]
    return [
        _figure("engine.takeover.median_run_s", [statistics.median(times) for times in rounds]),
        _figure("engine.takeover.last_run_s", [max(times) for times in rounds]),
    ]


def _figure(name: str, samples: Sequence[float]) -> Figure:
    return figure(name, samples, unit="s", goal=5, better="lower")


class _Watch:
    """What runs do, and when those that a dead orchestrator held go on."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._killed_at = 0.0
        self._held: Callable[[str], bool] = _nothing
        self._halted: set[str] = set()
        self.outcomes = 0
        self.ended = 0
        self.times: dict[str, float] = {}
        """Seconds from the kill, by run."""

    async def kill(self, pid: int, held: Callable[[str], bool]) -> None:
        """Kill who holds some of the runs, and note for which of them an outcome comes too late."""
        self._killed_at = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_ON_THE_WAY_S)
        self._held = held
        await asyncio.sleep(_ARRIVED_S)
        self._held = _nothing

    async def note(self, message: Msg) -> None:
        """Note a fact."""
        place = subjects.parse_run(message.subject)
        if place.run in self._halted and place.run not in self.times:
            self.times[place.run] = time.perf_counter() - self._killed_at
        elif "outcome" in place.event and self._held(place.run):
            self._halted.add(place.run)
        self.outcomes += "outcome" in place.event
        self.ended += place.event == ("ended",)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once a condition holds; it may change with each fact."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def all_go_on(self) -> bool:
        """Tell whether every run that was held has gone on."""
        return len(self.times) == len(self._halted)


class _Site:
    """A broker, a worker and two orchestrators, of which one is killed again and again."""

    def __init__(self, bus: Bus, stack: ExitStack, url: str) -> None:
        self._bus = bus
        self._stack = stack
        self._url = url
        self._pids: dict[str, int] = {}
        self._made = 0

    async def complete(self) -> None:
        """Start orchestrators until there are two, and wait until each reads its share."""
        while len(self._pids) < 2:  # noqa: PLR2004 - one to be killed, and one to take over
            name = f"bench-{self._made}"
            self._made += 1
            environment = engine_environment(self._url) | {"SEGUE_INSTANCE": name}
            self._pids[name] = self._stack.enter_context(
                running("segue_orchestrator", **environment)
            )
        wanted = {f"orchestrator.{name}" for name in self._pids}
        async with asyncio.timeout(_PATIENCE_S):
            await _until_members(KeyValue(self._bus, MEMBERS), wanted)
        await asyncio.sleep(_SETTLED_S)

    async def kill_one(self) -> list[float]:
        """Kill the orchestrator that holds more, while runs go on.

        Returns:
            For each run that it held, the seconds from the kill to the run's next event after an
            outcome that had come by then.
        """
        watch = _Watch()
        listening = await self._bus.subscribe(subjects.facts("default"), watch.note)
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(
                *(start(self._bus, StartRun(text=_DEFINITION)) for _ in range(_RUNS))
            )
            await watch.until(lambda: watch.outcomes >= 3 * _RUNS)
            await watch.kill(*self._larger())
            await watch.until(watch.all_go_on)
            await watch.until(lambda: watch.ended == _RUNS)
        await listening.unsubscribe()
        await self.complete()
        return _checked(list(watch.times.values()))

    def _larger(self) -> tuple[int, Callable[[str], bool]]:
        """Let go of the orchestrator that reads more; returns it, and which runs it holds."""
        owners = {name: owner(name, self._pids) for name in _CONSUMER_OF.values()}
        victim = statistics.mode(owners.values())
        held = {shard for shard, consumer in _CONSUMER_OF.items() if owners[consumer] == victim}
        return self._pids.pop(victim), lambda run: subjects.shard_of(run) in held


async def _until_members(keys: KeyValue, wanted: set[str]) -> None:
    while True:
        if set(await keys.entries("orchestrator")) == wanted:
            return
        await asyncio.sleep(0.1)


def _nothing(_run: str) -> bool:
    return False


def _checked(times: list[float]) -> list[float]:
    """Return what was measured.

    Raises:
        RuntimeError: Nothing was, or not what was meant to be.
    """
    # Neither a key nor a pin lapses sooner, so such a run had another owner.
    if not times or min(times) < _ARRIVED_S:
        raise RuntimeError(f"the shares were not as expected: {sorted(times)[:3]}")
    return times


@asynccontextmanager
async def _site() -> AsyncIterator[_Site]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(running_broker(directory)).url
        bus = await Bus.connect(url, name="bench", max_wait_s=10)
        await apply(bus, topology(fresh=DEFAULT_SHARD_CONSUMERS))
        stack.enter_context(running("bench.noop_worker", url, str(_STEP_S)))
        site = _Site(bus, stack, url)
        await site.complete()
        yield site
        await bus.close()
