"""Invariants: is a journal that breaks one told from one that keeps them all?"""

import pytest
from support.history import (
    CANCEL,
    PARKED,
    PAUSED,
    Event,
    History,
    began,
    child_started,
    completed,
    failed,
    fired,
    mapped,
    scheduled,
    settled,
    waiting,
)
from support.journal import T0, World, workflow_of
from support.owners import Owner, finish

from segue_contracts.v1 import runs, steps
from segue_orchestrator.core.invariants import (
    Breach,
    Checker,
    at_rest,
    check_journal,
    copied,
    differences,
    same_state,
)
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import Entry, OutputAt, RunState

TEXT = """
name: w
steps:
  - {key: a, pool: p, retry: {maxAttempts: 3, delay: 100s}, compensate: {pool: u}}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: m, pool: p, dependsOn: [a], forEach: [1, 2]}
  - {key: c, workflow: sub, dependsOn: [a]}
  - {key: w, wait: {signal: go}, dependsOn: [a]}
"""
OTHER_POOL = ("step.a.1.scheduled.q.p2", scheduled("a")[1])
SKIPPED = settled("a", steps.StepSkipped(reason="condition"))
SIGNAL = ("signal.1", runs.SignalReceived(name="go"))
DONE = (scheduled("a"), completed("a", 1))


def breaches(*events: Event, text: str = TEXT) -> list[Breach]:
    """Return what a history breaks."""
    run = History(text).given(*events)
    entries = [event.entry for event in run.world.journals[run.run][1:]]
    return check_journal(lambda: run.world.started(run.run), run.plan, entries)[1]


def test_a_whole_run_breaks_nothing() -> None:
    """What the engine writes keeps every invariant."""
    world = World(workflow_of(TEXT), workflow_of("{name: sub, steps: [{key: s, pool: p}]}"))
    world.start("w")

    finish(world, Owner(world))

    for run, journal in world.journals.items():
        entries = [event.entry for event in journal[1:]]
        _, found = check_journal(lambda run=run: world.started(run), world.plan(run), entries)
        assert found == []


@pytest.mark.parametrize(
    ("events", "invariant"),
    [
        ([scheduled("a"), scheduled("a")], "one_event_per_subject"),
        ([scheduled("a"), OTHER_POOL], "one_dispatch_per_attempt"),
        ([scheduled("a"), scheduled("a", 2)], "attempts_increase"),
        ([scheduled("a", 2), failed("a", 2), scheduled("a", 1)], "attempts_increase"),
        ([*DONE, failed("a")], "one_outcome_per_attempt"),
        ([completed("a")], "dispatched_before_outcome"),
        ([scheduled("a"), SKIPPED], "dispatched_before_outcome"),
        ([scheduled("b")], "dependencies_settled"),
        ([scheduled("a"), mapped("m", [1])], "dependencies_settled"),
        ([child_started("c")], "dependencies_settled"),
        ([waiting("w", kind="signal")], "dependencies_settled"),
        ([scheduled("a"), failed("a", retryable=False), scheduled("b")], "dependencies_settled"),
        ([*DONE, scheduled("m~0")], "dependencies_settled"),
        ([*DONE, mapped("m", [1]), scheduled("m~1")], "dependencies_settled"),
        ([scheduled("a~undo")], "dependencies_settled"),
    ],
)
def test_a_journal_that_breaks_an_invariant_is_told_which(
    events: list[Event], invariant: str
) -> None:
    """With the place of the event that does."""
    found = breaches(*events)

    assert invariant in {breach.invariant for breach in found}
    assert all(breach.place.endswith(f"at {len(events) + 1}") for breach in found)


