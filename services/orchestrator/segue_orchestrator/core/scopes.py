"""Scopes: what may the templates of a step read?"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from segue_language import ExpressionError, Scope, render, render_prompt
from segue_orchestrator.core.plan import Plan, StepPlan, WaitPlan, index_of, undone_token
from segue_orchestrator.core.state import OutputAt, RunState

_NO_WAIT: Final = WaitPlan(kind="duration")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Values that were fetched for the core."""

    inputs: Mapping[str, Any]
    """The run's inputs."""
    outputs: Mapping[OutputAt, Any]
    """Values of events, by where they are."""


class MissingError(Exception):
    """Values are needed that were not fetched yet; a signal within the core."""

    def __init__(self, needs: tuple[OutputAt, ...]) -> None:
        super().__init__()
        self.needs = needs


NO_SCOPE: Final = Scope(inputs={}, outputs={})
"""What nothing reads."""


class Scopes:
    """Builds what templates read, for one decision."""

    def __init__(self, state: RunState, plan: Plan, known: Known) -> None:
        self._state = state
        self._plan = plan
        self._known = known
        self._run = {
            "id": state.run,
            "workflow": state.workflow,
            "namespace": state.namespace,
        }

    def of_step(self, step: StepPlan, token: str) -> Scope:
        """Return what the templates of a step, of an item, or of an undoing may read."""
        values: dict[str, Any] = {}
        reads, uses = set(step.reads), step.uses
        own: OutputAt | None = None
        if undone := undone_token(token):
            own = self._state.step(undone).output
            reads.discard(step.token)
        if (index := index_of(token)) is not None:
            values = {"item": self._item(token, index), "index": index}
        scope = self._scope(reads, uses, values)
        if undone and step.token in step.reads:
            value = None if own is None else self.value(own)
            outputs = {**scope.outputs, self._plan.steps[step.token].key: value}
            return Scope(
                inputs=scope.inputs, outputs=outputs, values=scope.values, states=scope.states
            )
        return scope

    def of_items(self, step: StepPlan) -> Scope:
        """Return what the list of a repeated step may read."""
        reads = step.map.reads if step.map else ()
        return self._scope(reads, reads, {})

    def of_match(self, step: StepPlan) -> Scope:
        """Return what the condition on an event may read, beside the event."""
        wait = step.wait or _NO_WAIT
        return self._scope(wait.match_reads, wait.match_uses, {})

    def of_outputs(self) -> Scope:
        """Return what the run's outputs may read."""
        return self._scope(self._plan.output_reads, self._plan.output_uses, {})

    def of_inputs(self) -> Scope:
        """Return what may be read before any step has run."""
        return self._scope((), (), {})

    def value(self, at: OutputAt) -> Any:
        """Return a value that was fetched.

        Raises:
            MissingError: It was not.
        """
        if at not in self._known.outputs:
            raise MissingError((at,))
        return self._known.outputs[at]

    def _item(self, token: str, index: int) -> Any:
        repeated = self._state.step(token.partition("~")[0]).map
        if repeated is None:
            raise ExpressionError(token, "the step is not repeated")
        return self.value(repeated.items)[index]

    def _scope(self, reads: Iterable[str], uses: Iterable[str], values: dict[str, Any]) -> Scope:
        """Return a scope; an output that does not exist reads as null."""
        places = {token: self._state.step(token).output for token in reads}
        needs = tuple(
            at for at in places.values() if at is not None and at not in self._known.outputs
        )
        if needs:
            raise MissingError(needs)
        outputs = {
            self._plan.steps[token].key: None if at is None else self._known.outputs[at]
            for token, at in places.items()
        }
        return Scope(
            inputs=self._known.inputs,
            outputs=outputs,
            values={"run": self._run, **values},
            states={self._plan.steps[token].key: self._state_of(token) for token in uses},
        )

    def _state_of(self, token: str) -> Mapping[str, Any]:
        step = self._state.step(token)
        error = None
        if step.error is not None:
            error = {"code": step.error.code, "message": step.error.message}
        return {"status": step.status, "error": error}


def input_of(step: StepPlan, scope: Scope) -> Mapping[str, Any]:
    """Return what a task is given: the rendered `with`, and for a model call its prompt."""
    values = {name: render(template, scope) for name, template in step.input.items()}
    if step.prompt is None:
        return values
    inner = Scope(
        inputs=scope.inputs,
        outputs=scope.outputs,
        values={**scope.values, **values},
        states=scope.states,
    )
    prompt = step.prompt
    texts = {"prompt": prompt.prompt, "system": prompt.system}
    filled = {name: render_prompt(text, inner) for name, text in texts.items() if text}
    return {**values, **filled, "responseType": prompt.response_type}
