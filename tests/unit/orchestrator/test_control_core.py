"""Control: what do commands say in a run's journal, and what follows?"""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from support.history import (
    CANCEL,
    PARKED,
    PAUSED,
    RESUMED,
    TERMINATE,
    UNPARKED,
    History,
    child_started,
    completed,
    failed,
    fired,
    scheduled,
    settled,
    waiting,
)

from segue_contracts.v1 import runs, steps
from segue_contracts.v1.commands import (
    CancelRun,
    ExtendBudget,
    PauseRun,
    ResumeRun,
    ResumeRuns,
    TerminateRun,
)
from segue_contracts.v1.values import Failure
from segue_orchestrator.core import control
from segue_orchestrator.core.control import ControlError
from segue_orchestrator.core.effects import (
    Dispatch,
    End,
    Launch,
    Park,
    Release,
    StopChild,
    TellParent,
    TimeOut,
)

ONE = "{name: w, steps: [{key: a, pool: p}]}"
CHILD = "{name: w, steps: [{key: a, workflow: sub, timeout: 10s}]}"
COSTLY = "{name: w, budget: {tokens: 10}, steps: [{key: a, pool: p}, {key: b, pool: p}]}"
SAGA = """
name: w
compensateOn: [failed, cancelled]
steps:
  - {key: a, pool: p, compensate: {pool: p}}
  - {key: b, pool: p, dependsOn: [a]}
"""
ENDED = ("ended", runs.RunEnded(status="completed"))
SPENT = ("parked.1", runs.RunParked(code="budget_exceeded", message="spent"))


def events(sayings: list[control.Saying]) -> list[str]:
    """Return the events of what is said."""
    return [saying.event for saying in sayings]


def test_pauses_and_resumes_are_numbered_in_one_row() -> None:
    """Each follows the other, so none can take the other's place."""
    run = History(ONE)
    first = control.pause(run.state, PauseRun(run="r", by="ann"))
    run.given(PAUSED)
    again = control.pause(run.state, PauseRun(run="r"))
    resumed = control.resume(run.state, run.plan, ResumeRun(run="r"))
    run.given(RESUMED)

    assert events(first) == ["paused.1"]
    assert again == []
    assert events(resumed) == ["resumed.2"]
    assert control.resume(run.state, run.plan, ResumeRun(run="r")) == []
    assert events(control.pause(run.state, PauseRun(run="r"))) == ["paused.3"]


def test_what_the_engine_parks_after_a_resume_has_the_next_number() -> None:
    """Parking and going on share one row of numbers."""
    run = History(ONE).given(PARKED)

    assert events(control.resume(run.state, run.plan, ResumeRun(run="r"))) == ["unparked.2"]
    assert run.given(UNPARKED).state.parks == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: control.pause(run.state, PauseRun(run="r")),
        lambda run: control.resume(run.state, run.plan, ResumeRun(run="r")),
        lambda run: control.extend(run.state, run.plan, ExtendBudget(run="r", tokens=1)),
    ],
    ids=["pause", "resume", "extend"],
)
def test_an_ended_run_is_a_conflict(ask: Callable[[History], object]) -> None:
    """The refusal names the fork as the way on."""
    run = History(ONE).given(ENDED)

    with pytest.raises(ControlError, match="segue run fork") as caught:
        ask(run)

    assert caught.value.refused.code == "conflict"


def test_a_key_extends_a_budget_once() -> None:
    """Asked again, also after the end, it says nothing; something else under it is refused."""
    run, request = History(COSTLY), ExtendBudget(run="r", tokens=5, by="ann", key="audit")
    [first] = control.extend(run.state, run.plan, request)
    run.given((first.event, first.body))
    again = control.extend(run.state, run.plan, replace(request, by="bob"))
    [other] = control.extend(run.state, run.plan, replace(request, key="more"))
    [plain] = control.extend(run.state, run.plan, replace(request, key=""))
    with pytest.raises(ControlError, match="new key") as caught:
        control.extend(run.state, run.plan, replace(request, tokens=6))
    run.given(ENDED)

    assert again == control.extend(run.state, run.plan, request) == []
    assert len({first.event, other.event, "budget.2"}) == 3
    assert plain.event == "budget.2"
    assert caught.value.refused.code == "conflict"
    assert run.state.extra.tokens == 5


