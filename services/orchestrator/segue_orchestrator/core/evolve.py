"""Evolve: what does an event change?"""

import heapq
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec import UnsetType

from segue_contracts.v1 import runs, steps
from segue_contracts.v1.subjects import StepEvent, run_prefix
from segue_orchestrator.core import attempts, waits
from segue_orchestrator.core.entries import ChildEnded, ChildStarted, Signal
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import (
    IN_FLIGHT,
    SETTLED,
    Alarm,
    Entry,
    OutputAt,
    RunState,
    StepState,
)


def begin(run: str, namespace: str, entry: Entry) -> RunState | None:
    """Return the state after `started`; None when the event is another."""
    if not isinstance(entry.body, runs.RunStarted):
        return None
    return RunState(
        run=run,
        namespace=namespace,
        prefix=run_prefix(namespace, run),
        started=entry.body,
        start_seq=entry.sequence,
        started_ms=entry.time_ms,
        last_seq=entry.sequence,
        now_ms=entry.time_ms,
    )


def take_over(state: RunState, plan: Plan, settled: Mapping[str, object]) -> None:
    """Settle the steps that a forked run shares with the run it was forked from.

    Args:
        state: The state after `started`.
        plan: The run's plan.
        settled: The value of the start's `fork.settled`: `SettledStep` as JSON, by token.
    """
    for token, content in settled.items():
        step = plan.steps.get(token)
        if step is None:
            continue
        shared = msgspec.convert(content, runs.SettledStep)
        ref = shared.output
        state.steps[token] = StepState(
            status=shared.status if shared.status in SETTLED else "completed",  # type: ignore[arg-type]
            attempt=shared.attempt,
            settled_ms=state.started_ms,
            settled_seq=state.start_seq,
            output=None if isinstance(ref, UnsetType) else OutputAt(state.start_seq, ref),
            error=None if isinstance(shared.error, UnsetType) else shared.error,
            reason=shared.reason,
            provider=shared.provider,
            usage=shared.usage,
            shared=True,
        )
        attempts.count_settled(state, step, token)


def evolve(state: RunState, plan: Plan, entry: Entry) -> None:
    """Fold one event into the state; events are folded once, in stream order.

    An event that is older than the state, comes after the end, or belongs to no step of the plan
    changes nothing but the position.
    """
    if entry.sequence <= state.last_seq:
        return
    state.last_seq = entry.sequence
    if state.ended is not None:
        waits.on_late(state, entry)
        return
    state.now_ms = max(state.now_ms, entry.time_ms)
    event = entry.event
    if event[0] == "step":
        _evolve_step(state, plan, entry)
    elif event[0] == "child":
        _evolve_child(state, plan, entry)
    else:
        _evolve_run(state, plan, entry)
    _ring(state)


def _ring(state: RunState) -> None:
    """Touch every step whose moment has come, and forget the moments of attempts that are over."""
    alarms = state.alarms
    while alarms and (alarms[0].at_ms <= state.now_ms or _is_over(state, alarms[0])):
        alarm = heapq.heappop(alarms)
        if not _is_over(state, alarm):
            state.touched.add(alarm.token)


def _is_over(state: RunState, alarm: Alarm) -> bool:
    step = state.steps[alarm.token]
    return step.status in SETTLED or step.attempt != alarm.attempt


def _evolve_step(state: RunState, plan: Plan, entry: Entry) -> None:
    event = _step_event(entry.event)
    step = None if event is None else plan.find(event.token)
    if event is None or step is None:
        return
    current = state.steps.get(event.token)
    if current is None:
        current = state.steps[event.token] = StepState()
    if current.status in SETTLED or event.attempt < current.attempt:
        attempts.on_late(state, event.token, event.attempt, entry)
        return
    body = entry.body
    if isinstance(body, steps.StepWaiting):
        waits.on_waiting(state, event, body, entry)
        attempts.note_item(state, event.token)
    else:
        attempts.on_event(state, step, event, entry)


