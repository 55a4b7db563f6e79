"""The view: what does a reader of a run's state see?"""

import pytest
from msgspec import UNSET
from support.history import (
    CANCEL,
    PARKED,
    PAUSED,
    RESUMED,
    UNPARKED,
    Event,
    History,
    completed,
    failed,
    mapped,
    scheduled,
    waiting,
)
from support.journal import T0

from segue_contracts.payload import Value
from segue_contracts.v1 import runs
from segue_contracts.v1.runs import RunView
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.view import status_of, view_of, waits_of

TEXT = """
name: w
inputs: {x: 1}
steps:
  - {key: aB, pool: p, retry: {maxAttempts: 2, delay: 100s}, compensate: {pool: u}}
  - {key: m, pool: p, forEach: [1, 2]}
  - {key: w, wait: {signal: go, timeout: 9s}}
"""


def view(run: History) -> RunView:
    """Return the view of a run."""
    return view_of(run.state, run.plan, cursor="e-1")


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "pending"),
        ([scheduled("a_42")], "running"),
        ([waiting("w", kind="signal", name="go")], "waiting"),
        ([waiting("w", kind="signal", name="go"), scheduled("a_42")], "running"),
        ([scheduled("a_42"), failed("a_42")], "retrying"),
        ([scheduled("a_42"), completed("a_42")], "running"),
        ([PAUSED], "paused"),
        ([PARKED], "parked"),
        ([PAUSED, RESUMED], "pending"),
        ([PARKED, UNPARKED], "pending"),
        ([("held.x", runs.LeaseHeld(key="k", limit=1))], "waiting"),
        ([CANCEL], "pending"),
        ([("ended", runs.RunEnded(status="cancelled"))], "cancelled"),
    ],
)
def test_a_run_has_a_status(events: list[Event], status: str) -> None:
    """What holds it back goes before what it does."""
    assert status_of(History(TEXT).given(*events).state) == status


def test_every_step_is_shown_in_the_definitions_order() -> None:
    """Under its own key, with what is known of it."""
    run = History(TEXT, {"x": 1}).given(
        scheduled("a_42"),
        completed("a_42", 1, tokens=3),
        mapped("m", [1, 2]),
        scheduled("m~0"),
        completed("m~0", 1, tokens=4),
        waiting("w", kind="signal", name="go", deadline_ms=T0 + 9_000),
    )

    shown = view(run)

    assert [(s.step, s.status) for s in shown.steps] == [
        ("aB", "completed"),
        ("m", "running"),
        ("w", "waiting"),
    ]
    first, repeated, held = shown.steps
    assert (first.provider, first.attempt, first.sequence) == ("x", 1, 3)
    assert (first.scheduled_ms, first.ended_ms) == (T0 + 2, T0 + 3)
    assert (repeated.items, repeated.items_settled) == (2, 1)
    assert (held.waits_for, held.until_ms) == ("signal", T0 + 9_000)
    assert shown.usage == UsageTotals(input_tokens=7)
    assert (shown.inputs, shown.cursor, shown.forked_from) == ({"x": 1}, "e-1", "")


def test_tasks_that_undo_are_shown_once_they_have_begun() -> None:
    """Below the step that they undo."""
    run = History(TEXT).given(scheduled("a_42"), completed("a_42"), scheduled("a_42~undo"))

    assert [step.step for step in view(run).steps] == ["aB", "aB~undo", "m", "w"]


def test_what_a_run_waits_for_is_told() -> None:
    """By what it is, since when, and until when at the latest."""
    run = History(TEXT).given(
        ("held.x", runs.LeaseHeld(key="k", limit=1)),
        waiting("w", kind="approval", message="ok?", quorum=2, approvers=["x"], until_ms=T0 + 9),
        ("approval.w.1.x", runs.ApprovalGiven(step="w", attempt=1, decision="approved", by="x")),
        scheduled("a_42"),
    )

    lease, wait = waits_of(run.state)

    assert (lease.kind, lease.name, lease.since_ms) == ("lease", "k", T0 + 1)
    assert (wait.kind, wait.step, wait.message, wait.quorum) == ("approval", "w", "ok?", 2)
    assert (wait.approved_by, wait.until_ms) == (["x"], T0 + 9)
    assert len(view(run).waits) == 2


def test_a_parked_run_says_why() -> None:
    """Its reason is its error."""
    assert view(History(TEXT).given(PARKED)).error == Failure(code="x", message="y")


def test_an_ended_run_shows_how_it_ended() -> None:
    """Its last word is shown as it was said, and it waits for nothing."""
    ended = runs.RunEnded(
        status="failed",
        error=Failure(code="x", message="y"),
        usage=UsageTotals(model_calls=1),
        output=Value(inline=1),
    )
    run = History(TEXT).given(waiting("w", kind="signal", name="go"), ("ended", ended))

    shown = view(run)

    assert (shown.status, shown.error, shown.usage) == ("failed", ended.error, ended.usage)
    assert (shown.output, shown.waits, shown.ended_ms) == (ended.output, [], T0 + 3)


def test_a_run_that_goes_on_has_no_error() -> None:
    """Nor an output."""
    shown = view(History(TEXT))

    assert shown.error is UNSET
    assert shown.output is UNSET


def test_a_fork_names_where_it_comes_from() -> None:
    """And a child run its parent."""
    fork = runs.ForkedFrom(run="old", cursor="1-1", settled=Value(inline={}))
    parent = runs.ParentRun(run="above", step="s", attempt=1)

    shown = view(History(TEXT, fork=fork, parent=parent))

    assert (shown.forked_from, shown.parent) == ("old", parent)
