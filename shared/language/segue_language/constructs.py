"""What are the parts of a workflow and of a step, in their canonical form?"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from segue_language.fields import (
    Action,
    CodePattern,
    Condition,
    Duration,
    Heartbeat,
    Model,
    Moment,
    Number,
    PoolName,
    Text,
    Timeout,
    Topic,
    WorkflowReference,
)

POOLS: Final = {"agent": "agents", "llm": "llm", "uses": "connectors"}
"""The pool that serves a kind, where the step does not name it."""

BESIDE: Final = {
    "action": frozenset({"agent", "pool"}),
    "provider": frozenset({"agent"}),
    "model": frozenset({"agent"}),
}
"""Fields that only some kinds have."""

COMPENSATIONS: Final = ("agent", "llm", "pool", "uses", "workflow")
"""The kinds that can undo a step."""

TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "any": (object,),
}
_SPEC_FIELDS: Final = frozenset({"type", "default", "required"})
_DESCRIBED: Final = ["description"]


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


class InputSpec(Model):
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


class RetryClass(Model):
    """What holds for failures of one code instead; what is absent stays as it is."""

    max_attempts: Annotated[StrictInt, Field(ge=1, le=1_000)] | None = None
    """Attempts in total, the first included."""
    delay: Duration | None = None
    """The pause before the second attempt."""
    factor: Annotated[Number, Field(ge=1, le=100)] | None = None
    """By how much each further pause is longer."""
    max_delay: Duration | None = None
    """The longest pause."""


class Retry(Model):
    """How often a failed attempt is repeated, and when."""

    max_attempts: Annotated[StrictInt, Field(ge=1, le=1_000)] = 1
    """Attempts in total, the first included."""
    delay: Duration = 1_000
    """The pause before the second attempt."""
    factor: Annotated[Number, Field(ge=1, le=100)] = 2.0
    """By how much each further pause is longer."""
    max_delay: Duration = 60_000
    """The longest pause."""
    non_retryable: tuple[CodePattern, ...] = ()
    """Error codes that end the step at once; `net_*` stands for all that begin with `net_`."""
    on_exhausted: Literal["fail", "park"] = "fail"
    """Whether the step fails after its last attempt, or the run is parked for an operator."""
    classes: dict[Text, RetryClass] = Field(default_factory=dict)
    """Other repetition for failures of a code."""


class Timeouts(Model):
    """How long the phases of a step may take."""

    queue: Timeout | None = None
    """From an attempt's dispatch until a worker begins with it."""
    start_to_close: Timeout | None = None
    """From a worker's beginning until the attempt's end."""
    schedule_to_close: Timeout | None = None
    """From the first attempt's dispatch until the step's end, all attempts and pauses included."""
    heartbeat: Heartbeat | None = None
    """The longest silence of a worker, at least a second."""


class Budget(Model):
    """What a run may use, and what happens then."""

    usd: Annotated[Number, Field(gt=0)] | None = None
    """US dollars."""
    tokens: Annotated[StrictInt, Field(gt=0)] | None = None
    """Input and output tokens."""
    seconds: Annotated[Number, Field(gt=0)] | None = None
    """Seconds from the start."""
    on_exceed: Literal["pause", "fail"] = "pause"
    """Whether the run waits for an operator or ends."""


class Concurrency(Model):
    """How many runs with the same key go on at once."""

    key: Text
    """A template over the inputs."""
    limit: Annotated[StrictInt, Field(ge=1)]
    """How many."""
    policy: Literal["queue", "cancelNewest", "cancelRunning"] = "queue"
    """What happens to one too many: it waits, it is cancelled, or a running one is."""


class Rate(Model):
    """How many runs with the same key start in a span of time; others wait."""

    key: Text
    """A template over the inputs."""
    limit: Annotated[StrictInt, Field(ge=1)]
    """How many."""
    per: Timeout
    """The span of time."""


def _as_for_each(value: object) -> object:
    return {"items": value} if isinstance(value, str | list) else value


class ForEach(Model):
    """Repeats a step for each item of a list, as `item` with its `index`."""

    items: JsonValue
    """A list, or a template that gives one."""
    max_concurrency: Annotated[StrictInt, Field(ge=1)] | None = None
    """How many items go on at once."""


class LlmCall(Model):
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


