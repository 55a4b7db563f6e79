"""The view: what does a reader of a run's state see?"""

from msgspec import UNSET, UnsetType

from segue_contracts.v1.runs import RunStatus, RunView, StepView
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.decide import usage_of
from segue_orchestrator.core.plan import Plan, StepPlan
from segue_orchestrator.core.state import RunState


def status_of(state: RunState) -> RunStatus:
    """Return where a run stands."""
    if state.ended is not None:
        return state.ended.status
    if state.parked is not None:
        return "parked"
    if state.retrying and not state.in_flight:
        return "retrying"
    return "running" if state.steps else "pending"


def view_of(state: RunState, plan: Plan, *, cursor: str) -> RunView:
    """Return a run as its readers see it.

    Args:
        state: The folded state.
        plan: The run's plan.
        cursor: The cursor of the newest event folded.
    """
    ended = state.ended
    return RunView(
        run=state.run,
        namespace=state.namespace,
        workflow=state.workflow,
        definition=state.definition,
        status=status_of(state),
        started_ms=state.started_ms,
        cursor=cursor,
        ended_ms=state.ended_ms,
        steps=[_step_view(state, step) for step in plan.steps.values()],
        output=UNSET if ended is None else ended.output,
        error=_error_of(state),
        usage=usage_of(state) if ended is None else ended.usage,
        inputs=state.inputs.inline,
    )


def _error_of(state: RunState) -> Failure | UnsetType:
    if state.ended is not None:
        return state.ended.error
    if state.parked is not None:
        return Failure(code=state.parked.code, message=state.parked.message)
    return UNSET


def _step_view(state: RunState, plan: StepPlan) -> StepView:
    step = state.step(plan.token)
    return StepView(
        step=plan.key,
        status=step.status,
        attempt=step.attempt,
        pool=plan.pool,
        agent=plan.agent,
        provider=step.provider,
        error=step.error or UNSET,
        usage=step.usage,
        scheduled_ms=step.first_ms,
        ended_ms=step.settled_ms,
    )