def test_stopping_twice_is_stopping_once() -> None:
    """Neither a run that is to stop nor one that has ended is told again."""
    run = History(ONE)
    cancelled = History(ONE).given(CANCEL)
    terminated = History(ONE).given(TERMINATE)
    over = History(ONE).given(ENDED)

    assert events(control.cancel(run.state, CancelRun(run="r"))) == ["cancel_requested"]
    assert events(control.terminate(run.state, TerminateRun(run="r"))) == ["terminate_requested"]
    for one in (cancelled, over):
        assert control.cancel(one.state, CancelRun(run="r")) == []
    for one in (terminated, over):
        assert control.terminate(one.state, TerminateRun(run="r")) == []


def test_an_extension_lets_a_run_go_on_that_was_parked_for_its_budget() -> None:
    """Not before it is enough, and not when it was parked for something else."""
    request = ExtendBudget(run="r", tokens=5)
    run = History(COSTLY).given(scheduled("a"), completed("a", tokens=12), SPENT)
    said = control.extend(run.state, run.plan, request)
    early = control.after_extension(run.state, run.plan, request)
    run.given(("budget.1", runs.BudgetExtended(tokens=5)))
    enough = control.after_extension(run.state, run.plan, request)
    run.given(UNPARKED)

    assert events(said) == ["budget.1"]
    assert early == []
    assert events(enough) == ["unparked.2"]
    assert control.after_extension(run.state, run.plan, request) == []


def test_a_resume_without_budget_left_is_refused() -> None:
    """It would be parked again at once."""
    run = History(COSTLY).given(scheduled("a"), completed("a", tokens=12), SPENT)

    with pytest.raises(ControlError, match="12 of 10 tokens are used; allow it more"):
        control.resume(run.state, run.plan, ResumeRun(run="r"))


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (ONE, {"tokens": 1}, "has no budget"),
        (COSTLY, {}, "must say how much"),
        (COSTLY, {"tokens": -1}, "must not be negative"),
        (COSTLY, {"usd": "1"}, "no limit in usd"),
    ],
)
def test_an_extension_that_changes_nothing_is_refused(
    text: str, more: dict[str, Any], message: str
) -> None:
    """Whoever asks hears why."""
    run = History(text)

    with pytest.raises(ControlError, match=message):
        control.extend(run.state, run.plan, ExtendBudget(run="r", **more))


def test_a_bulk_resume_is_meant_for_what_fits() -> None:
    """State, workflow and reason are held against each run."""
    parked, paused = History(ONE).given(PARKED).state, History(ONE).given(PAUSED).state
    over = History(ONE).given(PARKED, ENDED).state

    assert control.fits(parked, ResumeRuns())
    assert control.fits(parked, ResumeRuns(code="x", workflow="w"))
    assert not control.fits(parked, ResumeRuns(code="z"))
    assert not control.fits(parked, ResumeRuns(workflow="other"))
    assert not control.fits(paused, ResumeRuns())
    assert control.fits(paused, ResumeRuns(status="paused"))
    assert not control.fits(over, ResumeRuns())


# What follows.


@pytest.mark.parametrize("held", [PAUSED, PARKED], ids=["paused", "parked"])
def test_nothing_that_holds_a_run_back_keeps_it_from_being_cancelled(held: Any) -> None:
    """The cancel lifts it, so that finished steps are undone and the run ends."""
    run = History(SAGA).given(scheduled("a"), completed("a"), held, CANCEL)

    assert run.dispatched() == [("a~undo", 1)]
    assert (run.state.paused, run.state.parked) == (False, None)


def test_a_pause_after_the_cancel_holds_the_undoing_back() -> None:
    """An operator may still stop it, and go on."""
    run = History(SAGA).given(scheduled("a"), completed("a"), CANCEL, PAUSED)

    assert run.then() == []
    assert run.given(RESUMED).dispatched() == [("a~undo", 1)]


