"""Messages: which body on which subject makes a decision a fact?"""

from collections.abc import Mapping
from typing import Final, assert_never, cast

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps, subjects
from segue_contracts.v1.registry import OUTCOME_OF
from segue_orchestrator.core.effects import (
    Abandon,
    BeginWait,
    Check,
    Dispatch,
    Durable,
    End,
    Fail,
    Join,
    OpenMap,
    Park,
    Resolve,
    Skip,
    StartChild,
    TimeOut,
)
from segue_orchestrator.core.plan import StepPlan, undone_token
from segue_orchestrator.core.state import OutputAt, RunState

SOURCE: Final = "segue/orchestrator"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be stored unless its group has one."""

    subject: str
    """Where it is stored."""
    about: str
    """`<run>` or `<run>/<step>`."""
    body: Message
    """What it says."""
    guard: str = ""
    """The group of subjects among which only one may exist; the subject itself when empty."""
    after: int = 0
    """The newest event of the group that may exist all the same; 0 for none."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact carries beside its own fields: one of these."""

    value: object = msgspec.UNSET
    """A value at hand."""
    at: OutputAt | None = None
    """A value that the journal or the payload store holds."""
    places: tuple[OutputAt | None, ...] | None = None
    """A list of such values."""


NOTHING: Final = Content()


def content_of(effect: Durable) -> Content:
    """Return the value that an effect carries and that may be large."""
    match effect:
        case Dispatch(input=value) | StartChild(input=value):
            return Content(value=value) if value else NOTHING
        case OpenMap(items=items):
            return Content(value=items)
        case Resolve(at=OutputAt() as at):
            return Content(at=at)
        case Resolve(output=value):
            return Content(value=value)
        case Join(places=places):
            return Content(places=places)
        case End(output=Mapping() as value):
            return Content(value=value)
        case _:
            return NOTHING


def fact_of(effect: Durable, state: RunState, value: Value) -> Fact:
    """Return the event of an effect.

    Args:
        effect: What was decided.
        state: The run it was decided for.
        value: The effect's content, wrapped for travel.
    """
    fact = _fact_of(effect, state, value)
    if isinstance(effect, Dispatch | StartChild | End) and effect.after:
        guard = subjects.run_all(state.namespace, state.run)
        return msgspec.structs.replace(fact, guard=guard, after=effect.after)
    return fact


def _fact_of(effect: Durable, state: RunState, value: Value) -> Fact:
    prefix = state.prefix
    match effect:
        case Dispatch(step=step, token=token, attempt=attempt):
            return Fact(
                subject=subjects.scheduled(
                    prefix, token, attempt, pool=step.pool, priority=step.priority
                ),
                guard=subjects.dispatch_guard(prefix, token, attempt),
                about=_about(state, effect.step, token),
                body=_task(effect, state, value),
            )
        case End():
            return Fact(subject=f"{prefix}.ended", about=state.run, body=_ended(effect, value))
        case Park(code, message, key):
            parked = runs.RunParked(code=code, message=message, step=key)
            return Fact(subject=f"{prefix}.parked.{state.parks + 1}", about=state.run, body=parked)
        case StartChild():
            return _child(effect, state, prefix, value)
        case BeginWait() | OpenMap() | Check():
            return _noted(effect, state, prefix, value)
        case _:
            return _settled(effect, state, prefix, value)


def _about(state: RunState, step: StepPlan, token: str) -> str:
    return f"{state.run}/{step.name_of(token)}"


def _child(effect: StartChild, state: RunState, prefix: str, value: Value) -> Fact:
    body = runs.ChildStarted(
        step=effect.token,
        attempt=effect.attempt,
        run=effect.run,
        workflow=effect.step.reference,
        definition=effect.definition,
        inputs=value,
        deadline_ms=effect.deadline_ms,
    )
    subject = subjects.child_started(prefix, effect.run)
    return Fact(subject=subject, about=_about(state, effect.step, effect.token), body=body)


def _noted(effect: BeginWait | OpenMap | Check, state: RunState, prefix: str, value: Value) -> Fact:
    """Return what the engine notes of a step that is under way."""
    token = effect.step.token if isinstance(effect, OpenMap) else effect.token
    attempt = 1 if isinstance(effect, OpenMap) else effect.attempt
    body: Message
    match effect:
        case BeginWait(asked=asked):
            subject, body = subjects.step_waiting(prefix, token, attempt), asked
        case OpenMap(items=items):
            subject = subjects.step_mapped(prefix, token, attempt)
            body = steps.StepMapped(count=len(items), items=value)
        case Check(problems=problems):
            subject = subjects.step_checked(prefix, token, attempt)
            body = steps.StepChecked(accepted=not problems, problems=list(problems))
        case _:
            assert_never(effect)
    return Fact(subject=subject, about=_about(state, effect.step, token), body=body)


Settling = Join | Resolve | Fail | Skip | TimeOut | Abandon


def _settled(effect: Settling, state: RunState, prefix: str, value: Value) -> Fact:
    """Return the outcome that the engine itself gives an attempt."""
    body: Message
    match effect:
        case Join() | Resolve():
            body = steps.StepCompleted(output=value)
        case Fail(error=error):
            body = steps.StepFailed(error=error)
        case Skip(_, reason):
            body = steps.StepSkipped(reason=reason)
        case TimeOut(_, _, _, error):
            body = steps.StepTimedOut(error=error)
        case Abandon(_, _, _, reason):
            body = steps.StepCancelled(reason=reason)
        case _:
            assert_never(effect)
    token = effect.step.token if isinstance(effect, Skip | Join) else effect.token
    attempt = 1 if isinstance(effect, Skip) else effect.attempt
    return Fact(
        subject=subjects.outcome(prefix, token, attempt, OUTCOME_OF[type(body)]),
        guard=subjects.outcome_guard(prefix, token, attempt),
        about=_about(state, effect.step, token),
        body=body,
    )


def _task(effect: Dispatch, state: RunState, value: Value) -> steps.StepScheduled:
    step = effect.step
    undone = undone_token(effect.token)
    return steps.StepScheduled(
        run=state.run,
        namespace=state.namespace,
        workflow=state.workflow,
        step=step.name_of(effect.token),
        attempt=effect.attempt,
        pool=step.pool,
        kind=cast("steps.TaskKind", step.kind),
        input=value,
        agent=step.agent,
        action=step.action,
        provider=step.provider,
        model=step.model,
        not_before_ms=effect.not_before_ms,
        deadline_ms=effect.deadline_ms,
        heartbeat_ms=step.limits.heartbeat_ms,
        start_to_close_ms=step.limits.start_to_close_ms,
        compensates=step.name_of(undone) if undone else "",
        budget=effect.purse.left if effect.purse else msgspec.UNSET,
        allowances=list(effect.purse.allowances) if effect.purse else [],
    )


def _ended(effect: End, value: Value) -> runs.RunEnded:
    return runs.RunEnded(
        status=effect.status,
        output=msgspec.UNSET if effect.output is None else value,
        error=effect.error or msgspec.UNSET,
        usage=effect.usage,
    )