@pytest.mark.parametrize(
    "events",
    [
        [*DONE, scheduled("b"), mapped("m", [1]), scheduled("m~0"), child_started("c")],
        [*DONE, scheduled("a~undo")],
        [scheduled("a"), failed("a"), scheduled("a", 2), began("a", 2)],
        [scheduled("a"), scheduled("x"), ("step.x.odd.outcome.failed", failed("a")[1])],
        [("later.1", runs.RunPaused()), ("child.x.started", runs.RunPaused())],
        [*DONE, ("ended", runs.RunEnded(status="failed")), scheduled("b"), completed("b")],
    ],
)
def test_a_journal_that_keeps_them_breaks_none(events: list[Event]) -> None:
    """Also with events of steps that are not known, and with late ones."""
    assert breaches(*events) == []


@pytest.mark.parametrize(("reason", "kept"), [("condition", True), ("upstream", False)])
def test_a_skipped_dependency_keeps_others_back_or_not(reason: str, *, kept: bool) -> None:
    """Its own condition does not, what was missing above it does."""
    skipped = settled("a", steps.StepSkipped(reason=reason))

    assert (breaches(skipped, scheduled("b")) == []) == kept


def test_a_step_that_may_fail_keeps_nobody_back() -> None:
    """Its dependents run all the same."""
    text = """
name: w
steps: [{key: a, pool: p, continueOnError: true}, {key: b, pool: p, dependsOn: [a]}]
"""

    assert breaches(scheduled("a"), failed("a"), scheduled("b"), text=text) == []


def test_a_step_before_its_runs_leases_is_too_early() -> None:
    """Nothing is dispatched before the run holds all of them."""
    text = "{name: w, concurrency: {key: k, limit: 1}, steps: [{key: a, pool: p}]}"

    [breach] = breaches(scheduled("a"), text=text)

    assert breach.message == "attempt a.1: the run holds not all of its leases"


def test_a_checker_that_begins_with_a_snapshot_knows_what_was_dispatched() -> None:
    """An outcome whose dispatch lies before it is no breach, and older events are none."""
    run = History(TEXT).given(scheduled("a"))
    checker = Checker(run.state, run.plan)
    before = run.world.journals[run.run][-1].entry
    event, body = completed("a", 1)

    assert checker.add(before) == []
    assert checker.add(Entry(9, T0 + 9, tuple(event.split(".")), body)) == []


def test_an_event_that_changes_an_ended_run_is_told() -> None:
    """A fold that takes it for news is wrong."""
    run = History(TEXT).given(scheduled("a"), ("ended", runs.RunEnded(status="failed")))

    def fold(state: RunState, plan: Plan, entry: Entry) -> None:
        state.paused = True

    [breach] = Checker(run.state, run.plan, fold=fold).add(
        Entry(99, T0 + 99, ("paused", "1"), runs.RunPaused())
    )

    assert breach == Breach(
        invariant="nothing_after_end",
        place="paused.1 at 99",
        message="it changes a run that has ended",
    )


def test_folds_that_disagree_are_told_apart() -> None:
    """What differs is named."""
    first, second = History(TEXT).given(*DONE), History(TEXT).given(*DONE)
    assert same_state(first.state, second.state)

    second.state.steps["a"].output = OutputAt(7)

    assert differences(first.state, second.state) == ["steps"]


def test_a_fold_that_depends_on_how_it_is_done_is_told() -> None:
    """Twice the same event, or a snapshot in the middle, must come to the same."""
    run = History(TEXT).given(*DONE)
    states = [run.world.started(run.run) for _ in range(3)]
    states[1].paused = True
    entries = [event.entry for event in run.world.journals[run.run][1:]]

    _, found = check_journal(lambda: states.pop(0), run.plan, entries)

    [breach] = found
    assert breach == Breach(
        invariant="refold_agrees",
        place="at 3",
        message="a fold with every event delivered twice has other paused",
    )


# Rest.


def idle(run: History) -> list[str]:
    """Return the places of what nothing moves, once everything decided is stored."""
    run.decided()
    return [breach.place for breach in at_rest(run.state, run.plan)]