class Wait(Model):
    """Holds until time passes or something happens: `duration`, `until`, `signal` or `event`."""

    duration: Duration | None = None
    """How long."""
    until: Moment | None = None
    """A moment in RFC 3339, or a template that gives one."""
    signal: Text | None = None
    """The name of the signal that ends the wait."""
    event: Topic | None = None
    """The topic of the bus event that ends the wait, such as `orders.paid`."""
    match: Condition | None = None
    """What must be true of the event's data, as `event`; other events are passed over."""
    timeout: Timeout | None = None
    """How long at most."""

    @model_validator(mode="after")
    def _one_reason(self) -> Self:
        reasons = (self.duration, self.until, self.signal, self.event)
        if sum(reason is not None for reason in reasons) != 1:
            message = "a wait has exactly one of 'duration', 'until', 'signal' and 'event'"
            raise PydanticCustomError("wait_reason", message)
        if self.match is not None and self.event is None:
            message = "'match' goes with 'event' only; a signal goes to one step by its name"
            raise PydanticCustomError("wait_match", message)
        return self


class Escalation(Model):
    """What happens when nobody decides in time."""

    after: Timeout
    """How long the approval is open before."""
    step: Text
    """The step that runs then, and only then."""


def _as_approval(value: object) -> object:
    if value is True:
        return {}
    return {"message": value} if isinstance(value, str) else value


class Approval(Model):
    """Holds the run until people decide."""

    message: str | None = None
    """What is to be decided."""
    approvers: tuple[Text, ...] = ()
    """Who may decide; everybody when empty."""
    quorum: Annotated[StrictInt, Field(ge=1)] = 1
    """How many must agree."""
    form: dict[str, JsonValue] | None = None
    """JSON Schema of what those who decide fill in."""
    timeout: Timeout | None = None
    """How long at most."""
    escalation: Escalation | None = None
    """What happens when nobody decides in time."""

    @model_validator(mode="after")
    def _quorum_can_be_reached(self) -> Self:
        if self.approvers and self.quorum > len(set(self.approvers)):
            message = "the quorum is larger than the number of approvers"
            raise PydanticCustomError("quorum", message)
        return self


class Compensation(Model):
    """What undoes a step: exactly one kind, and how it runs."""

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
    with_: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    """The values handed to it; templates may read the step's own output, too."""
    action: Text | None = None
    """What the agent or worker shall do."""
    provider: Text | None = None
    """The agent's preferred provider."""
    model: Text | None = None
    """The agent's preferred model."""
    timeout: Timeout | None = None
    """How long one attempt may take."""
    retry: Retry | None = None
    """Repetition of failed attempts; the workflow's when absent."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not is_plain(self):
            check_kind(kinds_of(self.__dict__, COMPENSATIONS), self.__dict__)
        return self

    @property
    def kind(self) -> str:
        """What it does, one of `COMPENSATIONS`."""
        return kinds_of(self.__dict__, COMPENSATIONS)[0]

    @property
    def pool(self) -> str | None:
        """The pool whose workers serve it; none where the engine itself does."""
        return self.pool_name or POOLS.get(self.kind)


KINDS: Final = ("agent", "llm", "pool", "uses", "workflow", "wait", "approval", "fleet")
"""The fields that say what a step does; a step has exactly one of them."""

_ATTRIBUTE_OF: Final = {
    **{field: field for field in (*KINDS, *BESIDE)},
    "pool": "pool_name",
}


_KIND_ATTRIBUTES: Final = frozenset(_ATTRIBUTE_OF[kind] for kind in KINDS)
_BESIDE_ATTRIBUTES: Final = frozenset(_ATTRIBUTE_OF[field] for field in BESIDE)


def is_plain(model: Model) -> bool:
    """Tell quickly that a step was given one kind, and nothing that does not go with it."""
    given = model.model_fields_set
    kinds = given & _KIND_ATTRIBUTES
    if len(kinds) != 1:
        return False
    (kind,) = kinds
    fits = kind == "agent" or _BESIDE_ATTRIBUTES.isdisjoint(given)
    return fits and getattr(model, kind) is not None


def kinds_of(attributes: Mapping[str, object], kinds: tuple[str, ...]) -> list[str]:
    """Return the kinds that a step's attributes name."""
    return [kind for kind in kinds if attributes[_ATTRIBUTE_OF[kind]] is not None]


def check_kind(kinds: list[str], attributes: Mapping[str, object]) -> None:
    """Refuse attributes with more or less than one kind, or with fields of another."""
    if len(kinds) != 1:
        raise PydanticCustomError("step_kind", "a step has exactly one kind")
    for field, allowed in BESIDE.items():
        used = attributes.get(_ATTRIBUTE_OF[field]) is not None
        if used and kinds[0] not in allowed:
            raise PydanticCustomError("misplaced_field", f"'{field}' does not go with it")


OptionalForEach = Annotated[ForEach | None, BeforeValidator(_as_for_each)]
OptionalWait = Annotated[Wait | None, BeforeValidator(_as_wait)]
OptionalApproval = Annotated[Approval | None, BeforeValidator(_as_approval)]
