"""Forks: how is a run started that shares what another has finished?"""

import asyncio
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from segue_contracts.payload import Value
from segue_contracts.reply import Problem, Refused
from segue_contracts.v1.commands import ForkRun, RunAccepted, StartRun
from segue_contracts.v1.runs import ForkedFrom, RunStarted, SettledStep
from segue_language import schema_problems
from segue_orchestrator.core.forks import (
    Cut,
    changed_inputs,
    changed_references,
    given_step,
    settled_step,
    taken_over,
    undone_steps,
)
from segue_orchestrator.core.inputs import bind_inputs
from segue_orchestrator.core.plan import Plan, StepPlan
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.checkpoints import Checkpoints, Folded, refused
from segue_orchestrator.shell.definitions import Definition
from segue_orchestrator.shell.outputs import Outputs
from segue_shared.errors import PayloadMissingError, RefusedError
from segue_shared.payloads import Payloads

_AT_ONCE: Final = 16


class _Target(msgspec.Struct, frozen=True):
    """What a fork goes on with."""

    definition: Definition
    inputs: dict[str, Any]
    children: dict[str, str]
    """What references to workflows mean in it."""


class Forks:
    """Starts runs from checkpoints of others."""

    def __init__(
        self,
        admission: Admission,
        *,
        checkpoints: Checkpoints,
        outputs: Outputs,
        payloads: Payloads,
    ) -> None:
        self._admission = admission
        self._checkpoints = checkpoints
        self._outputs = outputs
        self._payloads = payloads

    async def fork(self, namespace: str, request: ForkRun) -> RunAccepted:
        """Start a run that takes over what another has finished; the same key is the same run.

        Raises:
            RefusedError: There is no such run, step or input, the position is no longer kept, the
                definition is invalid, or the key stands for another run.
        """
        plain = msgspec.structs.replace(request, key="", labels={}, file="")
        content = b"fork" + msgspec.json.encode(plain, order="sorted")
        # Asked for again, it is the same run, even if its origin is no longer kept.
        known = await self._admission.repeated(namespace, request.key, content=content)
        if known is not None:
            return known
        origin = await self._checkpoints.at(namespace, request.run, request.cursor)
        target = await self._target(namespace, request, origin)
        cut = _cut(request, origin, target, undone=await self._undone(namespace, origin))
        kept = _kept(origin, target, cut)
        settled = await self._settled(origin, kept, _given(request, target.definition.plan))
        body = await self._started(request, origin, target, settled)
        return await self._admission.accept(namespace, body, content=content)

    # What it goes on with.

    async def _target(self, namespace: str, request: ForkRun, origin: Folded) -> _Target:
        state = origin.live.state
        given = await self._inputs(namespace, request, origin)
        if not request.text:
            start = StartRun(definition=state.definition, inputs=given)
            definition = await self._admission.definition(namespace, start)
            children = state.started.children
        else:
            start = StartRun(text=request.text, file=request.file, inputs=given)
            definition = await self._admission.definition(namespace, start)
            children = (await self._admission.pinned(namespace, definition)).children
        return _Target(definition, bind_inputs(definition.workflow, given), children)

    async def _inputs(self, namespace: str, request: ForkRun, origin: Folded) -> dict[str, Any]:
        """Return the forked run's inputs, as far as the fork has them, and those that differ."""
        before = origin.live.inputs
        if request.text:
            workflow = await self._admission.check(
                namespace, request.text, file=request.file, inputs=None
            )
            before = {name: value for name, value in before.items() if name in workflow.inputs}
        return {**before, **request.inputs}

    async def _undone(self, namespace: str, origin: Folded) -> set[str]:
        """Return which steps the run has undone by now, whatever it had at the checkpoint."""
        newest = await self._checkpoints.at(namespace, origin.live.state.run)
        return undone_steps(newest.live.state)

    # What it takes over.

    async def _settled(
        self, origin: Folded, kept: Iterable[str], given: Mapping[str, Any]
    ) -> dict[str, SettledStep]:
        """Return the steps that the fork takes over, their outputs in the payload store."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def keep(token: str) -> tuple[str, SettledStep]:
            async with limit:
                return token, await self._settled_step(origin, token)

        try:
            settled = dict(await asyncio.gather(*(keep(token) for token in kept)))
        except PayloadMissingError as error:
            message = f"an output of run {origin.live.state.run} is gone: {error}"
            raise refused("checkpoint_expired", message) from error
        for token, output in given.items():
            settled[token] = given_step(await self._payloads.keep(Value(inline=output)))
        return settled

    async def _settled_step(self, origin: Folded, token: str) -> SettledStep:
        step = origin.live.state.step(token)
        if step.output is None:
            return settled_step(step, None)
        value = await self._outputs.value(step.output)
        return settled_step(step, await self._payloads.keep(value))

    async def _started(
        self,
        request: ForkRun,
        origin: Folded,
        target: _Target,
        settled: Mapping[str, SettledStep],
    ) -> RunStarted:
        """Return the fork's first event; it is nobody's child, whatever it was forked from."""
        before = origin.live.state
        return RunStarted(
            workflow=target.definition.workflow.name,
            definition=target.definition.hash,
            inputs=await self._payloads.wrap(target.inputs),
            key=request.key,
            labels={**before.started.labels, **request.labels},
            children=target.children,
            fork=ForkedFrom(
                run=before.run,
                cursor=str(origin.cursor),
                settled=await self._payloads.wrap(settled),
            ),
        )


def _cut(request: ForkRun, origin: Folded, target: _Target, *, undone: set[str]) -> Cut:
    """Return where the run is cut, and what is different from there on.

    Raises:
        RefusedError: A step that is named does not exist.
    """
    live, plan = origin.live, target.definition.plan
    return Cut(
        at=frozenset(
            _step(plan, key, f"/at/{place}").token for place, key in enumerate(request.at)
        ),
        given=frozenset(_given(request, plan)),
        undone=undone,
        inputs=changed_inputs(live.inputs, target.inputs),
        names=target.inputs.keys(),
        references=changed_references(live.state.started.children, target.children),
    )


def _kept(origin: Folded, target: _Target, cut: Cut) -> list[str]:
    """Return the tokens of the steps that are taken over.

    Raises:
        RefusedError: The fork would do nothing.
    """
    live, definition = origin.live, target.definition
    kept = taken_over(live.state, live.plan, definition.plan, cut)
    is_same = definition.hash == live.state.definition and not cut.inputs
    if is_same and len(kept) == len(definition.plan.steps):
        message = (
            f"every step of run {live.state.run} has completed, so nothing would run again; "
            "name the steps that shall, other inputs or another definition"
        )
        raise refused("invalid_request", message)
    return kept


def _given(request: ForkRun, plan: Plan) -> dict[str, Any]:
    """Return the outputs that are given, by the token of their step.

    Raises:
        RefusedError: There is no such step, or it cannot have that output.
    """
    given = {}
    for key, output in request.outputs.items():
        pointer = f"/outputs/{key}"
        step = _step(plan, key, pointer)
        if step.map is not None and not isinstance(output, list):
            message = f"step {key!r} is repeated, so its output is a list"
            raise _refusal(Problem(code="wrong_type", message=message, pointer=pointer))
        _hold_against_schema(step, output, pointer)
        given[step.token] = output
    return given


def _hold_against_schema(step: StepPlan, output: object, pointer: str) -> None:
    """Refuse an output that the step itself could not have had."""
    if step.output_schema is None:
        return
    outputs = output if step.map is not None and isinstance(output, list) else [output]
    problems = [
        Problem(
            code="schema_violation",
            message=f"the output given for step {step.key!r}: {fault.message}",
            pointer=f"{pointer}{f'/{place}' if step.map else ''}{fault.pointer}",
        )
        for place, one in enumerate(outputs)
        for fault in schema_problems(step.output_schema, one)
    ]
    if problems:
        raise _refusal(*problems)


def _step(plan: Plan, key: str, pointer: str) -> StepPlan:
    """Return the step of a key.

    Raises:
        RefusedError: There is none.
    """
    steps = {step.key: step for step in plan.steps.values()}
    if key in steps:
        return steps[key]
    message = f"the definition has no step {key!r}"
    if "~" in key:
        message += "; a repeated step runs again as a whole, so name it without an item"
    close = get_close_matches(key, steps, n=1)
    raise _refusal(
        Problem(
            code="unknown_step",
            message=message,
            pointer=pointer,
            suggestion=close[0] if close else "",
        )
    )


def _refusal(*problems: Problem) -> RefusedError:
    message = problems[0].message
    return RefusedError(Refused(code="invalid_request", message=message, problems=list(problems)))
