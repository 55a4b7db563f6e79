"""The state of a run: what is known of it after the events folded so far?

A state is folded in place by its owner; nothing in it comes from anywhere but the journal. It holds
where outputs are, never the outputs.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1.runs import CancelRequested, RunEnded, RunParked
from segue_contracts.v1.values import Failure, UsageTotals

StepStatus = Literal[
    "pending",
    "scheduled",
    "running",
    "retrying",
    "completed",
    "failed",
    "timed_out",
    "cancelled",
    "skipped",
]

SETTLED: Final = frozenset({"completed", "failed", "timed_out", "cancelled", "skipped"})
_NO_USAGE: Final = UsageTotals()
_NO_VALUE: Final = Value()
IN_FLIGHT: Final = frozenset({"scheduled", "running"})


class OutputAt(msgspec.Struct, frozen=True):
    """Where a step's output is: in the journal, or in the payload store."""

    sequence: int
    """The stream sequence of the outcome that carries it."""
    ref: PayloadRef | None = None
    """Its claim check when it is large."""


class Entry(msgspec.Struct, frozen=True):
    """An event as the fold takes it."""

    sequence: int
    """Its place in the stream."""
    time_ms: int
    """When the broker stored it, Unix milliseconds."""
    event: tuple[str, ...]
    """The event's own subject tokens."""
    body: msgspec.Struct | None
    """Its decoded body; None for a type not known here."""


@dataclass(slots=True, kw_only=True)
class StepState:
    """What is known of a step."""

    status: StepStatus = "pending"
    attempt: int = 0
    """The latest attempt that was dispatched or settled."""
    deadline_ms: int = 0
    """When the attempt in flight times out; 0 for never."""
    settled_ms: int = 0
    """When the latest attempt was settled."""
    first_ms: int = 0
    """When the first attempt was dispatched."""
    output: OutputAt | None = None
    error: Failure | None = None
    reason: str = ""
    """Why it was skipped."""
    usage: UsageTotals = _NO_USAGE
    """What all its attempts used."""
    provider: str = ""
    """Who answered last."""


@dataclass(slots=True, kw_only=True)
class RunState:
    """What is known of a run."""

    run: str
    namespace: str
    workflow: str = ""
    definition: str = ""
    """The definition's hash; empty until `started` was folded."""
    inputs: Value = _NO_VALUE
    start_seq: int = 0
    """Stream sequence of `started`."""
    started_ms: int = 0
    last_seq: int = 0
    """Stream sequence of the newest event folded."""
    now_ms: int = 0
    """The newest broker time seen; the only clock the core has."""
    steps: dict[str, StepState] = field(default_factory=dict)
    """By token; a step appears with its first event."""
    in_flight: set[str] = field(default_factory=set)
    """Tokens of steps with an attempt that is dispatched and not settled."""
    retrying: set[str] = field(default_factory=set)
    """Tokens of steps in backoff."""
    touched: set[str] = field(default_factory=set)
    """Tokens of steps that changed since decisions were last stored."""
    settled: int = 0
    """How many steps are settled for good."""
    cancel: CancelRequested | None = None
    cancel_ms: int = 0
    """When cancelling was asked for."""
    parked: RunParked | None = None
    parks: int = 0
    """How often the run was parked; numbers the next time."""
    ended: RunEnded | None = None
    ended_ms: int = 0

    def step(self, token: str) -> StepState:
        """Return a step's state, pending when nothing is known of it."""
        return self.steps.get(token) or _PENDING


_PENDING: Final = StepState()
