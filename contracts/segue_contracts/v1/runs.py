"""Events of a run as a whole: when did it start, change and end?"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.payload import PayloadRef
from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.values import Failure, UsageTotals, Value

RunStatus = Literal[
    "pending",
    "validating",
    "running",
    "paused",
    "waiting",
    "retrying",
    "parked",
    "completed",
    "failed",
    "cancelled",
]
"""States of a run; the last three are final."""

EndStatus = Literal["completed", "failed", "cancelled"]
"""States in which a run ends."""

LeaseKind = Literal["concurrency", "rate"]
"""Whether a lease is held until the run ends, or for a time from its grant on."""

Decision = Literal["approved", "rejected"]
"""What a person can say to an approval."""

WaitKind = Literal["duration", "until", "signal", "event", "approval", "lease", "admission"]
"""What a step or a run can wait for."""


class ParentRun(Message, frozen=True, kw_only=True):
    """The step of another run that this run is the work of."""

    run: str
    """The parent's id."""
    step: str
    """The token of the parent's step."""
    attempt: int
    """The attempt of that step."""


class ForkedFrom(Message, frozen=True, kw_only=True):
    """The run that this one took finished steps over from."""

    run: str
    """That run's id."""
    cursor: str
    """The position up to which that run was read."""
    settled: Value = Value()
    """The steps taken over: an object of `SettledStep` by step token."""


class SettledStep(Message, frozen=True, kw_only=True):
    """A step that a forked run has finished before it began."""

    status: str
    """Its outcome's status."""
    attempt: int = 0
    """The attempt that counted."""
    output: PayloadRef | UnsetType = UNSET
    """Its output; absent when it has none."""
    reason: str = ""
    """Why it was skipped or cancelled."""
    error: Failure | UnsetType = UNSET
    """Why it did not succeed."""
    provider: str = ""
    """The provider that answered."""
    usage: UsageTotals = UsageTotals()
    """What it used in the run that did the work; this run is not charged for it."""


class BudgetLimits(Message, frozen=True, kw_only=True):
    """What a run may use at most; a limit of 0 is none."""

    usd: Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")] = "0"
    """US dollars as a decimal string."""
    tokens: int = 0
    """Input and output tokens together."""
    seconds: float = 0
    """Seconds since the start."""


class RunStarted(Message, frozen=True, kw_only=True):
    """A run was accepted; everything it will ever read of its start is here or referenced."""

    workflow: str
    """The definition's name."""
    definition: str
    """SHA-256 of the canonical definition, its key in the bucket `WORKFLOWS`."""
    inputs: Value = Value()
    """The run's inputs after defaults, an object."""
    key: str = ""
    """The idempotency key of the start; empty when the caller sent none."""
    labels: dict[str, str] = {}
    """Labels for lists and filters."""
    children: dict[str, str] = {}
    """Hash of the definition of each workflow that this run or a run below it may start, by the
    reference that their steps use; fixed here, whatever the names mean later."""
    parent: ParentRun | UnsetType = UNSET
    """The step that this run is the work of; absent for a run that somebody started."""
    depth: int = 0
    """How many runs are above it."""
    fork: ForkedFrom | UnsetType = UNSET
    """The run it was forked from."""
    budget: BudgetLimits | UnsetType = UNSET
    """What its parent allows it to use, beside the definition's own budget."""
    allowances: list[Allowance] = []
    """The ledger's accounts of the runs above, the outermost first, which are charged too."""


class CancelRequested(Message, frozen=True, kw_only=True):
    """Someone asked for the run to stop; it ends `cancelled` once nothing is in flight."""

    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asked."""


class TerminateRequested(Message, frozen=True, kw_only=True):
    """Someone wants the run over at once: what is in flight is given up without waiting for it."""

    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asked."""


class RunPaused(Message, frozen=True, kw_only=True):
    """Nothing new is scheduled from here on; what is in flight finishes and counts."""

    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asked."""


class RunResumed(Message, frozen=True, kw_only=True):
    """A paused run goes on."""

    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asked."""


