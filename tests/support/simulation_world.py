"""The world: what happens when a scenario is played to its end, and was it right?"""

import asyncio
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog
from support.simulation_model import Expected, expected
from support.simulation_parts import SETTINGS, SHARDS, Build, runtime_of
from support.simulation_people import CONTEXT, Desk, People
from support.simulation_recipes import Outage, Scenario, text_of
from support.simulation_watch import Seen, Watch

from segue_contracts.v1 import commands, topology
from segue_language import parse
from segue_orchestrator.core.invariants import at_rest, check_journal
from segue_orchestrator.core.plan import undo_token
from segue_orchestrator.core.state import SETTLED
from segue_orchestrator.shell.live import UnstartableError
from segue_orchestrator.wiring import wire
from segue_testing.sim import (
    FaultPlan,
    SimClock,
    SimIds,
    SimProcess,
    SimServer,
    run_virtual,
    sim_bus,
)

_PATIENCE_S: Final = 1_800
_LOOK_S: Final = 3.0
_SETTLED_S: Final = 5
"""After so long every replica knows what was stored before."""
_QUIET: Final = structlog.make_filtering_bound_logger(logging.CRITICAL)


@dataclass
class Report:
    """What came of a simulation."""

    seed: int
    problems: list[str] = field(default_factory=list)
    problem_s: float = 0
    """When the first one showed."""
    story: list[str] = field(default_factory=list)
    """All that happened, line by line, where something was wrong."""
    events: int = 0
    steps: int = 0
    longest: int = 0
    """Events of the longest run."""
    virtual_s: float = 0
    injected: dict[str, int] = field(default_factory=dict)
    fingerprint: int = 0
    """Stands for all that happened."""


