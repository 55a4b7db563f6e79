"""Stray events: what do events that fit nothing do to a run, and what does a fork begin with?"""

from typing import Any

import pytest
from msgspec import UNSET
from support.history import (
    History,
    began,
    completed,
    scheduled,
)
from support.journal import T0

from segue_contracts.payload import PayloadRef
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.effects import Dispatch
from segue_orchestrator.core.evolve import begin, evolve
from segue_orchestrator.core.state import Entry, OutputAt

ONE = "{name: w, steps: [{key: a, pool: p}]}"


@pytest.mark.parametrize(
    "event",
    [
        ("step.x.1.outcome.completed", steps.StepCompleted()),
        ("step.a.first.outcome.completed", steps.StepCompleted()),
        ("step.a.1.outcome.completed", steps.StepCompleted()),
        ("step.a.1.checked", steps.StepChecked(accepted=True)),
        began("a"),
        ("later.1", runs.RunPaused()),
        ("child.x.ended", runs.ChildEnded(step="x", attempt=1, run="r", status="failed")),
        ("child.x.ended", runs.ChildEnded(step="a", attempt=1, run="r", status="failed")),
        ("child.x.ended", runs.RunEnded(status="failed")),
    ],
)
def test_events_that_fit_nothing_change_nothing(event: Any) -> None:
    """Of an unknown step, of no attempt, or of one that was never dispatched."""
    run = History(ONE)
    if event[0] == "later.1":
        event = ("later.1", steps.StepStarted(worker="w"))

    run.given(event)

    assert run.state.step("a").status == "pending"
    assert run.state.settled == 0
    assert set(run.state.steps) <= {"a"}


def test_a_message_of_an_unknown_type_changes_nothing() -> None:
    """Newer services may say things that are not known here."""
    data = b'{"id":"x","source":"x","type":"segue.run.later.v9","time":"t","data":{}}'

    run = History(ONE).raw("later.1", data).raw("child.x.started", data)

    assert run.state.last_seq == 3
    assert run.state.steps == {}


def test_an_older_attempts_outcome_changes_nothing() -> None:
    """Only the attempt in flight can be settled."""
    run = History(ONE).given(scheduled("a"), scheduled("a", 2), completed("a", 1))

    assert run.state.step("a").status == "scheduled"


def test_an_event_is_folded_once() -> None:
    """What is older than the state is ignored, whoever delivers it again."""
    run = History(ONE).given(scheduled("a"), completed("a", 1, tokens=2))
    event = run.world.journals[run.run][-1].entry

    evolve(run.state, run.plan, event)

    assert run.state.usage.tokens == 2


def test_events_after_the_end_change_nothing_but_the_position() -> None:
    """A run that ended stays as it ended."""
    run = History(ONE).given(scheduled("a"), ("ended", runs.RunEnded(status="failed")))

    run.given(completed("a", 1, tokens=2))

    assert (run.state.settled, run.state.usage.tokens, run.state.last_seq) == (0, 0, 4)
    assert run.then() == []


def test_time_never_goes_back() -> None:
    """The newest broker time seen is the run's clock, also when a replica's was behind."""
    run = History(ONE)
    evolve(run.state, run.plan, Entry(2, T0 + 500, ("paused", "1"), runs.RunPaused()))

    evolve(run.state, run.plan, Entry(3, T0 + 400, ("resumed", "2"), runs.RunResumed()))

    assert run.state.now_ms == T0 + 500


def test_a_run_begins_with_its_start_only() -> None:
    """Any other first event is none."""
    assert begin("r", "n", Entry(1, 1, ("ended",), runs.RunEnded(status="failed"))) is None


def test_a_fork_begins_with_what_it_took_over() -> None:
    """Steps that are settled there are not run again, and their outputs are read from the store."""
    ref = PayloadRef(sha256="0" * 64, size=1)
    shared = {
        "a": {"status": "completed", "attempt": 2, "output": {"sha256": ref.sha256, "size": 1}},
        "b": {"status": "failed", "error": {"code": "x", "message": "y"}},
        "gone": {"status": "completed"},
        "c": {"status": "odd"},
    }
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, continueOnError: true}
  - {key: c, pool: p}
  - {key: d, pool: p, dependsOn: [a, b, c], with: {a: "{{ a }}"}}
"""
    fork = runs.ForkedFrom(run="old", cursor="1-1", settled={"inline": shared})  # type: ignore[arg-type]  # read back from JSON
    run = History(text, fork=fork)
    run.world.payloads[ref.sha256] = {"n": 1}

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert (effect.token, effect.input) == ("d", {"a": {"n": 1}})
    assert run.state.step("a").shared
    assert run.state.step("c").status == "completed"
    assert run.state.usage.totals() == UsageTotals()
    assert run.state.step("a").output == OutputAt(1, ref)
    assert run.state.step("b").error == Failure(code="x", message="y")
    assert run.state.step("b").output is None
    assert run.state.started.key == ""
    assert run.state.started.budget is UNSET