class RunParked(Message, frozen=True, kw_only=True):
    """The run cannot go on by itself, and waits for a fix instead of failing."""

    code: str
    """Typed reason, such as `expression_failed`, `definition_missing`, `too_large`."""
    message: str
    """One sentence that names the way out."""
    step: str = ""
    """The step concerned; empty for the run."""


class RunUnparked(Message, frozen=True, kw_only=True):
    """The reason for parking was mended; the run decides anew."""

    reason: str = ""
    """What was mended, for people."""
    by: str = ""
    """Who asked."""


class BudgetExtended(Message, frozen=True, kw_only=True):
    """Someone allowed the run to use more."""

    usd: Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")] = "0"
    """US dollars more, as a decimal string."""
    tokens: int = 0
    """Tokens more."""
    seconds: float = 0
    """Seconds more."""
    by: str = ""
    """Who did."""
    key: str = ""
    """The idempotency key of the extension; empty when the caller sent none."""


class LeaseHeld(Message, frozen=True, kw_only=True):
    """The run waits until a lease is free: as many runs as may hold it do."""

    key: str
    """What the lease is for, as the definition's template gave it."""
    limit: int
    """How many runs may hold it at once."""
    kind: LeaseKind = "concurrency"
    """Whether a holder keeps it until it ends, or for a time."""


class LeaseGranted(Message, frozen=True, kw_only=True):
    """The run holds a lease from here on."""

    key: str
    """What the lease is for."""
    kind: LeaseKind = "concurrency"
    """Whether it is kept until the run ends, or for a time."""


class ChildStarted(Message, frozen=True, kw_only=True):
    """A step's work was handed to a run of its own; the dispatch of that attempt."""

    step: str
    """The step's token."""
    attempt: int
    """The step's attempt, counted from 1."""
    run: str
    """The child's id."""
    workflow: str
    """The reference that the step uses."""
    definition: str
    """Hash of the child's definition."""
    inputs: Value = Value()
    """The child's inputs as the step gives them, an object."""
    deadline_ms: int = 0
    """The attempt times out then, Unix milliseconds; 0 for never."""


class ChildEnded(Message, frozen=True, kw_only=True):
    """A child run ended; the outcome of the attempt that it was the work of."""

    step: str
    """The step's token."""
    attempt: int
    """The step's attempt."""
    run: str
    """The child's id."""
    status: EndStatus
    """How the child ended."""
    output: Value | UnsetType = UNSET
    """The child's outputs."""
    error: Failure | UnsetType = UNSET
    """Why it did not complete."""
    usage: UsageTotals = UsageTotals()
    """What it used."""


class ApprovalGiven(Message, frozen=True, kw_only=True):
    """A person decided on a step that waits for approval; one word a person and attempt counts."""

    step: str
    """The step's token."""
    attempt: int
    """The step's attempt."""
    decision: Decision
    """What was decided."""
    by: str
    """Who decided."""
    form: dict[str, Any] = {}
    """What was filled in, as the approval's form asks for."""
    comment: str = ""
    """A remark for the record."""


class SignalReceived(Message, frozen=True, kw_only=True):
    """Someone sent the run a named signal."""

    name: str
    """The signal's name."""
    payload: Value = Value()
    """What it carries."""
    by: str = ""
    """Who sent it."""
    step: str = ""
    """The token of the step that waits for just this; empty for a signal by name."""


class TimerFired(Message, frozen=True, kw_only=True):
    """The run's timer fired; the run looks at all its deadlines."""

    deadline_ms: int
    """The deadline it was armed for, Unix milliseconds; also the timer's number."""


class RunEnded(Message, frozen=True, kw_only=True):
    """The run is over; this is its last word, and there is one only."""

    status: EndStatus
    """How it ended."""
    output: Value | UnsetType = UNSET
    """The workflow's outputs, an object; absent when it did not complete."""
    error: Failure | UnsetType = UNSET
    """Why it did not complete."""
    usage: UsageTotals = UsageTotals()
    """What all attempts used together."""


