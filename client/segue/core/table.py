"""The table of a run: what does each step's row show after the events seen so far?"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import UnsetType

from segue.core.display import add_costs
from segue.core.events import RunEvent
from segue_contracts.v1.runs import (
    CancelRequested,
    RunEnded,
    RunParked,
    RunPaused,
    RunResumed,
    RunStarted,
    RunUnparked,
)
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepSkipped,
    StepSpent,
    StepStarted,
    StepTimedOut,
)
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals

SETTLED: Final = frozenset({"completed", "failed", "timed_out", "cancelled", "skipped"})
"""States of a step that only another attempt changes."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    step: str
    """The step's key."""
    agent: str = ""
    """The agent that serves it, or the pool."""
    state: str = "pending"
    """`pending`, `scheduled`, `running`, or how the latest attempt was settled."""
    attempt: int = 0
    """The latest attempt; 0 before the first."""
    provider: str = ""
    """The provider that answered last."""
    scheduled_ms: int = 0
    """When the first attempt was scheduled, Unix milliseconds; 0 before."""
    ended_ms: int = 0
    """When the latest attempt was settled, Unix milliseconds; 0 before."""
    before: UsageTotals = UsageTotals()
    """What the settled attempts used."""
    current: UsageTotals = UsageTotals()
    """What the turns of the open attempt used so far."""
    detail: str = ""
    """Why the latest attempt did not succeed."""

    @property
    def usage(self) -> UsageTotals:
        """What all attempts used so far."""
        return add_usage(self.before, self.current)

    def duration_ms(self, now_ms: int) -> int:
        """Return how long the step has been going, or went."""
        return max(0, (self.ended_ms or now_ms) - self.scheduled_ms) if self.scheduled_ms else 0


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A run and its steps."""

    workflow: str = ""
    """The definition's name."""
    status: str = "pending"
    """Where the run stands."""
    started_ms: int = 0
    """When it started, Unix milliseconds; 0 before."""
    ended_ms: int = 0
    """When it ended, Unix milliseconds; 0 while it runs."""
    rows: Mapping[str, Row] = {}
    """The steps by key, in the definition's order, then as they appear."""
    notes: tuple[str, ...] = ()
    """What a reader should know, each said once."""

    @property
    def usage(self) -> UsageTotals:
        """What all steps used so far."""
        total = UsageTotals()
        for row in self.rows.values():
            total = add_usage(total, row.usage)
        return total

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that answered, in order of appearance."""
        return tuple(dict.fromkeys(row.provider for row in self.rows.values() if row.provider))


def empty(workflow: str, steps: Iterable[tuple[str, str]]) -> Table:
    """Return the table of a run before its first event.

    Args:
        workflow: The definition's name.
        steps: Key and agent (or pool) of each step, in order.
    """
    rows = {key: Row(step=key, agent=agent) for key, agent in steps}
    return Table(workflow=workflow, rows=rows)


def fold(table: Table, event: RunEvent) -> Table:
    """Return the table after one more event; an event not known here changes nothing."""
    if event.step:
        row = table.rows.get(event.step) or Row(step=event.step)
        changed = _fold_step(row, event)
        if changed is row:
            return table
        return msgspec.structs.replace(
            table, rows={**table.rows, event.step: changed}, notes=_notes(table, event)
        )
    return _fold_run(table, event)


def _fold_run(table: Table, event: RunEvent) -> Table:
    match event.body:
        case RunStarted(workflow=workflow):
            return msgspec.structs.replace(
                table, workflow=workflow, status="running", started_ms=event.time_ms
            )
        case RunEnded(status=status):
            return msgspec.structs.replace(table, status=status, ended_ms=event.time_ms)
        case CancelRequested():
            return msgspec.structs.replace(table, status="cancelling")
        case RunPaused():
            return msgspec.structs.replace(table, status="paused")
        case RunParked(message=message):
            notes = (*table.notes, f"parked: {message}")
            return msgspec.structs.replace(table, status="parked", notes=notes)
        case RunResumed() | RunUnparked():
            return msgspec.structs.replace(table, status="running")
        case _:
            return table


def _fold_step(row: Row, event: RunEvent) -> Row:
    match event.body:
        case StepScheduled() as task:
            return msgspec.structs.replace(
                row,
                state="scheduled",
                attempt=task.attempt,
                agent=task.agent or task.pool,
                scheduled_ms=row.scheduled_ms or event.time_ms,
                ended_ms=0,
            )
        case StepSpent(usage=usage):
            return msgspec.structs.replace(row, before=add_usage(row.before, usage))
        case TurnCompleted(usage=usage) if row.state in SETTLED or event.attempt < row.attempt:
            # What a worker tells late does not open a settled attempt again, but it costs.
            return msgspec.structs.replace(row, before=add_usage(row.before, usage))
        case StepStarted() if row.state in SETTLED:
            return row
        case StepStarted():
            return msgspec.structs.replace(row, state="running")
        case TurnCompleted() as turn:
            return msgspec.structs.replace(
                row,
                state="running",
                provider=turn.provider or row.provider,
                current=add_usage(row.current, turn.usage),
            )
        case _:
            return _settle(row, event)


def _settle(row: Row, event: RunEvent) -> Row:
    match event.body:
        case StepCompleted(usage=usage, provider=provider):
            settled = _settled(row, event, "completed", usage=usage)
            return msgspec.structs.replace(settled, provider=provider or row.provider)
        case StepFailed(error=error, usage=usage):
            return _settled(row, event, "failed", usage=usage, detail=failure(error))
        case StepTimedOut(error=error, usage=usage):
            return _settled(row, event, "timed_out", usage=usage, detail=failure(error))
        case StepCancelled(reason=reason, usage=usage):
            return _settled(row, event, "cancelled", usage=usage, detail=reason)
        case StepSkipped(reason=reason):
            return _settled(row, event, "skipped", detail=reason)
        case _:
            return row


def _settled(
    row: Row,
    event: RunEvent,
    state: str,
    *,
    usage: UsageTotals | UnsetType = msgspec.UNSET,
    detail: str = "",
) -> Row:
    """Close the open attempt; its outcome's usage replaces what its turns told."""
    used = row.current if isinstance(usage, UnsetType) else usage
    return msgspec.structs.replace(
        row,
        state=state,
        attempt=max(row.attempt, event.attempt),
        ended_ms=event.time_ms,
        before=add_usage(row.before, used),
        current=UsageTotals(),
        detail=detail,
    )


