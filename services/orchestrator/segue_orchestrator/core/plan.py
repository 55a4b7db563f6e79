"""The plan: what does the engine need of a definition, ready to be looked up?"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from segue_contracts.v1.steps import TaskKind
from segue_contracts.v1.subjects import UNDO

SUPPORTED: Final = frozenset(
    {"agent", "llm", "pool", "uses", "workflow", "wait", "approval"}
    | {"when", "forEach", "compensate", "outputs", "outputSchema"}
    | {"timeout", "timeouts", "runTimeout", "retry", "continueOnError"}
    | {"priority", "budget", "concurrency", "rate"}
)
"""The kinds and constructs of the language that this engine runs."""

StepKind = TaskKind | Literal["workflow", "wait", "approval"]


class RetryRule(msgspec.Struct, frozen=True, kw_only=True):
    """How often and when a failed attempt is repeated."""

    max_attempts: int = 1
    """Attempts at most, the first included."""
    delay_ms: int = 1_000
    """Wait before the second attempt."""
    factor: float = 2.0
    """Growth of the wait from attempt to attempt."""
    max_delay_ms: int = 60_000
    """The wait never grows past this."""


class RetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a step is tried again."""

    rule: RetryRule = RetryRule()
    """For failures that no class names."""
    classes: Mapping[str, RetryRule] = {}
    """By failure code."""
    non_retryable: tuple[str, ...] = ()
    """Failure codes after which no attempt follows; one may end in `*`."""
    parks: bool = False
    """Whether the run is parked, instead of the step failing, when attempts are exhausted."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long an attempt or a step may take, milliseconds; 0 for no limit."""

    attempt_ms: int = 0
    """From the attempt's dispatch to its outcome."""
    queue_ms: int = 0
    """From the attempt's dispatch to its start."""
    start_to_close_ms: int = 0
    """From the attempt's start to its outcome."""
    schedule_to_close_ms: int = 0
    """From the first attempt's dispatch to the last one's outcome."""
    heartbeat_ms: int = 0
    """Between two signs of life of a worker."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The templates of a direct model call."""

    prompt: str
    system: str
    response_type: str


class MapPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is repeated."""

    items: Any
    """The list, or a template that gives one."""
    limit: int = 0
    """How many items go on at once; 0 for all."""
    reads: tuple[str, ...] = ()
    """Tokens of the steps whose outputs the template reads."""


class WaitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a step waits for."""

    kind: Literal["duration", "until", "signal", "event"]
    duration_ms: int = 0
    until: str = ""
    """A moment in RFC 3339, or a template that gives one."""
    name: str = ""
    """The signal's name, or the event's topic."""
    match: str = ""
    """What the event must satisfy; empty for any."""
    match_uses: tuple[str, ...] = ()
    """Tokens of the steps that the expression names."""
    match_reads: tuple[str, ...] = ()
    """Tokens of the steps whose outputs the expression reads."""
    timeout_ms: int = 0
    """How long at most; 0 for no limit."""


class ApprovalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Whose word a step waits for."""

    message: str = ""
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    form: Mapping[str, Any] = {}
    timeout_ms: int = 0
    """How long at most; 0 for no limit."""
    escalate_ms: int = 0
    """After which the escalation step runs; 0 for never."""
    escalation: str = ""
    """Token of the escalation step."""


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A step, compiled."""

    key: str
    """As the author wrote it."""
    token: str
    """Its subject token, which names it in the state."""
    kind: StepKind = "pool"
    """What kind of work it is."""
    pool: str = ""
    """Who serves it; empty where the engine itself does."""
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
    reference: str = ""
    """The workflow that a run of its own is started of."""
    input: Mapping[str, Any] = {}
    """The `with` template."""
    prompt: Prompt | None = None
    """The templates of a model call."""
    wait: WaitPlan | None = None
    approval: ApprovalPlan | None = None
    map: MapPlan | None = None
    """How it is repeated; None for once."""
    when: str = ""
    """Its condition; empty for none."""
    dependencies: tuple[str, ...] = ()
    """Tokens of the steps it waits for."""
    dependents: tuple[str, ...] = ()
    """Tokens of the steps that wait for it."""
    uses: tuple[str, ...] = ()
    """Tokens of the steps that its templates name."""
    reads: tuple[str, ...] = ()
    """Tokens of the steps whose outputs its templates read."""
    limits: Limits = Limits()
    retry: RetryPlan = RetryPlan()
    """When it is tried again."""
    continue_on_error: bool = False
    """Whether its failure counts as settled for those that wait for it."""
    output_schema: Mapping[str, Any] | None = None
    """What its output must satisfy."""
    escalates: str = ""
    """Token of the approval whose delay makes it run; empty for an ordinary step."""
    parks_unpaid: bool = True
    """Whether the run waits for a larger budget when the ledger refuses a call of the step."""
    compensated: bool = False
    """Whether a task undoes it when the run fails."""
    compensates: str = ""
    """The key of the step that it undoes; empty for ordinary work."""

    @property
    def has_templates(self) -> bool:
        """Whether anything of its work is computed when it begins."""
        return bool(self.input) or self.prompt is not None or not self.pool

    def name_of(self, token: str) -> str:
        """Return the step, item or undoing of a token as people write it."""
        return (self.compensates or self.key) + token[len(self.token) :]


class BudgetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may use; 0 for no limit."""

    usd: str = "0"
    tokens: int = 0
    seconds: float = 0
    parks: bool = True
    """Whether the run waits for more, instead of failing."""


class LeasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run must hold before its steps begin."""

    kind: Literal["concurrency", "rate"]
    key: str
    """A template over the inputs."""
    limit: int
    policy: Literal["queue", "cancelNewest", "cancelRunning"] = "queue"
    per_ms: int = 0
    """How long a rate's lease is kept; 0 until the run ends."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, compiled."""

    name: str
    """The definition's name."""
    steps: Mapping[str, StepPlan]
    """By token, in the definition's order."""
    undos: Mapping[str, StepPlan] = {}
    """The tasks that undo steps, by the token of the step."""
    order: Mapping[str, int]
    """Token to place in the definition."""
    outputs: Mapping[str, Any] = {}
    """Templates of the run's outputs; empty for the outputs of the last steps."""
    output_uses: tuple[str, ...] = ()
    """Tokens of the steps that the outputs name."""
    output_reads: tuple[str, ...] = ()
    """Tokens of the steps whose outputs the outputs read."""
    timeout_ms: int = 0
    """Limit of the whole run; 0 for none."""
    budget: BudgetPlan | None = None
    leases: tuple[LeasePlan, ...] = ()
    undo_on: frozenset[str] = frozenset({"failed"})
    """Ends before which completed steps are undone."""

    def find(self, token: str) -> StepPlan | None:
        """Return the step that a token belongs to: its own, one of its items', or its undoing's."""
        step = self.steps.get(token)
        if step is not None or "~" not in token:
            return step
        base, _, rest = token.partition("~")
        if rest.endswith(UNDO):
            return self.undos.get(base)
        step = self.steps.get(base)
        return step if step is not None and step.map is not None else None

    def rank(self, token: str) -> tuple[str, int, int]:
        """Return where a token stands among others: by priority, then as the definition says."""
        base, _, rest = token.partition("~")
        index = rest.partition("~")[0]
        priority = self.steps[base].priority
        return priority, self.order[base], int(index) if index.isdigit() else -1


def index_of(token: str) -> int | None:
    """Return the index of an item's token; None for a step's own."""
    index = token.partition("~")[2].partition("~")[0]
    return int(index) if index.isdigit() else None


def undo_token(token: str) -> str:
    """Return the token of the task that undoes a step or an item."""
    return f"{token}~{UNDO}"


def undone_token(token: str) -> str:
    """Return the token of the step or item that a task undoes; empty for ordinary work."""
    base, _, last = token.rpartition("~")
    return base if last == UNDO else ""
