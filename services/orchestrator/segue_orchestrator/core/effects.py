"""Effects: what can the core decide?"""

from collections.abc import Mapping
from typing import Any

import msgspec

from segue_contracts.v1 import runs
from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.limits import Purse
from segue_orchestrator.core.plan import StepPlan
from segue_orchestrator.core.room import Held
from segue_orchestrator.core.state import OutputAt


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Hand an attempt to its pool."""

    step: StepPlan
    token: str
    attempt: int
    input: Mapping[str, Any]
    """The rendered `with`."""
    not_before_ms: int = 0
    deadline_ms: int = 0
    purse: Purse | None = None
    """What may be used."""
    after: int = 0
    """The newest event known, when there may be no newer one; 0 when that does not matter."""


class StartChild(msgspec.Struct, frozen=True, kw_only=True):
    """Hand an attempt to a run of its own."""

    step: StepPlan
    token: str
    attempt: int
    run: str
    definition: str
    input: Mapping[str, Any]
    """The rendered `with`: the child's inputs."""
    deadline_ms: int = 0
    after: int = 0
    """The newest event known, when there may be no newer one; 0 when that does not matter."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Store the first event of a child run."""

    token: str
    attempt: int
    run: str
    definition: str
    workflow: str
    inputs: OutputAt
    purse: Purse | None = None
    """What may be used."""


class BeginWait(msgspec.Struct, frozen=True, kw_only=True):
    """Have a step wait."""

    step: StepPlan
    token: str
    attempt: int
    asked: StepWaiting
    match: str = ""
    """What an event must satisfy."""
    scope: Mapping[str, Any] = {}
    """What that expression reads: `inputs`, `outputs` and `states` by step key, and `run`."""


class OpenMap(msgspec.Struct, frozen=True, kw_only=True):
    """Fix the items that a step is repeated for."""

    step: StepPlan
    items: list[Any]


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Complete a repeated step with the outputs of its items, in order."""

    step: StepPlan
    attempt: int
    places: tuple[OutputAt | None, ...]


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """Complete a wait."""

    step: StepPlan
    token: str
    attempt: int
    output: Any = None
    at: OutputAt | None = None
    """Where the output is, when it is a value of the journal."""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """Settle an attempt of the engine's own that did not succeed."""

    step: StepPlan
    token: str
    attempt: int
    error: Failure


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Say whether an output satisfies its schema."""

    step: StepPlan
    token: str
    attempt: int
    problems: tuple[str, ...] = ()


class Skip(msgspec.Struct, frozen=True):
    """Settle a step that will not run."""

    step: StepPlan
    reason: str


class TimeOut(msgspec.Struct, frozen=True):
    """Settle an attempt that ran past a limit."""

    step: StepPlan
    token: str
    attempt: int
    error: Failure


class Abandon(msgspec.Struct, frozen=True):
    """Settle an attempt that is given up because its run ends."""

    step: StepPlan
    token: str
    attempt: int
    reason: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """End the run."""

    status: runs.EndStatus
    output: Mapping[str, Any] | None = None
    error: Failure | None = None
    usage: UsageTotals = UsageTotals()
    after: int = 0
    """The newest event known, when there may be no newer one; 0 when that does not matter."""


class Park(msgspec.Struct, frozen=True):
    """Hold the run until someone mends it."""

    code: str
    message: str
    step: str = ""


class StopChild(msgspec.Struct, frozen=True):
    """Have a child run stop."""

    run: str
    reason: str
    at_once: bool = False
    """Whether it does not wait for its work."""


class TellParent(msgspec.Struct, frozen=True):
    """Tell the run above that this one has ended."""

    parent: runs.ParentRun
    ended: runs.RunEnded


class Acquire(msgspec.Struct, frozen=True, kw_only=True):
    """Get a lease, or wait for it."""

    name: str
    """Which lease: a hash of its kind, workflow and key."""
    key: str
    limit: int
    kind: runs.LeaseKind
    policy: str
    per_ms: int


class Release(msgspec.Struct, frozen=True):
    """Give leases back, and stop waiting for them."""

    names: tuple[str, ...]


class Arm(msgspec.Struct, frozen=True):
    """Have the run woken up."""

    at_ms: int


class HintCancel(msgspec.Struct, frozen=True):
    """Tell whoever works on the run, or on one attempt of it, to stop."""

    reason: str


Durable = (
    Dispatch
    | StartChild
    | BeginWait
    | OpenMap
    | Join
    | Resolve
    | Fail
    | Check
    | Skip
    | TimeOut
    | Abandon
    | End
    | Park
)
"""The effects that become events of the run's own journal."""

Outward = Launch | StopChild | TellParent | Acquire | Release
"""The effects that must be stored elsewhere before their cause is settled."""

Hint = Arm | HintCancel

Effect = Durable | Outward | Hint


class Decision(msgspec.Struct, frozen=True):
    """What must exist next, as far as it can be told."""

    effects: tuple[Effect, ...] = ()
    needs: tuple[OutputAt, ...] = ()
    """Values without which the rest cannot be decided; enter again with them."""
    gated: bool = False
    """Whether steps were not looked at, so that they stay touched."""
    held: tuple[Held, ...] = ()
    """Steps whose pool has no room; they stay touched."""
