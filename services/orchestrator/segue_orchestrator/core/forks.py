"""Forks: what does a run take over from the run that it goes on from?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from segue_contracts.payload import PayloadRef
from segue_contracts.v1.runs import SettledStep
from segue_language import References, references
from segue_language.templates import Mode
from segue_orchestrator.core.plan import Limits, Plan, RetryPlan, StepPlan, undone_token
from segue_orchestrator.core.state import RunState, StepState

_NONE: Final[frozenset[str]] = frozenset()
_ITEM: Final = ("item", "index")


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run is cut, and what is different from there on."""

    at: AbstractSet[str] = _NONE
    """Tokens of the steps that run again; empty for what has not completed."""
    given: AbstractSet[str] = _NONE
    """Tokens of the steps whose outputs are given."""
    undone: AbstractSet[str] = _NONE
    """Tokens of the steps that were undone, so that what they did is no longer there."""
    inputs: AbstractSet[str] = _NONE
    """Names of the inputs that differ."""
    names: AbstractSet[str] = _NONE
    """Names of all inputs."""
    references: AbstractSet[str] = _NONE
    """References to workflows that mean another definition now."""


def taken_over(state: RunState, before: Plan, after: Plan, cut: Cut) -> list[str]:
    """Return the tokens of the steps whose results a fork takes over, in its order.

    No step is among them that waits for one that runs again. Steps whose outputs are given are not
    among them either.

    Args:
        state: The forked run, as it was at the cut.
        before: Its plan.
        after: The fork's plan.
        cut: What is different.
    """
    again = {token for token in after.steps if not _stands(state, before, after, token, cut)}
    again |= _readers(after, cut)
    again -= cut.given
    for token in cut.given:
        again.update(after.steps[token].dependents)
    reached = downstream(after, again)
    return [token for token in after.steps if token not in reached and token not in cut.given]


def _stands(state: RunState, before: Plan, after: Plan, token: str, cut: Cut) -> bool:
    """Tell whether a step's own result is there and still what the fork's plan asks for."""
    old, new = before.steps.get(token), after.steps[token]
    if old is None or token in cut.at or token in cut.undone or _work(old) != _work(new):
        return False
    if new.kind == "workflow" and new.reference in cut.references:
        return False
    return _counts(state.step(token), new, explicit=bool(cut.at))


def _counts(step: StepState, plan: StepPlan, *, explicit: bool) -> bool:
    """Tell whether a step's result is one to go on with."""
    match step.status:
        case "completed":
            return True
        case "skipped":
            return step.reason != "upstream"
        case "failed" | "timed_out":
            return explicit and plan.continue_on_error
        case _:
            return False


def _work(step: StepPlan) -> StepPlan:
    """Return what a step does, without what cannot change a result that is there."""
    repeated = step.map
    return msgspec.structs.replace(
        step,
        dependents=(),
        priority="",
        limits=Limits(),
        retry=RetryPlan(),
        continue_on_error=False,
        compensated=False,
        map=None if repeated is None else msgspec.structs.replace(repeated, limit=0),
    )


def downstream(plan: Plan, tokens: Iterable[str]) -> set[str]:
    """Return some steps and everything that waits for them, directly or not."""
    reached: set[str] = set()
    left = list(tokens)
    while left:
        token = left.pop()
        if token not in reached:
            reached.add(token)
            left.extend(plan.steps[token].dependents)
    return reached


def undone_steps(state: RunState) -> set[str]:
    """Return the tokens of the steps of which something was undone, or is about to be."""
    undone = {undone_token(token) for token in state.steps}
    return {token.partition("~")[0] for token in undone if token}


# Inputs.


def changed_inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of the inputs that only one of two runs has, or that differ."""
    names = before.keys() | after.keys()
    return {
        name
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    }


def changed_references(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """Return the references to workflows that mean another definition in a fork."""
    return {reference for reference in after if before.get(reference) != after[reference]}


def _readers(plan: Plan, cut: Cut) -> set[str]:
    """Return the tokens of the steps whose own templates read an input that differs."""
    if not cut.inputs:
        return set()
    keys = {step.key for step in plan.steps.values()}
    names = cut.names | cut.inputs
    return {
        token
        for token, step in plan.steps.items()
        if any(
            used.all_inputs or used.inputs & cut.inputs for used in _references(step, keys, names)
        )
    }


def _references(
    step: StepPlan, keys: AbstractSet[str], inputs: AbstractSet[str]
) -> Iterator[References]:
    for templates, mode, values in _templates(step):
        yield references(templates, steps=keys, inputs=inputs, values=("run", *values), mode=mode)


def _templates(step: StepPlan) -> Iterator[tuple[object, Mode, Sequence[str]]]:
    """Yield a step's templates, how each is read, and which names are its own."""
    item = _ITEM if step.map is not None else ()
    yield step.input, "text", item
    if step.when:
        yield step.when, "condition", item
    if step.prompt is not None:
        yield [step.prompt.prompt, step.prompt.system], "prompt", (*step.input, *item)
    if step.map is not None:
        yield step.map.items, "text", ()
    if step.wait is not None:
        yield step.wait.until, "text", item
        if step.wait.match:
            yield step.wait.match, "condition", ("event",)
    if step.approval is not None:
        yield step.approval.message, "text", item


# What travels.


def settled_step(step: StepState, output: PayloadRef | None) -> SettledStep:
    """Return a step as the fork's first event tells it.

    Args:
        step: The step in the forked run.
        output: Where its output is kept; None when it has none.
    """
    return SettledStep(
        status=step.status,
        attempt=step.attempt,
        output=output or msgspec.UNSET,
        reason=step.reason,
        error=step.error or msgspec.UNSET,
        provider=step.provider,
        **({} if step.usage is None else {"usage": step.usage}),
    )


def given_step(output: PayloadRef) -> SettledStep:
    """Return a step whose output is given, as the fork's first event tells it."""
    return SettledStep(status="completed", output=output)