def _step_event(event: tuple[str, ...]) -> StepEvent | None:
    match event:
        case ("step", token, attempt, what, *rest) if attempt.isascii() and attempt.isdigit():
            return StepEvent(token, int(attempt), what, tuple(rest))
        case _:
            return None


def _evolve_child(state: RunState, plan: Plan, entry: Entry) -> None:
    body = entry.body
    if not isinstance(body, ChildStarted | ChildEnded):
        return
    step = plan.find(body.step)
    if step is None:
        return
    current = state.steps.setdefault(body.step, StepState())
    if isinstance(body, ChildStarted):
        if current.status not in SETTLED:
            attempts.on_child_started(state, body, entry)
    elif body.attempt == current.attempt and current.status in IN_FLIGHT:
        attempts.on_child_ended(state, step, body, entry)
    else:
        attempts.on_late(state, body.step, body.attempt, entry)


def _evolve_run(state: RunState, plan: Plan, entry: Entry) -> None:
    match entry.body:
        case runs.TimerFired(deadline_ms=deadline_ms):
            state.now_ms = max(state.now_ms, deadline_ms)
        case Signal() as signal:
            waits.on_signal(state, signal, entry)
        case runs.ApprovalGiven() as word:
            waits.on_approval(state, word, entry)
        case runs.CancelRequested() as cancel if state.cancel is None:
            _on_cancel(state, cancel, entry)
        case runs.TerminateRequested() as terminate:
            state.terminate = terminate
        case runs.RunEnded() as ended:
            state.ended, state.ended_ms, state.ended_seq = ended, entry.time_ms, entry.sequence
            waits.forget_all(state)
        case _:
            _evolve_standing(state, plan, entry)


def _on_cancel(state: RunState, cancel: runs.CancelRequested, entry: Entry) -> None:
    """Fold the wish that the run stops; nothing that held it back keeps it from ending."""
    state.cancel, state.cancel_ms = cancel, entry.time_ms
    state.paused, state.parked = False, None
    _touch_open(state)


def _evolve_standing(state: RunState, plan: Plan, entry: Entry) -> None:
    """Fold what holds a run back, or lets it go on."""
    match entry.body:
        case runs.RunPaused():
            state.paused = True
            state.pauses += 1
        case runs.RunResumed():
            state.paused = False
            state.pauses += 1
            touch_all(state, plan)
        case runs.RunParked() as parked:
            state.parked, state.parked_ms = parked, entry.time_ms
            state.parks += 1
        case runs.RunUnparked():
            _unpark(state, plan)
        case runs.BudgetExtended() as more:
            state.extra.usd += Decimal(more.usd)
            state.extra.input_tokens += more.tokens
            state.extra_seconds += more.seconds
            state.extensions += 1
            if more.key:
                state.extended[more.key] = more
        case runs.LeaseHeld() as held:
            state.leases_held[entry.event[1]] = held
        case runs.LeaseGranted() as granted:
            state.leases_held.pop(entry.event[1], None)
            state.leases[entry.event[1]] = granted.kind
            touch_all(state, plan)
        case _:
            pass


def _unpark(state: RunState, plan: Plan) -> None:
    """Go on after parking; steps whose attempts were exhausted are tried once more."""
    state.parked = None
    state.parks += 1
    for step in state.steps.values():
        if step.map is not None:
            step.map.offered = 0  # what parked the run may have been an item that was not stored
    for token in sorted(state.held):
        step = state.steps[token]
        if step.status == "parked":
            step.status, step.due_ms = "retrying", state.now_ms
            state.held.discard(token)
            state.retrying.add(token)
    touch_all(state, plan)


def _touch_open(state: RunState) -> None:
    """Mark every step that is under way for a decision."""
    for tokens in (state.in_flight, state.retrying, state.held):
        state.touched.update(tokens)


def touch_all(state: RunState, plan: Plan) -> None:
    """Mark every step for a decision, as after a cold fold."""
    state.touched.update(plan.steps)
    _touch_open(state)
