"""Messages: which body on which subject makes a decision a fact?"""

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.runs import RunEnded, RunParked
from segue_contracts.v1.steps import StepCancelled, StepScheduled, StepSkipped, StepTimedOut
from segue_orchestrator.core.effects import Abandon, Dispatch, End, Park, Skip, TimeOut
from segue_orchestrator.core.state import RunState

SOURCE: Final = "segue/orchestrator"

Durable = Dispatch | Skip | TimeOut | Abandon | End | Park
"""The effects that become events of the journal."""


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


def value_of(effect: Durable) -> Mapping[str, Any] | None:
    """Return the value that an effect carries and that may be large."""
    match effect:
        case Dispatch(input=value):
            return value
        case End(output=value):
            return value
        case _:
            return None


def fact_of(effect: Durable, state: RunState, value: Value) -> Fact:
    """Return the event of an effect.

    Args:
        effect: What was decided.
        state: The run it was decided for.
        value: The effect's value, wrapped for travel.
    """
    prefix = subjects.run_prefix(state.namespace, state.run)
    match effect:
        case Dispatch(step=step):
            return Fact(
                subject=subjects.scheduled(
                    prefix, step.token, effect.attempt, pool=step.pool, priority=step.priority
                ),
                guard=subjects.dispatch_guard(prefix, step.token, effect.attempt),
                about=f"{state.run}/{step.key}",
                body=_task(effect, state, value),
            )
        case End():
            return Fact(subject=f"{prefix}.ended", about=state.run, body=_ended(effect, value))
        case Park(code, message, step):
            body = RunParked(code=code, message=message, step=step)
            return Fact(subject=f"{prefix}.parked.{state.parks + 1}", about=state.run, body=body)
        case _:
            return _settled(effect, state, prefix)


def _settled(effect: Skip | TimeOut | Abandon, state: RunState, prefix: str) -> Fact:
    """Return the outcome that the engine itself gives an attempt."""
    body: StepSkipped | StepTimedOut | StepCancelled
    match effect:
        case Skip(_, reason):
            body = StepSkipped(reason=reason)
        case TimeOut(_, _, error):
            body = StepTimedOut(error=error)
        case Abandon(_, _, reason):
            body = StepCancelled(reason=reason)
        case _:
            assert_never(effect)
    attempt = 1 if isinstance(effect, Skip) else effect.attempt
    token = effect.step.token
    return Fact(
        subject=subjects.outcome(prefix, token, attempt, OUTCOME_OF[type(body)]),
        guard=subjects.outcome_guard(prefix, token, attempt),
        about=f"{state.run}/{effect.step.key}",
        body=body,
    )


def _task(effect: Dispatch, state: RunState, value: Value) -> StepScheduled:
    step = effect.step
    return StepScheduled(
        run=state.run,
        namespace=state.namespace,
        workflow=state.workflow,
        step=step.key,
        attempt=effect.attempt,
        pool=step.pool,
        kind=step.kind,
        input=value,
        agent=step.agent,
        action=step.action,
        provider=step.provider,
        model=step.model,
        not_before_ms=effect.not_before_ms,
        deadline_ms=effect.deadline_ms,
    )


def _ended(effect: End, value: Value) -> RunEnded:
    return RunEnded(
        status=effect.status,
        output=msgspec.UNSET if effect.output is None else value,
        error=effect.error or msgspec.UNSET,
        usage=effect.usage,
    )
