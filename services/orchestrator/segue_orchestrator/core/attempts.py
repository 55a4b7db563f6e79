"""Attempts: what do events of the work on a step change?"""

from typing import assert_never

from msgspec import UnsetType

from segue_contracts.v1 import steps
from segue_contracts.v1.subjects import StepEvent
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.entries import (
    ChildEnded,
    ChildStarted,
    Completed,
    Mapped,
    Scheduled,
    Turn,
)
from segue_orchestrator.core.limits import BUDGET_EXCEEDED
from segue_orchestrator.core.plan import StepPlan, index_of, undone_token
from segue_orchestrator.core.policies import (
    MAP_CHUNK,
    START_GRACE_MS,
    backoff_ms,
    held_delay_ms,
    may_retry,
    rule_of,
)
from segue_orchestrator.core.state import (
    IN_FLIGHT,
    Entry,
    Launch,
    MapState,
    RunState,
    StepState,
)
from segue_orchestrator.core.usage import added, beyond
from segue_orchestrator.core.waits import forget_wait

Done = Completed | steps.StepFailed | steps.StepTimedOut | steps.StepCancelled
"""The outcomes of an attempt that was dispatched."""

SCHEMA_VIOLATION = "schema_violation"


def on_event(state: RunState, plan: StepPlan, event: StepEvent, entry: Entry) -> None:
    """Fold an event of a step that is not settled."""
    step = state.steps[event.token]
    match entry.body:
        case Scheduled() as task if event.attempt > step.attempt:
            _dispatched(state, event.token, event.attempt, entry, deadline_ms=task.deadline_ms)
            step.scheduled_ms = max(entry.time_ms, task.not_before_ms)
            _watch_queue(state, plan, event.token)
        case steps.StepStarted() if _is_current(step, event):
            _on_started(state, plan, event, entry)
        case steps.StepBeat() if _is_current(step, event):
            _on_alive(state, plan, event, entry)
        case Turn(usage=usage) if _is_current(step, event):
            step.told = added(step.told, usage)
            _charge(state, step, usage)
        case Mapped() as mapped if step.attempt == 0:
            _on_mapped(state, event, mapped, entry)
        case steps.StepChecked() as checked if step.status == "checking":
            _on_checked(state, plan, event.token, checked, entry)
        case steps.StepSkipped(reason=reason) if step.attempt == 0:
            step.status, step.reason = "skipped", reason
            _settle(state, plan, event.token, entry)
        case outcome if isinstance(outcome, Done) and _is_current(step, event):
            on_outcome(state, plan, event.token, outcome, entry)
        case _:
            on_late(state, event.token, event.attempt, entry)


def on_late(state: RunState, token: str, attempt: int, entry: Entry) -> None:
    """Fold what is told of an attempt that is over: only what it used counts."""
    step = state.steps[token]
    if attempt > step.attempt:
        return
    match entry.body:
        case Turn(usage=usage) | steps.StepSpent(usage=usage) | ChildEnded(usage=usage):
            _charge(state, step, usage)
        case _:
            pass


def _is_current(step: StepState, event: StepEvent) -> bool:
    return event.attempt == step.attempt and step.status in IN_FLIGHT


# Dispatch.


def _dispatched(
    state: RunState, token: str, attempt: int, entry: Entry, *, deadline_ms: int
) -> StepState:
    step = state.steps[token]
    step.status, step.attempt = "scheduled", attempt
    step.scheduled_ms = entry.time_ms
    step.first_ms = step.first_ms or entry.time_ms
    step.started_ms = step.alive_ms = 0
    step.told = None
    step.deadline_ms = deadline_ms
    state.ring_at(deadline_ms, token, attempt)
    state.in_flight.add(token)
    state.retrying.discard(token)
    note_item(state, token)
    return step


def note_item(state: RunState, token: str) -> None:
    """Move a repeated step's pointer past the items that have begun.

    One decision begins so many items at most; when all of those have, the next ones are due.
    """
    index = index_of(token)
    if index is None or undone_token(token):
        return
    base = token.partition("~")[0]
    repeated = state.steps[base].map if base in state.steps else None
    if repeated is None:
        return
    while repeated.next < repeated.count and f"{base}~{repeated.next}" in state.steps:
        repeated.next += 1
        if repeated.next % MAP_CHUNK == 0:
            state.touched.add(base)


