"""What is a workflow, in its canonical form?"""

from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, StrictBool, model_validator

from segue_language.constructs import (
    BESIDE,
    COMPENSATIONS,
    KINDS,
    POOLS,
    TYPES,
    Approval,
    Budget,
    Compensation,
    Concurrency,
    Escalation,
    ForEach,
    InputSpec,
    LlmCall,
    OptionalApproval,
    OptionalForEach,
    OptionalWait,
    Rate,
    Retry,
    RetryClass,
    Timeouts,
    Wait,
    as_input,
    check_kind,
    has_type,
    is_plain,
    kinds_of,
)
from segue_language.fields import (
    MAX_KEY,
    Action,
    Condition,
    Model,
    Name,
    PoolName,
    Text,
    Timeout,
    WorkflowReference,
)

__all__ = [
    "BESIDE",
    "COMPENSATIONS",
    "DEFAULT_PRIORITY",
    "KINDS",
    "MAX_KEY",
    "MAX_STEPS",
    "POOLS",
    "TYPES",
    "Approval",
    "Budget",
    "Compensation",
    "Concurrency",
    "Escalation",
    "ForEach",
    "InputSpec",
    "LlmCall",
    "Priority",
    "Rate",
    "Retry",
    "RetryClass",
    "Step",
    "Timeouts",
    "Wait",
    "Workflow",
    "as_input",
    "has_type",
]

MAX_STEPS: Final = 10_000
DEFAULT_PRIORITY: Final = "p2"
Priority = Literal["p0", "p1", "p2", "p3"]


class Step(Model):
    """One step: exactly one kind, and when and how it runs."""

    key: Name
    """Names the step within its workflow."""
    name: str | None = None
    """What people see."""
    description: str | None = None
    """What the step is for."""
    depends_on: tuple[str, ...] = ()
    """The steps that must be settled before."""
    when: Condition | None = None
    """Runs only if this is true; skipped otherwise."""
    timeout: Timeout | None = None
    """How long one attempt may take, from its dispatch on."""
    timeouts: Timeouts | None = None
    """How long the phases of the step may take."""
    retry: Retry | None = None
    """Repetition of failed attempts; the workflow's when absent."""
    continue_on_error: StrictBool = False
    """Whether what depends on the step goes on although it failed."""
    with_: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    """The values handed to it, templates among them."""
    priority: Priority | None = None
    """The class in which it waits for a worker; p0 goes first. The workflow's when absent."""
    output_schema: dict[str, JsonValue] | None = None
    """JSON Schema that the output must satisfy."""
    for_each: OptionalForEach = None
    """Repeats the step for each item of a list."""
    compensate: Compensation | None = None
    """What undoes the step when the run fails later."""
    agent: Text | None = None
    """Kind: a task for this agent."""
    llm: LlmCall | None = None
    """Kind: one call of a language model."""
    pool_name: Annotated[PoolName | None, Field(alias="pool")] = None
    """Kind: a task for the workers of this pool."""
    uses: Action | None = None
    """Kind: a connector's action, `<connector>.<action>`."""
    workflow: WorkflowReference | None = None
    """Kind: a run of another workflow: `name`, `name@version` or `name@alias`."""
    wait: OptionalWait = None
    """Kind: hold until time passes or something happens."""
    approval: OptionalApproval = None
    """Kind: hold until people decide."""
    fleet: dict[str, JsonValue] | None = None
    """Kind: several agents that solve one task together."""
    action: Text | None = None
    """What the agent or worker shall do."""
    provider: Text | None = None
    """The agent's preferred provider."""
    model: Text | None = None
    """The agent's preferred model."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not is_plain(self):
            check_kind(kinds_of(self.__dict__, KINDS), self.__dict__)
        return self

    @property
    def kind(self) -> str:
        """What the step does, one of `KINDS`."""
        return kinds_of(self.__dict__, KINDS)[0]

    @property
    def pool(self) -> str | None:
        """The pool whose workers serve the step; none where the engine itself does."""
        return self.pool_name or POOLS.get(self.kind)


class Workflow(Model):
    """A workflow definition."""

    name: Name
    """Identifies the workflow."""
    version: str | None = None
    """The author's version; a registered definition needs a semantic one, such as 1.4.0."""
    title: str | None = None
    """What people see."""
    description: str | None = None
    """What the workflow is for."""
    inputs: dict[Name, Annotated[InputSpec, BeforeValidator(as_input)]] = Field(
        default_factory=dict
    )
    """What a run is given: a default, or `{type, default, required, description}`."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    """What is done."""
    outputs: dict[str, JsonValue] = Field(default_factory=dict)
    """The run's result, templates over inputs and outputs."""
    timeout: Timeout | None = None
    """How long a run may take."""
    retry: Retry | None = None
    """Repetition for the steps that say nothing themselves."""
    priority: Priority = DEFAULT_PRIORITY
    """The class of the steps that say nothing themselves."""
    compensate_on: tuple[Literal["failed", "cancelled"], ...] = ("failed",)
    """The ends of a run after which finished steps are undone."""
    budget: Budget | None = None
    """What a run may use."""
    concurrency: Concurrency | None = None
    """How many runs go on at once."""
    rate: Rate | None = None
    """How many runs start in a span of time."""
    labels: dict[str, str] = Field(default_factory=dict)
    """For lists and filters."""

    def retry_of(self, step: Step) -> Retry:
        """Return the repetition that holds for a step."""
        return step.retry or self.retry or _ONCE

    def priority_of(self, step: Step) -> Priority:
        """Return the class that holds for a step."""
        return step.priority or self.priority


_ONCE: Final = Retry()
