"""Evolve: what does an event change?"""

from decimal import Decimal
from typing import assert_never

from msgspec import UnsetType

from segue_contracts.v1 import runs, steps
from segue_contracts.v1.subjects import StepEvent, parse_step_event
from segue_contracts.v1.values import UsageTotals
from segue_orchestrator.core.entries import Completed
from segue_orchestrator.core.plan import Plan, StepPlan
from segue_orchestrator.core.policies import may_retry
from segue_orchestrator.core.state import IN_FLIGHT, SETTLED, Entry, OutputAt, RunState, StepState

Done = Completed | steps.StepFailed | steps.StepTimedOut | steps.StepCancelled
"""The outcomes of an attempt that was dispatched."""


def begin(run: str, namespace: str, entry: Entry) -> RunState | None:
    """Return the state after `started`; None when the event is another."""
    if not isinstance(entry.body, runs.RunStarted):
        return None
    return RunState(
        run=run,
        namespace=namespace,
        workflow=entry.body.workflow,
        definition=entry.body.definition,
        inputs=entry.body.inputs,
        start_seq=entry.sequence,
        started_ms=entry.time_ms,
        last_seq=entry.sequence,
        now_ms=entry.time_ms,
    )


def evolve(state: RunState, plan: Plan, entry: Entry) -> None:
    """Fold one event into the state; events are folded once, in stream order.

    An event that is older than the state, comes after the end, or belongs to no step of the plan
    changes nothing but the position.
    """
    if entry.sequence <= state.last_seq:
        return
    state.last_seq = entry.sequence
    if state.ended is not None:
        return
    state.now_ms = max(state.now_ms, entry.time_ms)
    event = parse_step_event(entry.event)
    if event is None:
        _evolve_run(state, plan, entry)
    elif (step := plan.steps.get(event.token)) is not None:
        _evolve_step(state, step, event, entry)


def _evolve_run(state: RunState, plan: Plan, entry: Entry) -> None:
    match entry.body:
        case runs.TimerFired(deadline_ms=deadline_ms):
            state.now_ms = max(state.now_ms, deadline_ms)
            state.touched |= state.retrying
        case runs.CancelRequested() as cancel if state.cancel is None:
            state.cancel, state.cancel_ms = cancel, entry.time_ms
            state.parked = None
        case runs.RunParked() as parked:
            state.parked = parked
            state.parks += 1
        case runs.RunUnparked():
            state.parked = None
            touch_all(state, plan)
        case runs.RunEnded() as ended:
            state.ended, state.ended_ms = ended, entry.time_ms
        case _:
            pass


def _evolve_step(state: RunState, plan: StepPlan, event: StepEvent, entry: Entry) -> None:
    step = state.steps.setdefault(event.token, StepState())
    if step.status in SETTLED or event.attempt < step.attempt:
        return
    match entry.body:
        case steps.StepScheduled() as task if event.attempt > step.attempt:
            _on_scheduled(state, step, event, task, entry.time_ms)
        case steps.StepStarted() if _is_current(step, event):
            step.status = "running"
        case steps.StepSkipped(reason=reason) if step.attempt == 0:
            step.status, step.reason, step.settled_ms = "skipped", reason, entry.time_ms
            _settle(state, plan)
        case outcome if isinstance(outcome, Done) and _is_current(step, event):
            _on_outcome(state, plan, step, outcome, entry)
        case _:
            pass


def _is_current(step: StepState, event: StepEvent) -> bool:
    return event.attempt == step.attempt and step.status in IN_FLIGHT


def _on_scheduled(
    state: RunState, step: StepState, event: StepEvent, task: steps.StepScheduled, time_ms: int
) -> None:
    step.status = "scheduled"
    step.attempt = event.attempt
    step.deadline_ms = task.deadline_ms
    step.first_ms = step.first_ms or time_ms
    state.in_flight.add(event.token)
    state.retrying.discard(event.token)


def _on_outcome(
    state: RunState, plan: StepPlan, step: StepState, outcome: Done, entry: Entry
) -> None:
    state.in_flight.discard(plan.token)
    step.settled_ms = entry.time_ms
    match outcome:
        case Completed() as done:
            step.status, step.error, step.provider = "completed", None, done.provider
            step.output = _output_at(done, entry.sequence)
            step.usage = added(step.usage, done.usage)
        case steps.StepFailed(error=error, usage=usage):
            step.status, step.error = "failed", error
            step.usage = added(step.usage, usage)
        case steps.StepTimedOut(error=error):
            step.status, step.error = "timed_out", error
        case steps.StepCancelled(reason=reason, usage=usage):
            step.status, step.reason, step.error = "cancelled", reason, None
            step.usage = step.usage if isinstance(usage, UnsetType) else added(step.usage, usage)
        case _:
            assert_never(outcome)
    if step.error is not None and may_retry(plan.retry, step.attempt, step.error):
        step.status = "retrying"
        state.retrying.add(plan.token)
        state.touched.add(plan.token)
    else:
        _settle(state, plan)


def _settle(state: RunState, plan: StepPlan) -> None:
    """Count a step as settled for good, and wake up those that wait for it."""
    state.settled += 1
    state.touched.update(plan.dependents)


def _output_at(done: Completed, sequence: int) -> OutputAt:
    ref = done.output.ref
    return OutputAt(sequence, None if isinstance(ref, UnsetType) else ref)


def added(total: UsageTotals, more: UsageTotals) -> UsageTotals:
    """Return the sum of two usages."""
    if more == _NOTHING:
        return total
    return UsageTotals(
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        cost_usd=str(Decimal(total.cost_usd) + Decimal(more.cost_usd)),
        model_calls=total.model_calls + more.model_calls,
        tool_calls=total.tool_calls + more.tool_calls,
    )


_NOTHING = UsageTotals()


def touch_all(state: RunState, plan: Plan) -> None:
    """Mark every step for a decision, as after a cold fold."""
    state.touched.update(plan.steps)
