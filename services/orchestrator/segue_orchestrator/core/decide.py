"""Decide: given what is known of a run, what must exist next?"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from segue_contracts.v1.values import Failure, UsageTotals
from segue_language import ExpressionError, Scope, render, render_prompt, truthy
from segue_orchestrator.core.effects import (
    Abandon,
    Arm,
    Decision,
    Dispatch,
    Effect,
    End,
    HintCancel,
    Park,
    Skip,
    TimeOut,
)
from segue_orchestrator.core.evolve import added
from segue_orchestrator.core.plan import Plan, StepPlan
from segue_orchestrator.core.policies import CANCEL_GRACE_MS, WORKER_HELD_DELAY_MS, backoff_ms
from segue_orchestrator.core.state import SETTLED, OutputAt, RunState, StepState


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Values that were fetched for the core."""

    inputs: Mapping[str, Any]
    """The run's inputs."""
    outputs: Mapping[OutputAt, Any]
    """Outputs of steps, by where they are."""


class _Missing(Exception):  # noqa: N818 - a signal within this module, not an error
    """An output is needed that was not fetched yet."""

    def __init__(self, needs: tuple[OutputAt, ...]) -> None:
        super().__init__()
        self.needs = needs


def decide(state: RunState, plan: Plan, known: Known) -> Decision:
    """Return what must exist next, looking at the steps that changed.

    Every effect may exist already: publishing it again is harmless. Whoever stores all effects of a
    decision with no needs may clear `state.touched`.
    """
    if state.ended is not None:
        return Decision()
    if closing := _closing(state, plan):
        return _close(state, plan, closing)
    effects: list[Effect] = list(_expired(state, plan))
    needs: list[OutputAt] = []
    if state.parked is None:
        for token in sorted(state.touched, key=plan.order.__getitem__):
            try:
                effects += _next_of(state, plan, plan.steps[token], known)
            except _Missing as missing:
                needs += missing.needs
        needs += _end_if_settled(state, plan, known, effects)
    effects += _wake_up(state, plan)
    return Decision(tuple(effects), tuple(dict.fromkeys(needs)))


# A step.


def _next_of(state: RunState, plan: Plan, step: StepPlan, known: Known) -> list[Effect]:
    """Return what follows for one step."""
    current = state.step(step.token)
    if current.status == "retrying":
        return _retry(state, plan, step, current, known)
    if current.status != "pending" or not _dependencies_settled(state, step):
        return []
    if any(_blocks(state, plan, token) for token in step.dependencies):
        return [Skip(step, "upstream")]
    scope = _scope(state, plan, step.reads, known)
    try:
        if step.when and not truthy(step.when, scope):
            return [Skip(step, "condition")]
        return [_dispatch(state, step, scope, attempt=1)]
    except ExpressionError as error:
        return [Park("expression_failed", f"step {step.key}: {error}", step.key)]


def _retry(
    state: RunState, plan: Plan, step: StepPlan, current: StepState, known: Known
) -> list[Effect]:
    """Return the next attempt, once its backoff is short enough for a worker to keep."""
    at_ms = retry_at_ms(state, step, current)
    if at_ms - state.now_ms > WORKER_HELD_DELAY_MS:
        return []
    scope = _scope(state, plan, step.reads, known)
    try:
        return [_dispatch(state, step, scope, attempt=current.attempt + 1, not_before_ms=at_ms)]
    except ExpressionError as error:
        return [Park("expression_failed", f"step {step.key}: {error}", step.key)]


def _dispatch(
    state: RunState, step: StepPlan, scope: Scope, *, attempt: int, not_before_ms: int = 0
) -> Dispatch:
    begins_ms = max(state.now_ms, not_before_ms)
    return Dispatch(
        step=step,
        attempt=attempt,
        input=_input(step, scope),
        not_before_ms=not_before_ms,
        deadline_ms=begins_ms + step.timeout_ms if step.timeout_ms else 0,
    )


def _input(step: StepPlan, scope: Scope) -> Mapping[str, Any]:
    """Return what a task is given: the rendered `with`, and for a model call its prompt."""
    values = {name: render(template, scope) for name, template in step.input.items()}
    if step.prompt is None:
        return values
    inner = Scope(inputs=scope.inputs, outputs=scope.outputs, values=values)
    prompt = step.prompt
    texts = {"prompt": prompt.prompt, "system": prompt.system}
    filled = {name: render_prompt(text, inner) for name, text in texts.items() if text}
    return {**values, **filled, "responseType": prompt.response_type}


def retry_at_ms(state: RunState, step: StepPlan, current: StepState) -> int:
    """Return when a step in backoff is due, Unix milliseconds."""
    wait = backoff_ms(step.retry, run=state.run, step=step.token, attempt=current.attempt)
    return current.settled_ms + wait


