"""Events of a step: which work was handed out, and what came of it?"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.runs import BudgetLimits, WaitKind
from segue_contracts.v1.values import Failure, UsageTotals, Value

OutcomeStatus = Literal["completed", "failed", "timed_out", "cancelled", "skipped"]
"""How an attempt can be settled."""

TaskKind = Literal["agent", "llm", "pool", "uses"]
"""What kind of work a task is."""


class StepScheduled(Message, frozen=True, kw_only=True):
    """An attempt was dispatched. The event is the task: workers of its pool receive it."""

    run: str
    """The run's id."""
    namespace: str
    """Its tenant."""
    workflow: str
    """The definition's name."""
    step: str
    """The step's key as the author wrote it."""
    attempt: int
    """Counted from 1."""
    pool: str
    """Who serves it."""
    kind: TaskKind
    """What kind of work it is."""
    input: Value = Value()
    """The step's rendered `with`, an object."""
    agent: str = ""
    """The agent asked for."""
    action: str = ""
    """What the agent or worker shall do."""
    provider: str = ""
    """The preferred provider; a preference, not a demand."""
    model: str = ""
    """The preferred model."""
    not_before_ms: int = 0
    """Do not start earlier, Unix milliseconds: the backoff of a retry."""
    deadline_ms: int = 0
    """The attempt times out then, Unix milliseconds; 0 for never."""
    heartbeat_ms: int = 0
    """Publish a beat at least this often, milliseconds; 0 asks for none."""
    start_to_close_ms: int = 0
    """Finish within this time after starting, milliseconds; 0 for no limit."""
    compensates: str = ""
    """The key of the step that this task undoes; empty for ordinary work."""
    budget: BudgetLimits | UnsetType = UNSET
    """What the run has left to use; absent when nothing limits it."""
    allowances: list[Allowance] = []
    """The ledger's accounts that calls to models are charged to: those of the runs above, the
    outermost first, and the run's own."""


class StepStarted(Message, frozen=True, kw_only=True):
    """A worker has been at the attempt for a while, or is about to have an effect."""

    worker: str
    """Who works on it."""


class StepBeat(Message, frozen=True, kw_only=True):
    """A worker is still at the attempt; asked for by `heartbeatMs` of the task."""

    worker: str
    """Who works on it."""
    note: str = ""
    """How far it is, for people."""


class StepWaiting(Message, frozen=True, kw_only=True):
    """The step waits for time, a signal, an event or a person; the dispatch of that attempt."""

    kind: WaitKind
    """What it waits for."""
    until_ms: int = 0
    """The moment that ends the wait, Unix milliseconds; 0 when something else does."""
    deadline_ms: int = 0
    """The wait times out then, Unix milliseconds; 0 for never."""
    escalate_ms: int = 0
    """The escalation step runs then, Unix milliseconds; 0 for never."""
    name: str = ""
    """The signal's name, or the event's topic."""
    message: str = ""
    """What is to be approved."""
    approvers: list[str] = []
    """Who may approve; everybody when empty."""
    quorum: int = 1
    """How many approvals it takes."""
    form: dict[str, Any] = {}
    """JSON Schema of what is to be filled in."""


class StepMapped(Message, frozen=True, kw_only=True):
    """The step is repeated for each item of a list, as `<key>~<index>`."""

    count: int
    """How many items there are."""
    items: Value = Value()
    """The list itself."""


class StepChecked(Message, frozen=True, kw_only=True):
    """The output of a completed attempt was held against the step's schema."""

    accepted: bool
    """Whether it satisfies the schema, so that it counts."""
    problems: list[str] = []
    """What is wrong with it, the first few."""


class StepCompleted(Message, frozen=True, kw_only=True):
    """The attempt succeeded; its output counts."""

    output: Value = Value()
    """What it produced."""
    usage: UsageTotals = UsageTotals()
    """What it used."""
    provider: str = ""
    """The provider that answered, `offline` when no model was called."""
    model: str = ""
    """The model that answered."""
    worker: str = ""
    """Who did it."""
    notes: list[str] = []
    """What a reader should know, such as a fallback from the preferred provider."""


class StepFailed(Message, frozen=True, kw_only=True):
    """The attempt failed; the step's retry policy decides what follows."""

    error: Failure
    """Why."""
    usage: UsageTotals = UsageTotals()
    """What it used all the same."""
    worker: str = ""
    """Who tried."""


class StepTimedOut(Message, frozen=True, kw_only=True):
    """The attempt ran past its deadline."""

    error: Failure
    """Which deadline it was."""
    usage: UsageTotals | UnsetType = UNSET
    """What it used all the same; absent when nobody knows."""
    worker: str = ""
    """Who gave it up; empty when the engine did."""


class StepCancelled(Message, frozen=True, kw_only=True):
    """The attempt was given up because its run is being cancelled."""

    reason: str = ""
    """Why."""
    usage: UsageTotals | UnsetType = UNSET
    """What it used all the same; absent when nobody knows."""
    worker: str = ""
    """Who gave it up; empty when the engine did."""


class StepSpent(Message, frozen=True, kw_only=True):
    """Work on an attempt that another outcome settled was given up; what it used counts, too."""

    usage: UsageTotals
    """What it used beside what the attempt's turns tell."""
    worker: str = ""
    """Who worked on it."""


class StepSkipped(Message, frozen=True, kw_only=True):
    """The step will not run."""

    reason: str
    """`condition` when its `when` is false, `upstream` when what it depends on did not complete,
    `not_escalated` when the approval it waits on was decided in time."""
