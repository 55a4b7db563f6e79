"""Loose ends: which step will nothing ever move, once everything decided is stored?"""

from collections.abc import Iterator
from typing import Final

import msgspec

from segue_orchestrator.core.closing import closing_of, has_work
from segue_orchestrator.core.limits import over_budget
from segue_orchestrator.core.plan import Plan, StepPlan, undo_token, undone_token
from segue_orchestrator.core.state import SETTLED, RunState, has_open_items

RUN: Final = "run"
"""The place of what concerns no one step."""


class Idle(msgspec.Struct, frozen=True):
    """Something that nothing will move."""

    place: str
    """The step's token, or `run`."""
    message: str
    """What it lacks."""


def idle_steps(state: RunState, plan: Plan) -> Iterator[Idle]:
    """Yield what has no next cause: no task, timer, wait, lease or child run, and nobody holds it.

    A run that ended, is paused, or is parked is moved by nothing on purpose, and a step that is
    still touched waits for room in its pool.
    """
    if state.ended is not None or state.paused or state.parked is not None:
        return
    if closing_of(state, plan) is not None:
        yield from _closing(state)
        return
    if len(state.leases) < len(plan.leases):
        return
    ringing = {alarm.token for alarm in state.alarms}
    found = [*_under_way(state, ringing)]
    if not (state.in_flight and over_budget(state, plan)):
        found += _not_begun(state, plan, ringing)
    yield from (idle for idle in found if idle.place not in state.touched)


def _closing(state: RunState) -> Iterator[Idle]:
    undoing = any(undone_token(token) for token in state.retrying)
    if not (state.in_flight or undoing):
        yield Idle(RUN, "it is to stop, nothing is in flight, and it has not ended")


def _under_way(state: RunState, ringing: set[str]) -> Iterator[Idle]:
    for token in sorted(state.held):
        yield Idle(token, f"it is {state.steps[token].status}, and nothing was decided on that")
    for token in sorted(state.in_flight - ringing):
        wait = state.steps[token].wait
        if wait is not None and wait.asked.kind in {"duration", "until"}:
            yield Idle(token, "it waits for a moment, and no alarm is set for it")
        elif wait is not None and wait.answer is not None:
            yield Idle(token, "what it waited for has come, and it goes on waiting")


def _not_begun(state: RunState, plan: Plan, ringing: set[str]) -> Iterator[Idle]:
    for token in sorted(state.retrying - ringing):
        yield Idle(token, "its next attempt is due, and no alarm is set for it")
    if state.settled == len(plan.steps):
        yield from _undoing(state)
        return
    for step in plan.steps.values():
        current = state.step(step.token)
        if current.map is not None and current.status == "running":
            yield from _of_map(state, step)
        elif current.status == "pending" and _is_ready(state, step):
            yield Idle(step.token, "all it depends on is settled, and it was not dispatched")


def _undoing(state: RunState) -> Iterator[Idle]:
    """Yield the run itself when it should have ended, since nothing is being undone."""
    tasks = (undo_token(token) for token in state.undoable)
    if has_work(state):
        return
    if all(state.step(task).status in SETTLED | {"pending"} for task in tasks):
        yield Idle(RUN, "every step is settled, and the run has not ended")


def _of_map(state: RunState, step: StepPlan) -> Iterator[Idle]:
    if not has_open_items(state, step.token):
        yield Idle(step.token, "none of its items is under way, and no further one was dispatched")


def _is_ready(state: RunState, step: StepPlan) -> bool:
    """Tell whether nothing keeps a step from being dispatched or skipped."""
    if any(state.step(token).status not in SETTLED for token in step.dependencies):
        return False
    if not step.escalates:
        return True
    approval = state.step(step.escalates)
    wait = approval.wait
    due = wait is not None and 0 < wait.asked.escalate_ms <= state.now_ms
    return due or approval.status in SETTLED
