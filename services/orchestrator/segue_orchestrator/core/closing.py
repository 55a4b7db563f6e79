"""Closing: how does a run come to its end?"""

import msgspec

from segue_contracts.v1.runs import EndStatus
from segue_contracts.v1.values import Failure
from segue_language import ExpressionError, render
from segue_orchestrator.core.effects import (
    Abandon,
    Arm,
    Dispatch,
    Effect,
    End,
    HintCancel,
    Park,
    StartChild,
)
from segue_orchestrator.core.limits import BUDGET_EXCEEDED, over_budget
from segue_orchestrator.core.plan import Plan, undo_token, undone_token
from segue_orchestrator.core.policies import CANCEL_GRACE_MS
from segue_orchestrator.core.progress import Progress
from segue_orchestrator.core.scopes import Scopes
from segue_orchestrator.core.state import SETTLED, RunState


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run stops before all its steps are settled."""

    status: EndStatus
    error: Failure
    since_ms: int
    at_once: bool = False
    """Whether it ends without waiting for its work."""


def closing_of(state: RunState, plan: Plan) -> Closing | None:
    """Return why a run is to stop; None when it is not."""
    if state.terminate is not None:
        reason = state.terminate.reason or "terminated on request"
        error = Failure(code="terminated", message=reason, retryable=False)
        return Closing(status="cancelled", error=error, since_ms=state.now_ms, at_once=True)
    if state.cancel is not None:
        reason = state.cancel.reason or "cancelled on request"
        error = Failure(code="cancelled", message=reason, retryable=False)
        return Closing(status="cancelled", error=error, since_ms=state.cancel_ms)
    limit_ms = state.started_ms + plan.timeout_ms
    if plan.timeout_ms and state.now_ms >= limit_ms:
        message = f"the run did not finish within {plan.timeout_ms / 1000:g} s"
        error = Failure(code="timeout", message=message)
        return Closing(status="failed", error=error, since_ms=limit_ms)
    if plan.budget is not None and not plan.budget.parks and not state.in_flight:
        reason = over_budget(state, plan)
        if reason and state.settled < len(plan.steps):
            error = Failure(code=BUDGET_EXCEEDED, message=reason, retryable=False)
            return Closing(status="failed", error=error, since_ms=state.now_ms)
    return None


def close(state: RunState, plan: Plan, closing: Closing, progress: Progress) -> list[Effect]:
    """Stop what is in flight, first by asking, then for good; end once nothing is.

    Tasks that undo steps are not stopped: they are what closing is for.
    """
    reason = closing.error.message
    end = End(status=closing.status, error=closing.error, usage=state.usage.totals())
    if closing.at_once:
        stops = _stop_children(state, progress, reason, at_once=True)
        return [HintCancel(reason), *stops, end]
    work = [token for token in sorted(state.in_flight) if not _undoes(plan, token)]
    if work:
        return _stop(state, plan, closing, work, progress)
    if closing.status in plan.undo_on or _is_undoing(state):
        effects = _checks(state, progress) or undo(state, plan, progress)
        if effects is not None:
            return effects
    return _on_the_whole(state, [end])


def _checks(state: RunState, progress: Progress) -> list[Effect]:
    """Return the checks of outputs that nobody has looked at: what was done may be undone."""
    checking = (token for token in sorted(state.held) if state.steps[token].status == "checking")
    return [effect for token in checking for effect in progress.of(token)]


def _on_the_whole(state: RunState, effects: list[Effect]) -> list[Effect]:
    """Have effects refused where the journal goes on after what the state knows.

    What was decided before the run was to stop may have been stored since, by this owner or the
    one before it: then there is work to wait for, and to undo. Whoever reads it decides anew.
    """
    return [
        msgspec.structs.replace(effect, after=state.last_seq)
        if isinstance(effect, Dispatch | StartChild | End)
        else effect
        for effect in effects
    ]


def _is_undoing(state: RunState) -> bool:
    """Tell whether the run had failed and begun to undo steps, which is then done to the end."""
    return any(undo_token(token) in state.steps for token in state.undoable)


def _undoes(plan: Plan, token: str) -> bool:
    step = plan.find(token)
    return step is not None and bool(step.compensates)


def _stop(
    state: RunState, plan: Plan, closing: Closing, work: list[str], progress: Progress
) -> list[Effect]:
    reason = closing.error.message
    grace_ends_ms = closing.since_ms + CANCEL_GRACE_MS
    effects = _stop_children(state, progress, reason, at_once=False)
    patient = state.now_ms < grace_ends_ms
    for token in work:
        current, step = state.steps[token], plan.find(token)
        idle = current.status == "waiting"
        if step is not None and (idle or not (patient or current.child)):
            effects.append(Abandon(step, token, current.attempt, reason))
    if patient:
        effects += [HintCancel(reason), Arm(grace_ends_ms)]
    return effects


def _stop_children(
    state: RunState, progress: Progress, reason: str, *, at_once: bool
) -> list[Effect]:
    return [
        effect
        for token in sorted(state.in_flight)
        for effect in progress.stop_child(token, reason, at_once=at_once)
    ]


def undo(state: RunState, plan: Plan, progress: Progress) -> list[Effect] | None:
    """Return what is next in undoing completed steps, the last first; None when all are undone."""
    for token in reversed(state.undoable):
        task = undo_token(token)
        current = state.step(task)
        if current.status in SETTLED:
            continue
        if current.status != "pending":
            return progress.of(task)
        step = plan.undos[token.partition("~")[0]]
        try:
            return _on_the_whole(state, progress.attempt(step, task, attempt=1))
        except ExpressionError as error:
            return [Park("expression_failed", f"step {step.key}: {error}", step.key)]
    return None


def end_if_settled(state: RunState, plan: Plan, scopes: Scopes, progress: Progress) -> list[Effect]:
    """Return the run's end when every step is settled, after undoing what asks for it.

    Raises:
        MissingError: Outputs are needed that were not fetched yet.
    """
    if state.settled < len(plan.steps):
        return []
    usage = state.usage.totals()
    if error := failure_of(state, plan):
        if "failed" in plan.undo_on:
            effects = [] if has_work(state) else undo(state, plan, progress)
            if effects is not None:
                return effects
        return _on_the_whole(state, [End(status="failed", error=error, usage=usage)])
    try:
        scope = scopes.of_outputs()
        rendered = {name: render(template, scope) for name, template in plan.outputs.items()}
    except ExpressionError as problem:
        return [Park("expression_failed", f"outputs: {problem}")]
    output = rendered if plan.outputs else dict(scope.outputs)
    return [End(status="completed", output=output, usage=usage)]


def has_work(state: RunState) -> bool:
    """Tell whether an item is still under way, which began beside one that failed its step."""
    return any(
        not undone_token(token)
        for tokens in (state.in_flight, state.retrying, state.held)
        for token in tokens
    )


def failure_of(state: RunState, plan: Plan) -> Failure | None:
    """Return why the run failed: the first step, in the definition's order, that did for good."""
    for token, step in plan.steps.items():
        current = state.step(token)
        if current.status in {"failed", "timed_out", "cancelled"} and not step.continue_on_error:
            cause = current.error or Failure(code="cancelled", message=current.reason)
            return Failure(
                code="step_failed",
                message=f"step {step.key}: {cause.message}",
                retryable=False,
                details={"step": step.key, "code": cause.code},
            )
    return None