class StepView(Message, frozen=True, kw_only=True):
    """A step as a reader of the run's state sees it."""

    step: str
    """The step's key."""
    status: str
    """`pending`, `scheduled`, `running`, `waiting`, `checking`, `retrying`, `parked`, or the
    outcome's status."""
    attempt: int = 0
    """The latest attempt; 0 before the first."""
    pool: str = ""
    """The pool that serves it."""
    agent: str = ""
    """The agent, when one serves it."""
    provider: str = ""
    """The provider that answered last."""
    error: Failure | UnsetType = UNSET
    """Why the latest attempt did not succeed."""
    usage: UsageTotals = UsageTotals()
    """What all its attempts used."""
    scheduled_ms: int = 0
    """When the first attempt was scheduled, Unix milliseconds; 0 before."""
    ended_ms: int = 0
    """When it was settled, Unix milliseconds; 0 before."""
    waits_for: WaitKind | UnsetType = UNSET
    """What it waits for, while it does."""
    until_ms: int = 0
    """When the wait ends at the latest, Unix milliseconds; 0 for no limit."""
    child: str = ""
    """The run that is its work."""
    items: int = 0
    """How many items it is repeated for."""
    items_settled: int = 0
    """How many of them are settled."""
    sequence: int = 0
    """Journal sequence of what settled it; with the journal's epoch a checkpoint."""


class WaitView(Message, frozen=True, kw_only=True):
    """Something that a run waits for."""

    run: str
    """The run's id."""
    workflow: str
    """The definition's name."""
    step: str
    """The step that waits, with the indices of its items; empty for the run."""
    kind: WaitKind
    """What it waits for."""
    since_ms: int
    """Since when, Unix milliseconds."""
    until_ms: int = 0
    """Until when at the latest, Unix milliseconds; 0 for no limit."""
    name: str = ""
    """The signal's name, the event's topic, or the lease's key."""
    message: str = ""
    """What is to be approved."""
    approvers: list[str] = []
    """Who may approve; everybody when empty."""
    quorum: int = 0
    """How many approvals it takes."""
    approved_by: list[str] = []
    """Who has approved so far."""
    form: dict[str, Any] = {}
    """JSON Schema of what is to be filled in."""


class RunView(Message, frozen=True, kw_only=True):
    """A run as a reader of its state sees it."""

    run: str
    """The run's id."""
    namespace: str
    """Its tenant."""
    workflow: str
    """The definition's name."""
    definition: str
    """The definition's hash."""
    status: RunStatus
    """Where it stands."""
    started_ms: int
    """When it started, Unix milliseconds."""
    cursor: str
    """The journal position this view is of; follow the stream from here."""
    ended_ms: int = 0
    """When it ended, Unix milliseconds; 0 while it runs."""
    steps: list[StepView] = []
    """All steps, in the definition's order."""
    output: Value | UnsetType = UNSET
    """The workflow's outputs."""
    error: Failure | UnsetType = UNSET
    """Why it did not complete."""
    usage: UsageTotals = UsageTotals()
    """What it has used."""
    inputs: Any | UnsetType = UNSET
    """The run's inputs, when they are small enough to be inline."""
    labels: dict[str, str] = {}
    """Labels for lists and filters."""
    parent: ParentRun | UnsetType = UNSET
    """The step that this run is the work of."""
    forked_from: str = ""
    """The run that finished steps were taken over from."""
    waits: list[WaitView] = []
    """What it waits for."""


class RunSummary(Message, frozen=True, kw_only=True):
    """A run in a list."""

    run: str
    """The run's id."""
    workflow: str
    """The definition's name."""
    status: str
    """Where it stands."""
    started_ms: int
    """When it started, Unix milliseconds."""
    ended_ms: int = 0
    """When it ended, Unix milliseconds; 0 while it runs."""