@pytest.mark.parametrize(
    ("events", "place"),
    [
        ([], "a"),
        (DONE, "b"),
        ([*DONE, mapped("m", [])], "m"),
        ([*DONE, mapped("m", [1]), scheduled("m~0"), completed("m~0", 1)], "m"),
        ([*DONE, waiting("w", kind="duration")], "w"),
        ([*DONE, waiting("w", kind="signal", name="go"), SIGNAL], "w"),
        ([scheduled("a"), failed("a", retryable=False), CANCEL], "run"),
    ],
)
def test_what_nothing_moves_is_named(events: list[Event], place: str) -> None:
    """The step, or the run itself."""
    assert place in idle(History(TEXT).given(*events))


ONE = """
name: w
steps: [{key: a, pool: p, retry: {maxAttempts: 2, delay: 100s}, outputSchema: {}}]
"""
TWO = "{name: w, budget: {tokens: 5}, steps: [{key: a, pool: p}, {key: b, pool: p}]}"
SPENT = """
name: w
budget: {tokens: 5, onExceed: fail}
steps: [{key: a, pool: p}, {key: b, pool: p}, {key: c, pool: p, dependsOn: [a]}]
"""
LEASED = "{name: w, concurrency: {key: k, limit: 1}, steps: [{key: a, pool: p}]}"
ESCALATING = """
name: w
steps: [{key: a, approval: {escalation: {after: 9s, step: b}}}, {key: b, pool: p}]
"""
ASKED = waiting("a", kind="approval", escalate_ms=T0 + 9_000)
SAGA = """
name: w
budget: {tokens: 5}
steps:
  - {key: a, pool: p, compensate: {pool: u, retry: {maxAttempts: 2, delay: 100s}}}
  - {key: b, pool: p, dependsOn: [a]}
"""
FAILED = (*DONE, scheduled("b"), failed("b"))


@pytest.mark.parametrize(
    ("text", "events", "places"),
    [
        (ONE, [scheduled("a")], []),
        (ONE, [scheduled("a"), failed("a")], []),
        (ONE, [scheduled("a"), completed("a", 1)], ["a"]),
        (ONE, [PAUSED], []),
        (ONE, [PARKED], []),
        (ONE, [("ended", runs.RunEnded(status="failed"))], []),
        (ONE, [scheduled("a"), CANCEL], []),
        (SAGA, FAILED, ["run"]),
        (SAGA, [*FAILED, scheduled("a~undo")], []),
        (SAGA, [*FAILED, scheduled("a~undo"), failed("a~undo")], []),
        (SAGA, [*FAILED, scheduled("a~undo"), failed("a~undo"), CANCEL], []),
        (SAGA, [*FAILED, scheduled("a~undo"), completed("a~undo")], ["run"]),
        (TWO, [scheduled("a"), completed("a", 1, tokens=9)], ["b"]),
        (SPENT, [scheduled("a"), scheduled("b"), completed("a", 1, tokens=9)], []),
        (LEASED, [], []),
        (ESCALATING, [ASKED], []),
        (ESCALATING, [ASKED, fired(9_000)], ["b"]),
    ],
)
def test_a_run_at_rest_has_a_next_cause_or_is_told(
    text: str, events: list[Event], places: list[str]
) -> None:
    """A task, an alarm, a wait, a lease, a child run, an undoing, or somebody who holds it."""
    assert idle(History(text).given(*events)) == places


def test_an_attempt_in_backoff_without_an_alarm_is_idle() -> None:
    """Nobody would ever begin it."""
    run = History(ONE).given(scheduled("a"), failed("a"))
    run.state.alarms.clear()

    assert idle(run) == ["a"]


def test_a_state_that_no_snapshot_can_hold_is_an_error() -> None:
    """It would be lost."""
    run = History(ONE)
    run.state.pauses = "many"  # type: ignore[assignment]  # what a later form might have

    with pytest.raises(ValueError, match="not read back"):
        copied(run.state)