class World:
    """One simulation."""

    def __init__(self, scenario: Scenario, build: Build) -> None:
        self.scenario = scenario
        self.build = build
        self.server = SimServer()
        workflows = []
        for definition in scenario.workflows.values():
            parsed = parse(text_of(definition), known_workflows=frozenset({"sub", "fix"}))
            if parsed.workflow is None:
                raise ValueError(str(parsed.problems))
            workflows.append(parsed.workflow)
        self.watch = Watch(self.server, workflows)
        self.people = People(scenario, build, self.watch)
        self.processes: list[SimProcess] = []

    async def play(self) -> None:
        """Let everything happen, and check it."""
        await self._prepare()
        await self._until_over()
        if not self.watch.problems:
            await self._check_end()

    async def _prepare(self) -> None:
        server, scenario = self.server, self.scenario
        await server.load(topology.topology(SHARDS))
        bus, ids = await sim_bus(server, "tests", steady=True), SimIds(server.faults.random)
        parts = wire(SETTINGS, runtime_of("tests", bus, SimClock(), ids))
        self._reader = parts.loader
        desk = Desk(bus, ids, parts)
        for name in ("fix", "sub"):
            request = commands.SaveWorkflow(text=text_of(scenario.workflows[name]))
            await desk.catalogue.save_workflow(request, CONTEXT)
        await asyncio.sleep(_SETTLED_S)
        server.witnesses.append(self.watch.on_stored)
        server.faults.plan = scenario.plan
        self.processes = [
            *(SimProcess(server, f"orch{n}", self.build.orchestrate)
              for n in range(scenario.orchestrators)),
            *(SimProcess(server, f"work{n}", self.build.work) for n in range(scenario.workers)),
            SimProcess(server, "people", self.people.live),
        ]  # fmt: skip
        for process in self.processes:
            process.start()

    async def _until_over(self) -> None:
        """Look again and again, until every run has ended or something is broken."""
        looks, limit_s = self.server.faults.random, self.server.clock_s + _PATIENCE_S
        outages, since_s, healed = list(self.scenario.outages), self.server.clock_s, False
        while not self.watch.problems:
            await self._pause()
            if outages and self.server.clock_s >= since_s + outages[0].after_s:
                lasts_s = await self._outage(outages.pop(0))
                limit_s, since_s = limit_s + lasts_s, self.server.clock_s
            if not (healed or outages) and self.server.clock_s >= self.scenario.heal_s:
                healed = True
                self.server.faults.heal()
            if looks.random() < 0.15:
                await self._compare()
                self._check_rest()
            if healed and self._is_over():
                return
            if self.server.clock_s > limit_s:
                self.watch.complain(f"no end: {', '.join(map(_told, self.watch.live))}")

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self.watch.broken.wait()
        except TimeoutError:
            pass

    async def _outage(self, outage: Outage) -> float:
        """Have nothing but the broker for a while, once all runs are accepted."""
        if not self._all_started():
            return 0
        for process in self.processes:
            process.stay_away(outage.lasts_s)
        await asyncio.sleep(outage.lasts_s)
        return outage.lasts_s

    def _all_started(self) -> bool:
        return len(self.people.diary.accepted) == len(self.scenario.runs)

    def _is_over(self) -> bool:
        if not self._all_started() or self.watch.live:
            return False
        return all(not self._backlog(name) for name in _CONSUMERS)

    def _backlog(self, name: str) -> int:
        stream, _, durable = name.partition(".")
        info = self.server.streams[stream].consumers[durable].info()
        return int(info["num_pending"] + info["num_ack_pending"])

    # Checks.

    async def _compare(self) -> None:
        """Hold what owners have in memory, and what a new one would read, against the history."""
        alive = {process.name for process in self.processes if process.alive}
        for name in sorted(alive & self.build.caches.keys()):
            for cache in self.build.caches[name]:
                for live in cache._runs.values():
                    self.watch.compare(name, live)
        for seen in self.watch.live:
            try:
                read = await self._reader.load("default", seen.run)
            except UnstartableError as error:
                self.watch.complain(f"{seen.run}: nobody can read it: {error}")
            else:
                self.watch.compare("a new owner", read)

    def _check_rest(self) -> None:
        """Check that whatever is decided and stored leaves no run with nothing to move it."""
        if any(self._backlog(name) for name in _CONSUMERS[:SHARDS]):
            return
        for seen in self.watch.live:
            state = seen.at(seen.state.last_seq)
            state.touched.clear()
            for breach in at_rest(state, seen.plan):
                self.watch.complain(f"{seen.run}: {breach.place}: {breach.message}")

    async def _check_end(self) -> None:
        await self._compare()
        tops = self.watch.tops()
        labels = {planned.label for planned in self.scenario.runs}
        if tops.keys() != labels or len(self.watch.tops()) != len(labels):
            self.watch.complain(f"runs {sorted(tops)} began, and {sorted(labels)} were asked for")
        for planned in self.scenario.runs:
            self._check_run(planned.label, tops[planned.label])
        for seen in self.watch.runs.values():
            self._check_history(seen)
        for problem in self._left_over():
            self.watch.complain(problem)

    def _check_run(self, label: str, seen: Seen) -> None:
        """Hold a run's end against the model's."""
        ended = seen.state.ended
        [planned] = [one for one in self.scenario.runs if one.label == label]
        if ended is None:
            return
        may_stop = any(order.what != "pause" for order in planned.orders)
        policy = self.scenario.workflows[planned.workflow].get("concurrency", {}).get("policy", "")
        if ended.status == "cancelled" and (may_stop or policy.startswith("cancel")):
            return
        wanted = expected(self.scenario.workflows, planned.workflow, planned.inputs)
        for problem in _differences(seen, wanted, ended.status):
            self.watch.complain(f"{label} ({seen.run}): {problem}")

    def _check_history(self, seen: Seen) -> None:
        state, breaches = check_journal(seen.start, seen.plan, seen.entries[1:])
        for breach in breaches:
            self.watch.complain(f"{seen.run}: {breach.invariant}: {breach.message}")
        ended = state.ended
        if ended is None or state.terminate is not None or ended.status not in seen.plan.undo_on:
            return
        for token in state.undoable:
            if state.step(undo_token(token)).status not in SETTLED:
                self.watch.complain(f"{seen.run}: it ended {ended.status}, {token} is not undone")

    def _left_over(self) -> Iterator[str]:
        """Yield what should be gone once all is over."""
        streams = self.server.streams
        for held in streams[topology.DEAD].messages.values():
            yield f"dead letter: {held.subject}"
        for held in streams[f"KV_{topology.WAITS}"].messages.values():
            if held.data and self._had_begun(held.subject):
                yield f"a wait that is over is still listed: {held.subject}"
        for seen in self.watch.runs.values():
            parent = seen.state.started.parent
            if not isinstance(parent, msgspec.UnsetType):
                above = self.watch.runs[parent.run]
                if all(entry.event != ("child", seen.run, "ended") for entry in above.entries):
                    yield f"{parent.run} was not told of the end of {seen.run}"

    def _had_begun(self, listed: str) -> bool:
        """Tell whether a wait that is listed is in its run's history."""
        *_, run, token, attempt = listed.split(".")
        event = ("step", token.replace("=", "~"), attempt, "waiting")
        return any(entry.event == event for entry in self.watch.runs[run].entries)

    def report(self) -> Report:
        """Return what came of it."""
        watch = self.watch
        story = self.server.story(len(self.server.trace))
        lengths = [len(seen.entries) for seen in watch.runs.values()]
        return Report(
            seed=self.scenario.seed,
            problems=watch.problems,
            problem_s=self.server.clock_s,
            story=story.splitlines() if watch.problems else [],
            events=sum(lengths),
            steps=sum(len(seen.state.steps) for seen in watch.runs.values()),
            longest=max(lengths, default=0),
            virtual_s=self.server.clock_s,
            injected=dict(self.server.faults.injected),
            fingerprint=zlib.crc32(story.encode()),
        )


