"""Effects: what can the core decide?"""

from collections.abc import Mapping
from typing import Any

import msgspec

from segue_contracts.v1.runs import EndStatus
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.plan import StepPlan
from segue_orchestrator.core.state import OutputAt


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Hand an attempt to its pool."""

    step: StepPlan
    attempt: int
    input: Mapping[str, Any]
    """The rendered `with`."""
    not_before_ms: int = 0
    deadline_ms: int = 0


class Skip(msgspec.Struct, frozen=True):
    """Settle a step that will not run."""

    step: StepPlan
    reason: str


class TimeOut(msgspec.Struct, frozen=True):
    """Settle an attempt that ran past its deadline."""

    step: StepPlan
    attempt: int
    error: Failure


class Abandon(msgspec.Struct, frozen=True):
    """Settle an attempt that did not stop within the grace of a cancel."""

    step: StepPlan
    attempt: int
    reason: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """End the run."""

    status: EndStatus
    output: Mapping[str, Any] | None = None
    error: Failure | None = None
    usage: UsageTotals = UsageTotals()


class Park(msgspec.Struct, frozen=True):
    """Hold the run until someone mends it."""

    code: str
    message: str
    step: str = ""


class Arm(msgspec.Struct, frozen=True):
    """Have the run woken up."""

    at_ms: int


class HintCancel(msgspec.Struct, frozen=True):
    """Tell whoever works on the run to stop."""

    reason: str


Effect = Dispatch | Skip | TimeOut | Abandon | End | Park | Arm | HintCancel


class Decision(msgspec.Struct, frozen=True):
    """What must exist next, as far as it can be told."""

    effects: tuple[Effect, ...] = ()
    needs: tuple[OutputAt, ...] = ()
    """Outputs without which the rest cannot be decided; enter again with them."""
    needs_inputs: bool = False
    """Whether the run's inputs are needed and were not at hand."""