def test_a_run_that_parked_while_it_was_closing_is_not_parked_again() -> None:
    """Or it would park for ever."""
    run = History(SAGA).given(scheduled("a"), completed("a"), CANCEL)
    run.given(scheduled("a~undo"), failed("a~undo"))
    [park] = run.then()
    run.given(PARKED)

    assert isinstance(park, Park)
    assert run.then() == []
    assert run.given(UNPARKED).dispatched() == [("a~undo", 2)]


def test_a_run_timeout_undoes_what_a_parked_run_had_done() -> None:
    """What parked it before its time was over does not count."""
    run = History(f"{SAGA}timeout: 10s\n").given(scheduled("a"), completed("a"), PARKED)

    assert run.given(fired(10_000), at_ms=10_000).dispatched() == [("a~undo", 1)]


def test_a_cancel_lets_an_undoing_that_has_begun_go_on() -> None:
    """Though a cancel alone would not have begun it."""
    text = SAGA.replace("[failed, cancelled]", "[failed]")
    run = History(text).given(scheduled("a"), completed("a"), scheduled("b"), failed("b"))
    [first] = run.then()
    run.given(scheduled("a~undo"), CANCEL)
    before = run.then()
    run.given(completed("a~undo"))

    assert isinstance(first, Dispatch)
    assert before == []
    [end] = run.then()
    assert isinstance(end, End)
    assert end.status == "cancelled"


def test_a_child_that_was_not_started_yet_is_started_before_it_is_stopped() -> None:
    """A journal that begins with a cancel would never end."""
    run = History(CHILD).given(child_started("a"), CANCEL)

    kinds = [type(effect) for effect in run.then()]

    assert kinds[:2] == [Launch, StopChild]


def test_a_late_child_is_stopped_while_its_parent_is_paused() -> None:
    """The pause holds back what is new, not what must stop."""
    deadline = 1_760_000_010_000
    run = History(CHILD).given(child_started("a", deadline_ms=deadline), PAUSED).decided()

    kinds = {type(effect) for effect in run.given(fired(10_000), at_ms=10_000).then()}

    assert kinds == {TimeOut, Launch, StopChild}


def test_a_spent_budget_that_fails_the_run_waits_for_what_is_in_flight() -> None:
    """The run is neither parked nor given new work meanwhile."""
    text = """
name: w
budget: {tokens: 10, onExceed: fail}
steps: [{key: a, pool: p}, {key: b, pool: p}, {key: c, pool: p, dependsOn: [a]}]
"""
    run = History(text).given(scheduled("a"), scheduled("b"), completed("a", tokens=12))
    before = run.then()
    [end] = run.given(completed("b")).then()

    assert before == []
    assert isinstance(end, End)
    assert isinstance(end.error, Failure)
    assert end.error.code == "budget_exceeded"


def test_an_end_is_told_though_another_event_came_right_after_it() -> None:
    """Both may be folded before anything is decided."""
    parent = runs.ParentRun(run="parent00", step="a", attempt=1)
    late = settled("a", steps.StepCompleted())
    run = History(ONE, parent=parent).given(scheduled("a"), TERMINATE, ENDED, late)

    [told] = run.then()

    assert isinstance(told, TellParent)


def test_an_ended_run_returns_a_lease_that_it_was_not_told_of() -> None:
    """It may have been granted, or queued, while the run was ending; a bad key has none."""
    text = "{name: w, concurrency: {key: KEY, limit: 1}, steps: [{key: a, pool: p}]}"
    run = History(text.replace("KEY", "k")).given(CANCEL, ENDED)
    bad = History(text.replace("KEY", "'{{ 1 / 0 }}'")).given(CANCEL, ENDED)

    [effect] = run.then()

    assert isinstance(effect, Release)
    assert len(effect.names) == 1
    assert bad.then() == []


def test_the_waits_of_a_run_end_with_it() -> None:
    """A terminated run settles none of its steps."""
    run = History("{name: w, steps: [{key: a, wait: {signal: s}}]}")
    run.given(waiting("a", kind="signal", name="s")).decided()

    run.given(TERMINATE, ENDED)

    assert [over.token for over in run.state.over] == ["a"]