def _notes(table: Table, event: RunEvent) -> tuple[str, ...]:
    match event.body:
        case StepCompleted(notes=said) | TurnCompleted(warnings=said):
            return tuple(dict.fromkeys((*table.notes, *said)))
        case _:
            return table.notes


def failure(error: Failure) -> str:
    """Write a failure in one line."""
    return f"{error.code}: {error.message}"


def add_usage(left: UsageTotals, right: UsageTotals) -> UsageTotals:
    """Add what two attempts used."""
    return UsageTotals(
        input_tokens=left.input_tokens + right.input_tokens,
        output_tokens=left.output_tokens + right.output_tokens,
        cost_usd=add_costs(left.cost_usd, right.cost_usd),
        model_calls=left.model_calls + right.model_calls,
        tool_calls=left.tool_calls + right.tool_calls,
    )


def visible(rows: Mapping[str, Row], limit: int) -> tuple[list[Row], int]:
    """Return the rows that fit, and how many do not: settled ones give way to open ones.

    Args:
        rows: All rows, in order.
        limit: How many fit.
    """
    hidden = len(rows) - limit
    if hidden <= 0:
        return list(rows.values()), 0
    settled = [row.step for row in rows.values() if row.state in SETTLED]
    gone = set(settled[:hidden])
    shown = [row for row in rows.values() if row.step not in gone][:limit]
    return shown, len(rows) - len(shown)
