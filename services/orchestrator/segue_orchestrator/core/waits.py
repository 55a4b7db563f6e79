"""Waits: what do signals, events and approvals change?"""

from segue_contracts.v1 import runs
from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.subjects import StepEvent
from segue_orchestrator.core.entries import Signal
from segue_orchestrator.core.state import Entry, OverWait, RunState, Vote, WaitState


def on_waiting(state: RunState, event: StepEvent, asked: StepWaiting, entry: Entry) -> None:
    """Fold the beginning of a wait; a signal that came before answers it at once."""
    token = event.token
    step = state.steps[token]
    if event.attempt <= step.attempt:
        return
    step.status, step.attempt = "waiting", event.attempt
    step.scheduled_ms = entry.time_ms
    step.first_ms = step.first_ms or entry.time_ms
    step.wait = WaitState(asked=asked, since_ms=entry.time_ms)
    state.in_flight.add(token)
    state.retrying.discard(token)
    for at_ms in (asked.until_ms, asked.deadline_ms, asked.escalate_ms):
        state.ring_at(at_ms, token, event.attempt)
    if (name := _name_of(token, asked)) is not None:
        state.waiters.setdefault(name, []).append(token)
        _match(state, name)


def on_signal(state: RunState, signal: Signal, entry: Entry) -> None:
    """Fold a signal: the step that has waited longest takes it, or it is kept."""
    name = f"@{signal.step}" if signal.step else f"#{signal.name}"
    state.signals.setdefault(name, []).append(signal.payload.at(entry.sequence))
    _match(state, name)


def on_approval(state: RunState, word: runs.ApprovalGiven, entry: Entry) -> None:
    """Fold a person's word, once each, while its step waits for it."""
    step = state.steps.get(word.step)
    if step is None or step.wait is None or step.attempt != word.attempt:
        return
    if all(vote.by != word.by for vote in step.wait.votes):
        vote = Vote(word.decision, word.by, entry.time_ms, word.form, word.comment)
        step.wait.votes.append(vote)
        state.touched.add(word.step)


def forget_wait(state: RunState, token: str, *, used: bool) -> None:
    """End a step's wait; a signal that it took and did not use goes to the next."""
    step = state.steps[token]
    wait, step.wait = step.wait, None
    if wait is not None:
        state.over.append(OverWait(token, wait.asked, step.attempt))
    name = None if wait is None else _name_of(token, wait.asked)
    if wait is None or name is None:
        return
    if token in state.waiters.get(name, ()):
        state.waiters[name].remove(token)
    if wait.answer is not None and not used:
        state.signals.setdefault(name, []).insert(0, wait.answer)
    _match(state, name)


def forget_all(state: RunState) -> None:
    """Note that the waits of a run that has ended are over."""
    for token in sorted(state.in_flight):
        step = state.steps[token]
        if step.wait is not None:
            state.over.append(OverWait(token, step.wait.asked, step.attempt))


def on_late(state: RunState, entry: Entry) -> None:
    """Note that a wait which began after its run's end is over."""
    match entry.event, entry.body:
        case ("step", token, attempt, _), StepWaiting() as asked if attempt.isdigit():
            state.over.append(OverWait(token, asked, int(attempt)))
        case _:
            pass


def _name_of(token: str, asked: StepWaiting) -> str | None:
    """Return under which name a wait's answer arrives; None when none does."""
    match asked.kind:
        case "signal":
            return f"#{asked.name}"
        case "event":
            return f"@{token}"
        case _:
            return None


def _match(state: RunState, name: str) -> None:
    """Hand kept signals to waiting steps, both in the order in which the journal has them."""
    signals, waiters = state.signals.get(name, []), state.waiters.get(name, [])
    while signals and waiters:
        token = waiters.pop(0)
        wait = state.steps[token].wait
        if wait is not None:
            wait.answer = signals.pop(0)
            state.touched.add(token)
    for kept, left in ((state.signals, signals), (state.waiters, waiters)):
        if not left:
            kept.pop(name, None)
