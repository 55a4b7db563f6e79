"""The plan: what does the engine need of a definition, ready to be looked up?"""

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import msgspec

from segue_contracts.v1.steps import TaskKind
from segue_contracts.v1.subjects import escape_key
from segue_language import Step, Workflow, references

SUPPORTED: Final = frozenset(
    {"agent", "llm", "pool", "when", "timeout", "retry", "continueOnError", "priority"}
    | {"runTimeout", "outputs"}
)
"""The kinds and constructs of the language that this engine runs."""


class RetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a step is tried again."""

    max_attempts: int = 1
    """Attempts at most, the first included."""
    delay_ms: int = 1_000
    """Wait before the second attempt."""
    factor: float = 2.0
    """Growth of the wait from attempt to attempt."""
    max_delay_ms: int = 60_000
    """The wait never grows past this."""
    non_retryable: frozenset[str] = frozenset()
    """Failure codes after which no attempt follows."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The templates of a direct model call."""

    prompt: str
    system: str
    response_type: str


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A step, compiled."""

    key: str
    """As the author wrote it."""
    token: str
    """Its subject token, which names it in the state."""
    kind: TaskKind = "pool"
    """What kind of work it is."""
    pool: str = ""
    """Who serves it."""
    priority: str = "p2"
    """`p0` to `p3`."""
    agent: str = ""
    """The agent asked for."""
    action: str = ""
    """What it shall do."""
    provider: str = ""
    """The preferred provider."""
    model: str = ""
    """The preferred model."""
    input: Mapping[str, Any] = {}
    """The `with` template."""
    prompt: Prompt | None = None
    """The templates of a model call."""
    when: str = ""
    """Its condition; empty for none."""
    dependencies: tuple[str, ...] = ()
    """Tokens of the steps it waits for."""
    dependents: tuple[str, ...] = ()
    """Tokens of the steps that wait for it."""
    reads: tuple[str, ...] = ()
    """Tokens of the steps whose outputs its templates read."""
    timeout_ms: int = 0
    """Limit of an attempt from its dispatch on; 0 for none."""
    retry: RetryPlan = RetryPlan()
    """When it is tried again."""
    continue_on_error: bool = False
    """Whether its failure counts as settled for those that wait for it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, compiled."""

    name: str
    """The definition's name."""
    steps: Mapping[str, StepPlan]
    """By token, in the definition's order."""
    order: Mapping[str, int]
    """Token to place in the definition."""
    outputs: Mapping[str, Any] = {}
    """Templates of the run's outputs; empty for the outputs of the last steps."""
    output_reads: tuple[str, ...] = ()
    """Tokens of the steps that the outputs read."""
    timeout_ms: int = 0
    """Limit of the whole run; 0 for none."""


def compile_plan(workflow: Workflow) -> Plan:
    """Return the plan of a valid definition."""
    tokens = {step.key: escape_key(step.key) for step in workflow.steps}
    dependents: dict[str, list[str]] = {key: [] for key in tokens}
    for step in workflow.steps:
        for key in step.depends_on:
            dependents[key].append(tokens[step.key])
    steps = {
        tokens[step.key]: _compile_step(workflow, step, tokens, tuple(dependents[step.key]))
        for step in workflow.steps
    }
    if workflow.outputs:
        reads = references(workflow.outputs, steps=tokens, inputs=workflow.inputs).steps
    else:
        reads = frozenset(key for key, waiting in dependents.items() if not waiting)
    return Plan(
        name=workflow.name,
        steps=steps,
        order={token: place for place, token in enumerate(steps)},
        outputs=workflow.outputs,
        output_reads=tuple(sorted(tokens[key] for key in reads)),
        timeout_ms=workflow.timeout or 0,
    )


def _compile_step(
    workflow: Workflow, step: Step, tokens: Mapping[str, str], dependents: tuple[str, ...]
) -> StepPlan:
    call = step.llm
    return StepPlan(
        key=step.key,
        token=tokens[step.key],
        kind=_kind(step),
        pool=step.pool or "",
        priority=step.priority,
        agent=step.agent or "",
        action=step.action or "",
        provider=(step.provider if call is None else call.provider) or "",
        model=(step.model if call is None else call.model) or "",
        input=step.with_,
        prompt=_prompt(step),
        when=step.when or "",
        dependencies=tuple(tokens[key] for key in step.depends_on),
        dependents=dependents,
        reads=tuple(sorted(tokens[key] for key in _steps_read(workflow, step, tokens))),
        timeout_ms=step.timeout or 0,
        retry=_retry(workflow, step),
        continue_on_error=step.continue_on_error,
    )


def _kind(step: Step) -> TaskKind:
    if step.kind not in get_args(TaskKind):
        raise ValueError(f"step {step.key}: kind {step.kind} has no tasks")
    return cast("TaskKind", step.kind)


def _prompt(step: Step) -> Prompt | None:
    call = step.llm
    if call is None:
        return None
    return Prompt(prompt=call.prompt, system=call.system or "", response_type=call.response_type)


def _steps_read(workflow: Workflow, step: Step, tokens: Mapping[str, str]) -> frozenset[str]:
    """Return the keys of the steps that a step's templates read."""
    inputs = workflow.inputs
    used = references(step.with_, steps=tokens, inputs=inputs).steps
    if step.when:
        used |= references(step.when, steps=tokens, inputs=inputs, mode="condition").steps
    if step.llm is not None:
        texts = [step.llm.prompt, step.llm.system or ""]
        values = step.with_
        used |= references(texts, steps=tokens, inputs=inputs, values=values, mode="prompt").steps
    return used


def _retry(workflow: Workflow, step: Step) -> RetryPlan:
    retry = workflow.retry_of(step)
    return RetryPlan(
        max_attempts=retry.max_attempts,
        delay_ms=retry.delay,
        factor=retry.factor,
        max_delay_ms=retry.max_delay,
        non_retryable=frozenset(retry.non_retryable),
    )