def _watch_queue(state: RunState, plan: StepPlan, token: str) -> None:
    if plan.limits.queue_ms:
        step = state.steps[token]
        at_ms = step.scheduled_ms + plan.limits.queue_ms + START_GRACE_MS
        state.ring_at(at_ms, token, step.attempt)


def _on_started(state: RunState, plan: StepPlan, event: StepEvent, entry: Entry) -> None:
    step = state.steps[event.token]
    step.status, step.started_ms = "running", entry.time_ms
    if plan.limits.start_to_close_ms:
        at_ms = entry.time_ms + plan.limits.start_to_close_ms
        state.ring_at(at_ms, event.token, event.attempt)
    _on_alive(state, plan, event, entry)


def _on_alive(state: RunState, plan: StepPlan, event: StepEvent, entry: Entry) -> None:
    state.steps[event.token].alive_ms = entry.time_ms
    if plan.limits.heartbeat_ms:
        state.ring_at(entry.time_ms + plan.limits.heartbeat_ms, event.token, event.attempt)


def _on_mapped(state: RunState, event: StepEvent, mapped: Mapped, entry: Entry) -> None:
    step = state.steps[event.token]
    step.status, step.attempt = "running", event.attempt
    step.scheduled_ms = step.first_ms = step.started_ms = entry.time_ms
    step.map = MapState(count=mapped.count, items=mapped.items.at(entry.sequence))
    state.touched.add(event.token)
    while step.map.next < step.map.count and f"{event.token}~{step.map.next}" in state.steps:
        step.map.next += 1


def on_child_started(state: RunState, child: ChildStarted, entry: Entry) -> None:
    """Fold the dispatch of a step whose work is a run of its own."""
    if child.attempt <= state.steps[child.step].attempt:
        return
    step = _dispatched(state, child.step, child.attempt, entry, deadline_ms=child.deadline_ms)
    step.status, step.started_ms = "running", entry.time_ms
    step.child = child.run
    step.launch = Launch(child.workflow, child.definition, child.inputs.at(entry.sequence))
    state.touched.add(child.step)


def on_child_ended(state: RunState, plan: StepPlan, child: ChildEnded, entry: Entry) -> None:
    """Fold the end of the run that was an attempt's work."""
    outcome: Done
    if child.status == "completed" and not isinstance(child.output, UnsetType):
        outcome = Completed(output=child.output, usage=child.usage)
    elif isinstance(child.error, UnsetType):
        error = Failure(code="child_failed", message=f"run {child.run} ended {child.status}")
        outcome = steps.StepFailed(error=error, usage=child.usage)
    else:
        message = f"run {child.run}: {child.error.message}"
        code = "child_cancelled" if child.status == "cancelled" else "child_failed"
        details = {**child.error.details, "run": child.run, "cause": child.error.code}
        # Somebody wanted it to stop: another attempt would go against that.
        again = child.status != "cancelled"
        error = Failure(code=code, message=message, retryable=again, details=details)
        outcome = steps.StepFailed(error=error, usage=child.usage)
    on_outcome(state, plan, child.step, outcome, entry)


# Outcomes.


def on_outcome(state: RunState, plan: StepPlan, token: str, outcome: Done, entry: Entry) -> None:
    """Fold the outcome of the attempt in flight."""
    step = state.steps[token]
    state.in_flight.discard(token)
    forget_wait(state, token, used=isinstance(outcome, Completed))
    step.settled_ms = entry.time_ms
    step.settled_seq = entry.sequence
    step.launch = None
    match outcome:
        case Completed() as done:
            _on_completed(state, plan, token, done, entry)
            return
        case steps.StepFailed(error=error, usage=usage):
            step.status, step.error = "failed", error
            _charge_rest(state, step, usage)
        case steps.StepTimedOut(error=error, usage=usage):
            step.status, step.error = "timed_out", error
            _charge_rest(state, step, usage)
        case steps.StepCancelled(reason=reason, usage=usage):
            step.status, step.reason, step.error = "cancelled", reason, None
            _charge_rest(state, step, usage)
        case _:
            assert_never(outcome)
    _after_failure(state, plan, token, entry)


