"""People of a simulation: who starts runs, answers what they wait for, and interferes?"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from support.simulation_parts import Build
from support.simulation_recipes import Order, Planned, Scenario, text_of
from support.simulation_watch import Seen, Watch

from segue_contracts.envelope import encode
from segue_contracts.v1 import commands, subjects, topology
from segue_contracts.v1.runs import WaitKind
from segue_orchestrator.shell.catalogue_handlers import CatalogueHandlers
from segue_orchestrator.shell.control_handlers import ControlHandlers
from segue_orchestrator.shell.standing import Standing
from segue_orchestrator.shell.wait_handlers import WaitHandlers
from segue_orchestrator.wiring import Parts
from segue_shared.bus import Bus
from segue_shared.commands import Context
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import Ids
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_testing.sim import SimProcess

if TYPE_CHECKING:
    from segue_orchestrator.core.state import StepState

CONTEXT = Context(subject="tests", namespace="default")
_TICK_S = 2.0
_BUSY = {"conflict", "not_found"}


@dataclass
class Diary:
    """What people have done; it outlives the process in which they do it."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Run by label."""
    done: set[tuple[str, Order]] = field(default_factory=set)
    paused_s: dict[str, float] = field(default_factory=dict)
    """When a run was paused."""


class Desk:
    """The commands of a process."""

    def __init__(self, bus: Bus, ids: Ids, parts: Parts) -> None:
        standing = Standing(bus, parts.loader, parts.writer, ids)
        snapshots = KeyValue(bus, topology.SNAPSHOTS)
        self.admission = parts.admission
        self.catalogue = CatalogueHandlers(parts.admission, parts.catalogue)
        self.control = ControlHandlers(standing, journal=parts.journal, snapshots=snapshots)
        self.waits = WaitHandlers(
            standing,
            writer=parts.writer,
            payloads=parts.payloads,
            ids=ids,
            journal=parts.journal,
            waits=parts.waits,
            leases=Journal(bus, f"KV_{topology.LEASES}"),
        )
        self.bus = bus


class People:
    """Everybody who has to do with the runs of a scenario."""

    def __init__(self, scenario: Scenario, build: Build, watch: Watch) -> None:
        self.diary = Diary()
        self._scenario = scenario
        self._build = build
        self._watch = watch
        self._random = Random(f"people {scenario.seed}")  # noqa: S311 - repeatable on purpose

    async def live(self, process: SimProcess) -> None:
        """Look again and again, and do what is due."""
        desk = Desk(process.bus, process.ids, self._build.parts(process))
        while True:
            await self._look(process, desk)
            await process.clock.sleep(_TICK_S)

    async def _look(self, process: SimProcess, desk: Desk) -> None:
        now_s = process.clock.monotonic()
        for planned in self._scenario.runs:
            if planned.label not in self.diary.accepted and planned.at_s <= now_s:
                await _tried(self._start(desk, planned))
        for planned in self._scenario.runs:
            for order in planned.orders:
                await _tried(self._obey(desk, planned, order, now_s))
        for seen in self._watch.live:
            await _tried(self._tend(desk, seen, now_s))

    async def _start(self, desk: Desk, planned: Planned) -> None:
        definition = self._scenario.workflows[planned.workflow]
        request = commands.StartRun(
            text=text_of(definition), inputs=planned.inputs, key=planned.label
        )
        told = [await desk.admission.start("default", request)]
        if self._random.random() < 0.3:
            told.append(await desk.admission.start("default", request))
        known = {one.run for one in told}
        if len(known) > 1:
            self._watch.complain(f"key {planned.label!r} stands for runs {sorted(known)}")
        self.diary.accepted[planned.label] = told[0].run

    async def _obey(self, desk: Desk, planned: Planned, order: Order, now_s: float) -> None:
        run = self.diary.accepted.get(planned.label)
        if run is None or (planned.label, order) in self.diary.done or now_s < order.at_s:
            return
        control = desk.control
        try:
            match order.what:
                case "pause":
                    await control.pause_run(commands.PauseRun(run=run), CONTEXT)
                    self.diary.paused_s[run] = now_s
                case "cancel":
                    await control.cancel_run(commands.CancelRun(run=run), CONTEXT)
                case "terminate":
                    await control.terminate_run(commands.TerminateRun(run=run), CONTEXT)
        except RefusedError:
            if self._watch.runs[run].state.ended is None:
                raise
        self.diary.done.add((planned.label, order))

    async def _tend(self, desk: Desk, seen: Seen, now_s: float) -> None:
        """Do what a run needs of people to go on."""
        state = seen.state
        if state.parked is not None and state.parked.code == "budget_exceeded":
            request = commands.ExtendBudget(run=seen.run, tokens=50)
            await desk.control.extend_budget(request, CONTEXT)
        elif state.parked is not None or self._was_paused_long(seen, now_s):
            await desk.control.resume_run(commands.ResumeRun(run=seen.run), CONTEXT)
        for token in sorted(state.in_flight):
            step = state.steps.get(token)
            if step is not None and step.wait is not None and self._random.random() < 0.6:
                await self._answer(desk, seen, token, step)

    def _was_paused_long(self, seen: Seen, now_s: float) -> bool:
        if not seen.state.paused:
            return False
        return now_s - self.diary.paused_s.setdefault(seen.run, now_s) > 6

    async def _answer(self, desk: Desk, seen: Seen, token: str, step: "StepState") -> None:
        if step.wait is None:
            return
        kind: WaitKind = step.wait.asked.kind
        name = step.wait.asked.name
        match kind:
            case "signal":
                request = commands.SignalRun(
                    run=seen.run, name=name, payload={"n": name}, key=f"{seen.run} {name}"
                )
                await desk.waits.signal_run(request, CONTEXT)
            case "event":
                await self._publish(desk.bus, seen, name)
            case "approval":
                await self._approve(desk, seen, token, step)
            case _:
                pass

    async def _publish(self, bus: Bus, seen: Seen, topic: str) -> None:
        """Publish one event that is meant for nobody, and one for this run."""
        subject = subjects.intake("default", topic)
        x = _inputs(seen).get("x")
        for event in ({"x": -1}, {"x": x}):
            await bus.append(subject, encode(event))

    async def _approve(self, desk: Desk, seen: Seen, token: str, step: "StepState") -> None:
        wait = step.wait
        if wait is None:
            return
        escalation = seen.plan.steps.get("esc")
        keeps_open = escalation is not None and escalation.escalates == token
        if keeps_open and seen.state.step("esc").status != "completed":
            return
        for by in wait.asked.approvers[: wait.asked.quorum]:
            request = commands.DecideApproval(run=seen.run, step=token, decision="approved", by=by)
            await desk.waits.decide_approval(request, CONTEXT)


def _inputs(seen: Seen) -> dict[str, Any]:
    value = seen.state.started.inputs.inline
    return value if isinstance(value, dict) else {}


async def _tried(doing: Awaitable[None]) -> None:
    """Try something that is tried again later; it may also be too late for it."""
    try:
        await doing
    except TransientError:
        pass
    except RefusedError as error:
        if error.refused.code not in _BUSY:
            raise