def _dependencies_settled(state: RunState, step: StepPlan) -> bool:
    return all(state.step(token).status in SETTLED for token in step.dependencies)


def _blocks(state: RunState, plan: Plan, token: str) -> bool:
    """Tell whether a settled dependency keeps its dependents from running."""
    step = state.step(token)
    if step.status == "skipped":
        return step.reason != "condition"
    return step.status != "completed" and not plan.steps[token].continue_on_error


def _scope(state: RunState, plan: Plan, reads: tuple[str, ...], known: Known) -> Scope:
    """Return what templates may read; an output that does not exist reads as null."""
    places = {token: state.step(token).output for token in reads}
    missing = tuple(at for at in places.values() if at is not None and at not in known.outputs)
    if missing:
        raise _Missing(missing)
    outputs = {
        plan.steps[token].key: None if at is None else known.outputs[at]
        for token, at in places.items()
    }
    return Scope(inputs=known.inputs, outputs=outputs)


# Deadlines.


def _expired(state: RunState, plan: Plan) -> Iterator[Effect]:
    """Yield the outcomes of attempts whose deadline has passed."""
    for token in sorted(state.in_flight):
        current = state.steps[token]
        if 0 < current.deadline_ms <= state.now_ms:
            step = plan.steps[token]
            message = f"step {step.key} did not finish within {step.timeout_ms / 1000:g} s"
            yield TimeOut(step, current.attempt, Failure(code="timeout", message=message))


def _wake_up(state: RunState, plan: Plan) -> Iterator[Arm]:
    """Yield the timer that the run's earliest deadline needs."""
    deadlines = [
        state.steps[token].deadline_ms
        for token in state.in_flight
        if state.steps[token].deadline_ms > state.now_ms
    ]
    deadlines += [
        retry_at_ms(state, plan.steps[token], state.steps[token]) - WORKER_HELD_DELAY_MS
        for token in state.retrying
    ]
    if plan.timeout_ms:
        deadlines.append(state.started_ms + plan.timeout_ms)
    if due := [at_ms for at_ms in deadlines if at_ms > state.now_ms]:
        yield Arm(min(due))


# The end.


class _Closing(msgspec.Struct, frozen=True):
    """Why a run stops before all its steps are settled."""

    status: Any
    error: Failure
    since_ms: int


def _closing(state: RunState, plan: Plan) -> _Closing | None:
    if state.cancel is not None:
        reason = state.cancel.reason or "cancelled on request"
        error = Failure(code="cancelled", message=reason, retryable=False)
        return _Closing("cancelled", error, state.cancel_ms)
    limit_ms = state.started_ms + plan.timeout_ms
    if plan.timeout_ms and state.now_ms >= limit_ms:
        message = f"the run did not finish within {plan.timeout_ms / 1000:g} s"
        return _Closing("failed", Failure(code="timeout", message=message), limit_ms)
    return None


def _close(state: RunState, plan: Plan, closing: _Closing) -> Decision:
    """Stop what is in flight, first by asking, then for good; end once nothing is."""
    if not state.in_flight:
        end = End(status=closing.status, error=closing.error, usage=usage_of(state))
        return Decision((end,))
    grace_ends_ms = closing.since_ms + CANCEL_GRACE_MS
    if state.now_ms < grace_ends_ms:
        return Decision((HintCancel(closing.error.message), Arm(grace_ends_ms)))
    return Decision(
        tuple(
            Abandon(plan.steps[token], state.steps[token].attempt, closing.error.message)
            for token in sorted(state.in_flight)
        )
    )


def _end_if_settled(
    state: RunState, plan: Plan, known: Known, effects: list[Effect]
) -> tuple[OutputAt, ...]:
    """Add the run's end when every step is settled; return the outputs that it lacks."""
    if state.settled < len(plan.steps):
        return ()
    usage = usage_of(state)
    if error := _failure(state, plan):
        effects.append(End(status="failed", error=error, usage=usage))
        return ()
    try:
        scope = _scope(state, plan, plan.output_reads, known)
        rendered = {name: render(template, scope) for name, template in plan.outputs.items()}
        output = rendered if plan.outputs else dict(scope.outputs)
        effects.append(End(status="completed", output=output, usage=usage))
    except ExpressionError as error:
        effects.append(Park("expression_failed", f"outputs: {error}"))
    except _Missing as missing:
        return missing.needs
    return ()


def _failure(state: RunState, plan: Plan) -> Failure | None:
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


def usage_of(state: RunState) -> UsageTotals:
    """Return what all steps used together."""
    total = UsageTotals()
    for step in state.steps.values():
        total = added(total, step.usage)
    return total
