"""Ends of waits: is nothing left over of a wait that overlapped the end of its run?"""

import asyncio
from typing import Any

from support.history import History, waiting
from unit.testing.sim_world import simulated

from segue_contracts.envelope import encode
from segue_contracts.v1 import runs, steps, subjects, topology
from segue_orchestrator.core.effects import BeginWait
from segue_orchestrator.core.state import OverWait
from segue_orchestrator.shell.intake import Intake
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_orchestrator.shell.writer import Writer
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.sim import SimClock, SimServer

ENDED = ("ended", runs.RunEnded(status="cancelled"))


def test_a_wait_that_begins_after_the_end_is_over() -> None:
    """So that it is taken out of the index, in which it was put before."""
    run = History("{name: w, steps: [{key: a, wait: {signal: go}}]}").given(ENDED)

    run.given(waiting("a", 2, kind="signal", name="go"))

    assert run.state.over == [OverWait("a", steps.StepWaiting(kind="signal", name="go"), 2)]
    assert run.state.steps == {}


def test_other_events_after_the_end_leave_nothing_over() -> None:
    """Nor do those of a form that is not known."""
    run = History("{name: w, steps: [{key: a, wait: {signal: go}}]}").given(ENDED)

    run.given(
        ("step.a.one.waiting", steps.StepWaiting(kind="signal", name="go")),
        ("timer.1", runs.TimerFired(deadline_ms=1)),
    )

    assert run.state.over == []


def _begins(match: str) -> History:
    text = f"""{{name: w, steps: [
      {{key: z, pool: p}},
      {{key: a, dependsOn: [z], wait: {{event: orders, match: "{match}"}}}},
    ]}}"""
    return History(text).given(
        ("step.z.1.scheduled.p.p2", _TASK), ("step.z.1.outcome.completed", steps.StepCompleted())
    )


_TASK = steps.StepScheduled(
    run="r", namespace="default", workflow="w", step="z", attempt=1, pool="p", kind="pool"
)


def _told(match: str) -> int:
    """Return how many signals an event brings to a run that waits for it on a condition."""
    run = _begins(match)
    [begin] = [effect for effect in run.then() if isinstance(effect, BeginWait)]

    async def body(server: SimServer, bus: Bus) -> int:
        index = Journal(bus, f"KV_{topology.WAITS}")
        waits = WaitIndex(KeyValue(bus, topology.WAITS), index)
        writer = Writer(bus, SimClock())
        await waits.put(run.state, begin)
        intake = Intake(waits, Payloads(bus, topology.PAYLOADS), writer)
        await intake.relay(_delivery(subjects.intake("default", "orders"), {"n": 1}))
        await asyncio.sleep(1)
        pattern = subjects.run_all("default", run.run)
        return len(await Journal(bus, topology.RUNS).last([pattern]))

    return simulated(body)


def _delivery(subject: str, event: Any) -> Delivery:
    return Delivery(subject, encode(event), 1, 0, 1, "", {})


def test_a_condition_on_an_event_may_name_the_run() -> None:
    """What says which run it is can be read where the event is held against the condition."""
    assert _told("{{ event.n == 1 and run.workflow == 'w' }}") == 1
    assert _told("{{ event.n == 1 and run.workflow == 'v' }}") == 0


def test_a_condition_on_an_event_may_name_a_steps_status() -> None:
    """How the steps before went can be read there as well."""
    assert _told("{{ event.n == 1 and steps.z.status == 'completed' }}") == 1
    assert _told("{{ event.n == 1 and steps.z.status == 'failed' }}") == 0
