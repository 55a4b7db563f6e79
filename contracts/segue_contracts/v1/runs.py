"""Events of a run as a whole: when did it start, change and end?"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
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


class CancelRequested(Message, frozen=True, kw_only=True):
    """Someone asked for the run to stop; it ends `cancelled` once nothing is in flight."""

    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asked."""


class RunPaused(Message, frozen=True, kw_only=True):
    """Nothing new is scheduled from here on; what is in flight finishes and counts."""

    reason: str = ""
    """Why, for people."""


class RunResumed(Message, frozen=True, kw_only=True):
    """A paused run goes on."""


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


class SignalReceived(Message, frozen=True, kw_only=True):
    """Someone sent the run a named signal."""

    name: str
    """The signal's name."""
    payload: Value = Value()
    """What it carries."""


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
    """`pending`, `scheduled`, `running`, `retrying`, or the outcome's status."""
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


class RunSummary(Message, frozen=True, kw_only=True):
    """A run in a list."""

    run: str
    """The run's id."""
    workflow: str
    """The definition's name."""
    status: str
    """`running`, or how it ended."""
    started_ms: int
    """When it started, Unix milliseconds."""
    ended_ms: int = 0
    """When it ended, Unix milliseconds; 0 while it runs."""
