"""The state of a run: what is known of it after the events folded so far?

A state is folded in place by its owner; nothing in it comes from anywhere but the journal. It holds
where values are, never the values.
"""

import heapq
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs
from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.usage import Tally

StepStatus = Literal[
    "pending",
    "scheduled",
    "running",
    "waiting",
    "checking",
    "retrying",
    "parked",
    "completed",
    "failed",
    "timed_out",
    "cancelled",
    "skipped",
]

SETTLED: Final = frozenset({"completed", "failed", "timed_out", "cancelled", "skipped"})
IN_FLIGHT: Final = frozenset({"scheduled", "running", "waiting"})
_NO_VALUE: Final = Value()


class OutputAt(msgspec.Struct, frozen=True):
    """Where a value is: in the journal, or in the payload store."""

    sequence: int
    """The stream sequence of the event that carries it."""
    ref: PayloadRef | None = None
    """Its claim check when it is large, or when the event may be gone."""


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


class Alarm(NamedTuple):
    """A moment at which a step is to be looked at again."""

    at_ms: int
    token: str
    attempt: int


class Vote(msgspec.Struct, frozen=True):
    """What a person said to an approval."""

    decision: runs.Decision
    by: str
    at_ms: int
    form: dict[str, object] = {}
    comment: str = ""


class OverWait(msgspec.Struct, frozen=True):
    """A wait that has ended."""

    token: str
    asked: StepWaiting
    attempt: int = 1


@dataclass(slots=True, kw_only=True)
class WaitState:
    """What is known of a step's wait."""

    asked: StepWaiting
    """What it waits for, as the journal says."""
    since_ms: int
    answer: OutputAt | None = None
    """The signal or event that ends it."""
    votes: list[Vote] = field(default_factory=list)
    """What people said, in order; one each."""


class Launch(msgspec.Struct, frozen=True):
    """How the run that is a step's work is started."""

    workflow: str
    definition: str
    inputs: OutputAt


@dataclass(slots=True, kw_only=True)
class MapState:
    """What is known of a repeated step."""

    count: int
    items: OutputAt
    next: int = 0
    """The first index that has no event."""
    offered: int = 0
    """The first index that this owner has not dispatched; not part of what the journal says."""
    settled: int = 0
    """How many items are settled for good."""
    failed: str = ""
    """Token of the first item that failed for good and whose failure counts."""

    @property
    def open(self) -> int:
        """The first index to be dispatched."""
        return max(self.next, self.offered)


@dataclass(slots=True, kw_only=True)
class StepState:
    """What is known of a step, of one item of it, or of its undoing."""

    status: StepStatus = "pending"
    attempt: int = 0
    """The latest attempt that was dispatched or settled."""
    deadline_ms: int = 0
    """When the attempt in flight times out; 0 for never."""
    scheduled_ms: int = 0
    """When the latest attempt was dispatched, or may begin if that is later."""
    started_ms: int = 0
    """When a worker said that it began the latest attempt; 0 before."""
    alive_ms: int = 0
    """When a worker last gave a sign of life."""
    settled_ms: int = 0
    """When the latest attempt was settled."""
    settled_seq: int = 0
    """Stream sequence of what settled it."""
    first_ms: int = 0
    """When the first attempt was dispatched."""
    due_ms: int = 0
    """When the next attempt is due, in backoff."""
    output: OutputAt | None = None
    error: Failure | None = None
    reason: str = ""
    """Why it was skipped or cancelled."""
    usage: UsageTotals | None = None
    """What all its attempts used; None for nothing."""
    told: UsageTotals | None = None
    """What of it the turns of the attempt in flight have told."""
    provider: str = ""
    """Who answered last."""
    child: str = ""
    """The run that is the work of the latest attempt."""
    launch: Launch | None = None
    """How that run is started, until it has ended."""
    shared: bool = False
    """Whether it was taken over from a forked run."""
    wait: WaitState | None = None
    map: MapState | None = None


