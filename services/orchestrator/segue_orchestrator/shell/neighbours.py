"""Neighbours: what does a run do to the runs above and below it?"""

from typing import Any

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps, subjects
from segue_language import workflow_reference
from segue_orchestrator.core.effects import Launch, StopChild, TellParent
from segue_orchestrator.core.inputs import bind_inputs, refused_inputs
from segue_orchestrator.core.state import OutputAt, RunState
from segue_orchestrator.shell.definitions import Definition, Definitions
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.writer import Writer
from segue_shared.payloads import Payloads


class Neighbours:
    """Starts and stops child runs, and tells parents of their ends."""

    def __init__(
        self,
        writer: Writer,
        *,
        outputs: Outputs,
        payloads: Payloads,
        definitions: Definitions,
        snapshots: Snapshots,
    ) -> None:
        self._writer = writer
        self._outputs = outputs
        self._payloads = payloads
        self._definitions = definitions
        self._snapshots = snapshots

    async def launch(self, state: RunState, effect: Launch) -> None:
        """Store the first event of a child run, or fail its step when it refuses its inputs.

        Raises:
            PayloadMissingError: The inputs are gone.
        """
        if await self._snapshots.holds(state.namespace, effect.run):
            return  # it began so long ago that the journal has let its start go
        definition = await self._load(state.namespace, effect.definition)
        inputs = await self._outputs.value(effect.inputs)
        name = workflow_reference(effect.workflow)[0]
        if definition is not None:
            # Without it the child parks itself, and says why.
            given = await self._given(effect.inputs)
            refusal = refused_inputs(definition.workflow, given)
            if refusal is not None:
                await self._fail(state, effect, steps.StepFailed(error=refusal))
                return
            inputs = await self._bound(definition, given, inputs)
            name = definition.workflow.name
        body = runs.RunStarted(
            workflow=name,
            definition=effect.definition,
            inputs=inputs,
            labels=state.started.labels,
            children=state.started.children,
            parent=runs.ParentRun(run=state.run, step=effect.token, attempt=effect.attempt),
            depth=state.started.depth + 1,
            budget=effect.purse.left if effect.purse else msgspec.UNSET,
            allowances=list(effect.purse.allowances) if effect.purse else [],
        )
        # The guard spans all its events: a run of which any is left has begun.
        guard = subjects.run_all(state.namespace, effect.run)
        await self._tell(state.namespace, effect.run, "started", body, guard=guard)

    async def _load(self, namespace: str, digest: str) -> Definition | None:
        try:
            return await self._definitions.load(namespace, digest)
        except ValueError:
            return None

    async def _given(self, at: OutputAt) -> dict[str, Any]:
        content = (await self._outputs.fetch([at]))[at]
        return content if isinstance(content, dict) else {}

    async def _bound(self, definition: Definition, given: dict[str, Any], inputs: Value) -> Value:
        """Return a child's inputs with its defaults; as they are when it adds none."""
        bound = bind_inputs(definition.workflow, given)
        return inputs if bound == given and given else await self._payloads.wrap(bound)

    async def _fail(self, state: RunState, effect: Launch, outcome: steps.StepFailed) -> None:
        """Settle the attempt whose work cannot begin."""
        prefix = state.prefix
        subject = subjects.outcome(prefix, effect.token, effect.attempt, "failed")
        await self._writer.create(
            subject,
            outcome,
            about=f"{state.run}/{subjects.step_text_of(effect.token)}",
            guard=subjects.outcome_guard(prefix, effect.token, effect.attempt),
            startseq=state.start_seq,
        )

    async def stop(self, state: RunState, effect: StopChild) -> None:
        """Ask a child run to stop."""
        body: Message
        if effect.at_once:
            event, body = "terminate_requested", runs.TerminateRequested(reason=effect.reason)
        else:
            event, body = "cancel_requested", runs.CancelRequested(reason=effect.reason)
        await self._tell(state.namespace, effect.run, event, body)

    async def tell_parent(self, state: RunState, effect: TellParent) -> None:
        """Store a run's end in the journal of the run above it."""
        parent, ended = effect.parent, effect.ended
        body = runs.ChildEnded(
            step=parent.step,
            attempt=parent.attempt,
            run=state.run,
            status=ended.status,
            output=ended.output,
            error=ended.error,
            usage=ended.usage,
        )
        await self._tell(state.namespace, parent.run, f"child.{state.run}.ended", body)

    async def _tell(
        self, namespace: str, run: str, event: str, body: Message, *, guard: str = ""
    ) -> None:
        subject = subjects.run_event(namespace, run, event)
        await self._writer.create(subject, body, about=run, guard=guard)