def _on_completed(
    state: RunState, plan: StepPlan, token: str, done: Completed, entry: Entry
) -> None:
    step = state.steps[token]
    step.error, step.provider = None, done.provider
    step.output = done.output.at(entry.sequence)
    _charge_rest(state, step, done.usage)
    if plan.output_schema is not None and not (plan.map and index_of(token) is None):
        step.status = "checking"
        state.held.add(token)
        state.touched.add(token)
        return
    step.status = "completed"
    _settle(state, plan, token, entry)


def _on_checked(
    state: RunState, plan: StepPlan, token: str, checked: steps.StepChecked, entry: Entry
) -> None:
    step = state.steps[token]
    state.held.discard(token)
    if checked.accepted:
        step.status = "completed"
        _settle(state, plan, token, entry)
        return
    message = "; ".join(checked.problems) or "the output violates the step's schema"
    step.status, step.output = "failed", None
    step.error = Failure(code=SCHEMA_VIOLATION, message=message)
    step.settled_ms, step.settled_seq = entry.time_ms, entry.sequence
    _after_failure(state, plan, token, entry)


def _charge_rest(state: RunState, step: StepState, usage: UsageTotals | UnsetType) -> None:
    """Charge what an outcome tells beyond the attempt's turns, which were charged as they came."""
    if not isinstance(usage, UnsetType):
        _charge(state, step, beyond(usage, step.told))
    step.told = None


def _charge(state: RunState, step: StepState, usage: UsageTotals) -> None:
    step.usage = added(step.usage, usage)
    if step.map is None:
        state.usage.add(usage)


def _after_failure(state: RunState, plan: StepPlan, token: str, entry: Entry) -> None:
    """Try again, wait for somebody to mend it, or settle."""
    step = state.steps[token]
    error = step.error
    if error is None:
        _settle(state, plan, token, entry)
    elif may_retry(plan.retry, step.attempt, error) and _in_time(state, plan, token, error):
        step.status = "retrying"
        state.retrying.add(token)
        early_ms = step.due_ms - held_delay_ms(plan.kind)
        if early_ms > state.now_ms:
            state.ring_at(early_ms, token, step.attempt)
        else:
            state.touched.add(token)
    elif _parks(plan, error):
        step.status = "parked"
        state.held.add(token)
        state.touched.add(token)
    else:
        _settle(state, plan, token, entry)


def _in_time(state: RunState, plan: StepPlan, token: str, error: Failure) -> bool:
    """Set when the next attempt is due; tell whether the step's time lasts until then."""
    step = state.steps[token]
    rule = rule_of(plan.retry, error)
    wait_ms = backoff_ms(rule, run=state.run, step=token, attempt=step.attempt)
    step.due_ms = step.settled_ms + wait_ms
    total_ms = plan.limits.schedule_to_close_ms
    return not total_ms or step.due_ms < step.first_ms + total_ms


def _parks(plan: StepPlan, error: Failure) -> bool:
    if error.code == BUDGET_EXCEEDED:
        return plan.parks_unpaid
    return plan.retry.parks or bool(plan.compensates) or error.code == SCHEMA_VIOLATION


# Settled for good.


def _settle(state: RunState, plan: StepPlan, token: str, entry: Entry) -> None:
    step = state.steps[token]
    step.settled_ms, step.settled_seq = entry.time_ms, entry.sequence
    if plan.compensated and step.status == "completed" and step.map is None:
        state.undoable.append(token)
    if plan.compensates:
        return
    if index_of(token) is None:
        count_settled(state, plan, token)
        return
    _settle_item(state, plan, token)


def count_settled(state: RunState, plan: StepPlan, token: str) -> None:
    """Count a step as settled for good, and wake up those that wait for it."""
    state.settled += 1
    state.touched.update(plan.dependents)
    state.touched.discard(token)


def _settle_item(state: RunState, plan: StepPlan, token: str) -> None:
    note_item(state, token)
    base = token.partition("~")[0]
    repeated = state.steps[base].map if base in state.steps else None
    if repeated is None:
        return
    repeated.settled += 1
    step = state.steps[token]
    if step.status != "completed" and not plan.continue_on_error and not repeated.failed:
        repeated.failed = token
    state.touched.add(base)