_CONSUMERS: Final = (
    *(f"{topology.RUNS}.{one.name}" for one in topology.shard_consumers(SHARDS)),
    f"{topology.TIMERS}.{topology.TIMER_RELAY}",
    f"{topology.INTAKE}.{topology.INTAKE_RELAY}",
)


def _told(seen: Seen) -> str:
    state = seen.state
    open_steps = {
        token: step.status for token, step in state.steps.items() if step.status not in SETTLED
    }
    return f"{state.workflow} {seen.run} parked={state.parked} {open_steps}"


def _differences(seen: Seen, wanted: Expected, status: str) -> Iterator[str]:
    if status != wanted.status:
        yield f"it ended {status} and not {wanted.status}: {seen.state.ended}"
        return
    output = seen.output
    if status == "completed" and output != wanted.outputs:
        wrong = [key for key, value in wanted.outputs.items() if output.get(key) != value]
        yield f"outputs of {wrong} differ: {[(output.get(k), wanted.outputs[k]) for k in wrong]}"
    for key, step in wanted.statuses.items():
        found = seen.state.step(key).status
        if found != step:
            yield f"step {key} is {found} and not {step}"
    undone = {
        token.removesuffix("~undo") for token, step in seen.state.steps.items()
        if token.endswith("~undo") and step.status == "completed"
    }  # fmt: skip
    must = wanted.undone if status == "failed" else set()
    if not must <= undone <= must | wanted.perhaps:
        yield f"{sorted(undone)} are undone and not {sorted(must)}"


def simulate(scenario: Scenario, build: type[Build] = Build) -> Report:
    """Play a scenario in virtual time, and return what came of it."""
    worlds: list[World] = []

    async def main() -> None:
        worlds.append(World(scenario, build(sharing=scenario.sharing)))
        await worlds[0].play()

    with _quiet():
        try:
            run_virtual(main(), seed=scenario.seed, limit_s=60 * 24 * 3600)
        except Exception as error:
            if not worlds:
                raise
            worlds[0].watch.problems.append(f"it broke: {type(error).__name__}: {error}")
    return worlds[0].report()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep thousands of expected warnings out of the output."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=_QUIET)
    try:
        yield
    finally:
        structlog.configure(**before)


__all__ = ["FaultPlan", "Report", "World", "simulate"]