@dataclass(slots=True, kw_only=True)
class RunState:
    """What is known of a run."""

    run: str
    namespace: str
    prefix: str
    """The subject under which its journal lies."""
    started: runs.RunStarted
    """The first event; its inputs are looked up by the shell."""
    start_seq: int
    """Stream sequence of `started`."""
    started_ms: int
    last_seq: int
    """Stream sequence of the newest event folded."""
    now_ms: int
    """The newest broker time seen; the only clock the core has."""
    steps: dict[str, StepState] = field(default_factory=dict)
    """By token; a step appears with its first event."""
    in_flight: set[str] = field(default_factory=set)
    """Tokens of steps with an attempt that is dispatched and not settled."""
    retrying: set[str] = field(default_factory=set)
    """Tokens of steps in backoff."""
    held: set[str] = field(default_factory=set)
    """Tokens of steps whose result is being checked, or that wait for somebody to mend them."""
    touched: set[str] = field(default_factory=set)
    """Tokens of steps to look at, since decisions were last stored."""
    alarms: list[Alarm] = field(default_factory=list)
    """A heap of moments at which steps are to be looked at; some are out of date."""
    settled: int = 0
    """How many steps are settled for good; items and undoings do not count."""
    usage: Tally = field(default_factory=Tally)
    """What all attempts used together."""
    signals: dict[str, list[OutputAt]] = field(default_factory=dict)
    """Signals that nothing waited for yet, by name, the oldest first."""
    waiters: dict[str, list[str]] = field(default_factory=dict)
    """Tokens of the steps that wait for a signal, by name, the longest waiting first."""
    undoable: list[str] = field(default_factory=list)
    """Tokens of completed steps and items that a task could undo, in order of completion."""
    leases_held: dict[str, runs.LeaseHeld] = field(default_factory=dict)
    """Leases that the run waits for, by name."""
    leases: dict[str, runs.LeaseKind] = field(default_factory=dict)
    """Leases that the run was granted."""
    cancel: runs.CancelRequested | None = None
    cancel_ms: int = 0
    """When cancelling was asked for."""
    terminate: runs.TerminateRequested | None = None
    paused: bool = False
    pauses: int = 0
    """How often the run was paused or resumed; numbers the next time."""
    parked: runs.RunParked | None = None
    parked_ms: int = 0
    parks: int = 0
    """How often the run was parked or unparked; numbers the next time."""
    over: list[OverWait] = field(default_factory=list)
    """Waits that have ended since the last decision."""
    extra: Tally = field(default_factory=Tally)
    """What was allowed beside the budget."""
    extra_seconds: float = 0
    extensions: int = 0
    """How often it was; numbers the next time."""
    extended: dict[str, runs.BudgetExtended] = field(default_factory=dict)
    """What was, by the key of the request where it had one."""
    ended: runs.RunEnded | None = None
    ended_ms: int = 0
    ended_seq: int = 0

    def step(self, token: str) -> StepState:
        """Return a step's state, pending when nothing is known of it."""
        return self.steps.get(token) or _PENDING

    def ring_at(self, at_ms: int, token: str, attempt: int) -> None:
        """Have a step looked at when a moment has come; 0 is no moment."""
        if at_ms:
            heapq.heappush(self.alarms, Alarm(at_ms, token, attempt))

    @property
    def definition(self) -> str:
        """The definition's hash."""
        return self.started.definition

    @property
    def workflow(self) -> str:
        """The definition's name."""
        return self.started.workflow

    @property
    def inputs(self) -> Value:
        """The run's inputs."""
        return self.started.inputs


def has_open_items(state: RunState, token: str) -> bool:
    """Tell whether an item of a repeated step is under way."""
    prefix = f"{token}~"
    return any(
        one.startswith(prefix)
        for tokens in (state.in_flight, state.retrying, state.held)
        for one in tokens
    )


_PENDING: Final = StepState()
