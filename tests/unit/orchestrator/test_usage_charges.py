"""Charges: is everything that attempts use charged to their run, and once?"""

import pytest
from support.history import Event, History, completed, failed, fired, scheduled, settled

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.effects import Park, TimeOut
from segue_orchestrator.core.progress import child_run
from segue_orchestrator.core.view import view_of

ONE = "{name: w, steps: [{key: a, pool: p, timeout: 5s, retry: {maxAttempts: 2, delay: 1s}}]}"
TWO = "{name: w, budget: {tokens: 10}, steps: [{key: a, pool: p}, {key: b, pool: p}]}"
CHILD = "{name: w, steps: [{key: a, workflow: sub, timeout: 10s}, {key: b, pool: p}]}"
LATE = Failure(code="timeout", message="late")


def turn(number: int, tokens: int, attempt: int = 1) -> Event:
    """Return a turn of an agent."""
    body = TurnCompleted(
        number=number, kind="model", messages=Value(), usage=UsageTotals(input_tokens=tokens)
    )
    return f"step.a.{attempt}.turn.{number}", body


def spent(tokens: int, attempt: int = 1, *, teller: str = "x") -> Event:
    """Return what is told of work whose outcome did not count."""
    body = steps.StepSpent(usage=UsageTotals(input_tokens=tokens))
    return f"step.a.{attempt}.spent.{teller}", body


def timed_out(attempt: int = 1, **fields: UsageTotals) -> Event:
    """Return the outcome of an attempt whose time is up."""
    return settled("a", steps.StepTimedOut(error=LATE, **fields), attempt)


def cancelled(**fields: UsageTotals) -> Event:
    """Return the outcome of an attempt that was given up."""
    return settled("a", steps.StepCancelled(reason="stop", **fields))


@pytest.mark.parametrize(
    ("outcome", "total"),
    [
        (timed_out(), 7),
        (timed_out(usage=UsageTotals(input_tokens=9)), 9),
        (cancelled(), 7),
        (cancelled(usage=UsageTotals(input_tokens=9)), 9),
        (failed("a", tokens=9), 9),
        (failed("a"), 7),
        (completed("a", tokens=9), 9),
        (completed("a", tokens=7), 7),
    ],
)
def test_turns_are_charged_as_they_come_and_an_outcome_for_the_rest(
    outcome: Event, total: int
) -> None:
    """Whether or not it tells what the attempt used in all."""
    run = History(ONE).given(scheduled("a"), turn(1, 3), turn(2, 4))
    before = run.state.usage.tokens

    run.given(outcome)

    assert before == 7
    assert run.state.usage.tokens == total
    assert run.state.step("a").usage == UsageTotals(input_tokens=total)


def test_what_an_attempt_has_told_says_nothing_of_the_next() -> None:
    """Its turns are its own."""
    run = History(ONE).given(
        scheduled("a"),
        turn(1, 3),
        timed_out(),
        scheduled("a", 2),
        turn(1, 2, attempt=2),
        completed("a", attempt=2, tokens=6),
    )

    assert run.state.usage.tokens == 3 + 6


@pytest.mark.parametrize(
    "after",
    [
        [],
        [scheduled("a", 2)],
        [scheduled("a", 2), completed("a", attempt=2)],
    ],
    ids=["in backoff", "in the next attempt", "when the step is settled"],
)
@pytest.mark.parametrize("told", [spent(5), turn(2, 5)], ids=["work", "turn"])
def test_what_an_attempt_used_after_its_end_is_charged(told: Event, after: list[Event]) -> None:
    """Whoever worked on it did not know that its time was up."""
    run = History(ONE).given(scheduled("a"), timed_out(), *after)
    status = run.state.step("a").status

    run.given(told)

    assert run.state.usage.tokens == 5
    assert run.state.step("a").status == status


@pytest.mark.parametrize("told", [spent(5, attempt=3), turn(1, 5, attempt=3)])
def test_an_attempt_that_was_never_dispatched_costs_nothing(told: Event) -> None:
    """Nobody can have worked on it."""
    run = History(ONE).given(scheduled("a"), told)

    assert run.state.usage.tokens == 0


def test_a_turn_may_spend_the_budget() -> None:
    """Nothing new begins then, although its step goes on."""
    run = History(TWO).given(scheduled("a"), turn(1, 10))

    [parked] = run.then()

    assert isinstance(parked, Park)
    assert parked.code == "budget_exceeded"


@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_the_end_of_a_child_that_was_given_up_is_charged(status: runs.EndStatus) -> None:
    """Its step has timed out; what it used until it stopped counts."""
    run = History(CHILD)
    child = child_run(run.run, "a", 1)
    body = runs.ChildStarted(
        step="a", attempt=1, run=child, workflow="sub", definition="d", deadline_ms=1
    )
    run.given((f"child.{child}.started", body), fired(20_000))
    [late] = [effect for effect in run.then() if isinstance(effect, TimeOut)]
    run.given(timed_out())
    settled_ms = run.state.step("a").settled_ms
    ended: Message = runs.ChildEnded(
        step="a", attempt=1, run=child, status=status, usage=UsageTotals(input_tokens=8)
    )

    run.given((f"child.{child}.ended", ended))

    assert late.token == "a"
    assert run.state.usage.tokens == 8
    assert (run.state.step("a").status, run.state.step("a").settled_ms) == ("timed_out", settled_ms)
    view = view_of(run.state, run.plan, cursor="c")
    assert view.steps[0].usage == UsageTotals(input_tokens=8)


def test_what_comes_after_the_end_changes_no_sum() -> None:
    """The end has told what the run used; it is final."""
    run = History(ONE).given(scheduled("a"), timed_out(), ("ended", runs.RunEnded(status="failed")))

    run.given(spent(5))

    assert run.state.usage.tokens == 0
