"""What is a workflow, in its canonical form?"""

from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from segue_language.durations import format_duration, parse_duration

MAX_STEPS: Final = 10_000
MAX_KEY: Final = 128
DEFAULT_PRIORITY: Final = "p2"
KINDS: Final = ("agent", "llm", "pool", "uses", "workflow", "wait", "approval", "fleet")
"""The fields that say what a step does; a step has exactly one of them."""

POOLS: Final = {"agent": "agents", "llm": "llm", "uses": "connectors"}
"""The pool that serves a kind, where the step does not name it."""

BESIDE: Final = {
    "action": frozenset({"agent", "pool"}),
    "provider": frozenset({"agent"}),
    "model": frozenset({"agent"}),
}
"""Fields that only some kinds have."""

TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "any": (object,),
}

_DURATION_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "Such as 250ms, 30s, 5m or 1h30m; a bare number is milliseconds.",
}
_SPEC_FIELDS: Final = frozenset({"type", "default", "required"})
_DESCRIBED: Final = ["description"]

Duration = Annotated[
    StrictInt,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""Milliseconds in memory, `1h30m` in files."""

Timeout = Annotated[Duration, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=r"^[^\x00-\x1f\x7f]+$")]
PoolName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Action = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+$")]


def _as_condition(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


Condition = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(_as_condition),
    WithJsonSchema({"type": ["string", "boolean"]}),
]
"""An expression with or without braces."""


def has_type(value: object, name: str) -> bool:
    """Tell whether a value is of an input's declared type."""
    if isinstance(value, bool):
        return name in ("boolean", "any")
    return isinstance(value, TYPES[name])


def as_input(value: object) -> object:
    """Spell out a declared input: a bare value is its default, without a default it is required."""
    if isinstance(value, InputSpec):
        return value
    if not isinstance(value, dict) or not (value.keys() & _SPEC_FIELDS or [*value] == _DESCRIBED):
        return {"default": value}
    if "default" in value or "required" in value:
        return value
    return {**value, "required": True}


class _Model(BaseModel):
    """Frozen, refuses unknown fields, camelCase in files."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )


class InputSpec(_Model):
    """One input of a workflow."""

    type: Literal["string", "number", "integer", "boolean", "array", "object", "any"] | None = None
    """What a value must be; without it anything goes."""
    default: JsonValue = None
    """The value when none is given."""
    required: StrictBool = False
    """Whether a run must give a value; true unless a default is declared."""
    description: str | None = None
    """What the value is for."""

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.type and self.default is not None and not has_type(self.default, self.type):
            raise PydanticCustomError("default_type", f"the default is no {self.type}")
        return self

    @model_serializer
    def _write(self) -> dict[str, JsonValue]:
        """Always name `required` or `default`, so that a reader takes it for a declaration."""
        written: dict[str, JsonValue] = {"type": self.type, "description": self.description}
        written = {name: value for name, value in written.items() if value is not None}
        if self.required:
            written["required"] = True
        if not self.required or self.default is not None:
            written["default"] = self.default
        return written

    @property
    def must_be_given(self) -> bool:
        """Whether a run without a value for it is refused."""
        return self.required and self.default is None


class Retry(_Model):
    """How often a failed attempt is repeated, and when."""

    max_attempts: Annotated[StrictInt, Field(ge=1, le=1_000)] = 1
    """Attempts in total, the first included."""
    delay: Duration = 1_000
    """The pause before the second attempt."""
    factor: Annotated[Number, Field(ge=1, le=100)] = 2.0
    """By how much each further pause is longer."""
    max_delay: Duration = 60_000
    """The longest pause."""
    non_retryable: tuple[Text, ...] = ()
    """Error codes that end the step at once."""


class Budget(_Model):
    """What a run may use, and what happens then."""

    usd: Annotated[Number, Field(gt=0)] | None = None
    """US dollars."""
    tokens: Annotated[StrictInt, Field(gt=0)] | None = None
    """Input and output tokens."""
    seconds: Annotated[Number, Field(gt=0)] | None = None
    """Seconds from the start."""
    on_exceed: Literal["pause", "fail"] = "pause"
    """Whether the run waits for an operator or ends."""


class Concurrency(_Model):
    """How many runs with the same key go on at once."""

    key: Text
    """A template over the inputs."""
    limit: Annotated[StrictInt, Field(ge=1)]
    """How many."""


def _as_for_each(value: object) -> object:
    return {"items": value} if isinstance(value, str | list) else value


class ForEach(_Model):
    """Repeats a step for each item of a list."""

    items: JsonValue
    """A list, or a template that gives one."""
    concurrency: Annotated[StrictInt, Field(ge=1)] | None = None
    """How many items go on at once."""


class LlmCall(_Model):
    """One direct call of a language model."""

    prompt: Text
    """What the model is asked; `{name}` placeholders are filled from `with` and the inputs."""
    system: str | None = None
    """How the model shall behave."""
    model: Text | None = None
    """The preferred model."""
    provider: Text | None = None
    """The preferred provider."""
    response_type: Literal["text", "json"] = "text"
    """Whether the answer is text or a JSON value."""


def _as_wait(value: object) -> object:
    return {"duration": value} if isinstance(value, str | int | float) else value


class Wait(_Model):
    """Holds the run until time passes or something happens: one of its fields but `timeout`."""

    duration: Duration | None = None
    """How long."""
    until: Text | None = None
    """A moment in RFC 3339, or a template that gives one."""
    signal: Text | None = None
    """The name of the signal that ends the wait."""
    event: Text | None = None
    """The topic of the bus event that ends the wait."""
    timeout: Timeout | None = None
    """How long at most."""

    @model_validator(mode="after")
    def _one_reason(self) -> Self:
        reasons = (self.duration, self.until, self.signal, self.event)
        if sum(reason is not None for reason in reasons) != 1:
            message = "a wait has exactly one of 'duration', 'until', 'signal' and 'event'"
            raise PydanticCustomError("wait_reason", message)
        return self


def _as_approval(value: object) -> object:
    if value is True:
        return {}
    return {"message": value} if isinstance(value, str) else value


class Approval(_Model):
    """Holds the run until a person decides."""

    message: str | None = None
    """What is to be decided."""
    approvers: tuple[Text, ...] = ()
    """Who may decide; everybody when empty."""
    timeout: Timeout | None = None
    """How long at most."""


class Step(_Model):
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
    """How long one attempt may take."""
    retry: Retry | None = None
    """Repetition of failed attempts; the workflow's when absent."""
    continue_on_error: StrictBool = False
    """Whether what depends on the step goes on although it failed."""
    with_: Annotated[dict[str, JsonValue], Field(alias="with")] = {}
    """The values handed to it, templates among them."""
    priority: Literal["p0", "p1", "p2", "p3"] = DEFAULT_PRIORITY
    """The class in which it waits for a worker; p0 goes first."""
    output_schema: dict[str, JsonValue] | None = None
    """JSON Schema that the output must satisfy."""
    for_each: Annotated[
        ForEach | None,
        BeforeValidator(_as_for_each),
    ] = None
    """Repeats the step for each item of a list."""
    compensate: dict[str, JsonValue] | None = None
    """What undoes the step when the run fails later."""
    agent: Text | None = None
    """Kind: a task for this agent."""
    llm: LlmCall | None = None
    """Kind: one call of a language model."""
    pool_name: Annotated[PoolName | None, Field(alias="pool")] = None
    """Kind: a task for the workers of this pool."""
    uses: Action | None = None
    """Kind: a connector's action, `<connector>.<action>`."""
    workflow: Text | None = None
    """Kind: a run of another workflow."""
    wait: Annotated[
        Wait | None,
        BeforeValidator(_as_wait),
    ] = None
    """Kind: hold until time passes or something happens."""
    approval: Annotated[
        Approval | None,
        BeforeValidator(_as_approval),
    ] = None
    """Kind: hold until a person decides."""
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
        kinds = self._kinds()
        if len(kinds) != 1:
            raise PydanticCustomError("step_kind", "a step has exactly one kind")
        for field, allowed in BESIDE.items():
            if getattr(self, field) is not None and kinds[0] not in allowed:
                raise PydanticCustomError("misplaced_field", f"'{field}' does not go with it")
        return self

    def _kinds(self) -> list[str]:
        return [kind for kind in KINDS if getattr(self, _ATTRIBUTES.get(kind, kind)) is not None]

    @property
    def kind(self) -> str:
        """What the step does, one of `KINDS`."""
        return self._kinds()[0]

    @property
    def pool(self) -> str | None:
        """The pool whose workers serve the step; none where the engine itself does."""
        return self.pool_name or POOLS.get(self.kind)


_ATTRIBUTES: Final = {"pool": "pool_name"}


class Workflow(_Model):
    """A workflow definition."""

    name: Name
    """Identifies the workflow."""
    version: str | None = None
    """The author's version."""
    title: str | None = None
    """What people see."""
    description: str | None = None
    """What the workflow is for."""
    inputs: dict[Name, Annotated[InputSpec, BeforeValidator(as_input)]] = {}
    """What a run is given: a default, or `{type, default, required, description}`."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    """What is done."""
    outputs: dict[str, JsonValue] = {}
    """The run's result, templates over inputs and outputs."""
    timeout: Timeout | None = None
    """How long a run may take."""
    retry: Retry | None = None
    """Repetition for the steps that say nothing themselves."""
    budget: Budget | None = None
    """What a run may use."""
    concurrency: Concurrency | None = None
    """How many runs go on at once."""
    labels: dict[str, str] = {}
    """For lists and filters."""

    def retry_of(self, step: Step) -> Retry:
        """Return the repetition that holds for a step."""
        return step.retry or self.retry or _ONCE


_ONCE: Final = Retry()
