"""The view: what does a reader of a run's state see?"""

from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from segue_contracts.v1.runs import RunStatus, RunView, StepView, WaitView
from segue_contracts.v1.subjects import step_text_of
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.plan import Plan, StepPlan, undo_token
from segue_orchestrator.core.state import RunState, StepState


def status_of(state: RunState) -> RunStatus:
    """Return where a run stands."""
    if state.ended is not None:
        return state.ended.status
    if state.parked is not None:
        return "parked"
    if state.paused:
        return "paused"
    if state.leases_held:
        return "waiting"
    if state.in_flight:
        waiting = all(state.steps[token].wait is not None for token in state.in_flight)
        return "waiting" if waiting else "running"
    if state.retrying:
        return "retrying"
    return "running" if state.steps else "pending"


def view_of(state: RunState, plan: Plan, *, cursor: str) -> RunView:
    """Return a run as its readers see it.

    Args:
        state: The folded state.
        plan: The run's plan.
        cursor: The cursor of the newest event folded.
    """
    ended, fork = state.ended, state.started.fork
    return RunView(
        run=state.run,
        namespace=state.namespace,
        workflow=state.workflow,
        definition=state.definition,
        status=status_of(state),
        started_ms=state.started_ms,
        cursor=cursor,
        ended_ms=state.ended_ms,
        steps=list(_steps(state, plan)),
        output=UNSET if ended is None else ended.output,
        error=_error_of(state),
        usage=state.usage.totals() if ended is None else ended.usage,
        inputs=state.inputs.inline,
        labels=state.started.labels,
        parent=state.started.parent,
        forked_from="" if isinstance(fork, UnsetType) else fork.run,
        waits=[] if ended is not None else list(waits_of(state)),
    )


def _error_of(state: RunState) -> Failure | UnsetType:
    if state.ended is not None:
        return state.ended.error
    if state.parked is not None:
        return Failure(code=state.parked.code, message=state.parked.message)
    return UNSET


def _steps(state: RunState, plan: Plan) -> Iterator[StepView]:
    """Yield every step, and the undoings that have begun."""
    for step in plan.steps.values():
        yield _step_view(step, state.step(step.token), step.key)
        if (undone := undo_token(step.token)) in state.steps:
            yield _step_view(plan.undos[step.token], state.steps[undone], step_text_of(undone))


def _step_view(plan: StepPlan, step: StepState, name: str) -> StepView:
    wait, repeated = step.wait, step.map
    return StepView(
        step=name,
        status=step.status,
        attempt=step.attempt,
        pool=plan.pool,
        agent=plan.agent,
        provider=step.provider,
        error=step.error or UNSET,
        usage=step.usage or UsageTotals(),
        scheduled_ms=step.first_ms,
        ended_ms=step.settled_ms,
        waits_for=UNSET if wait is None else wait.asked.kind,
        until_ms=0 if wait is None else _until_ms(wait.asked.until_ms, wait.asked.deadline_ms),
        child=step.child,
        items=0 if repeated is None else repeated.count,
        items_settled=0 if repeated is None else repeated.settled,
        sequence=step.settled_seq,
    )


def _until_ms(until_ms: int, deadline_ms: int) -> int:
    return min((at_ms for at_ms in (until_ms, deadline_ms) if at_ms), default=0)


def waits_of(state: RunState) -> Iterator[WaitView]:
    """Yield what a run waits for."""
    for held in state.leases_held.values():
        yield WaitView(
            run=state.run,
            workflow=state.workflow,
            step="",
            kind="lease",
            since_ms=state.started_ms,
            name=held.key,
        )
    for token in sorted(state.in_flight):
        wait = state.steps[token].wait
        if wait is None:
            continue
        asked = wait.asked
        yield WaitView(
            run=state.run,
            workflow=state.workflow,
            step=step_text_of(token),
            kind=asked.kind,
            since_ms=wait.since_ms,
            until_ms=_until_ms(asked.until_ms, asked.deadline_ms),
            name=asked.name,
            message=asked.message,
            approvers=asked.approvers,
            quorum=asked.quorum if asked.kind == "approval" else 0,
            approved_by=[vote.by for vote in wait.votes if vote.decision == "approved"],
            form=asked.form,
        )
