"""Limits and budgets: which attempt has taken too long, and when may nothing new begin?"""

from decimal import Decimal

import pytest
from support.history import (
    PAUSED,
    UNPARKED,
    Event,
    History,
    beat,
    began,
    completed,
    failed,
    fired,
    scheduled,
    settled,
)
from support.journal import T0

from segue_contracts.v1 import runs, steps
from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.runs import BudgetLimits
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.effects import Abandon, Dispatch, End, Park, StartChild, TimeOut
from segue_orchestrator.core.limits import budget_left
from segue_orchestrator.core.policies import CANCEL_GRACE_MS
from segue_orchestrator.core.usage import decimal_text


def one(limits: str) -> History:
    """Return a run of one step with limits."""
    return History(f"{{name: w, steps: [{{key: a, pool: p, {limits}}}]}}")


def test_a_task_knows_when_its_attempt_ends() -> None:
    """Its deadline counts from its dispatch."""
    [effect] = one("timeout: 5s").then()

    assert isinstance(effect, Dispatch)
    assert effect.deadline_ms == T0 + 5_001


def test_the_deadline_of_a_delayed_attempt_counts_from_when_it_may_begin() -> None:
    """Its backoff is no time of its own."""
    run = one("timeout: 5s, retry: {maxAttempts: 2, delay: 20s}").given(scheduled("a"), failed("a"))

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.deadline_ms == effect.not_before_ms + 5_000


@pytest.mark.parametrize(
    ("limits", "events", "due", "code"),
    [
        ("timeout: 5s", [scheduled("a", deadline_ms=T0 + 5_000)], 5_000, "timeout"),
        ("timeouts: {queue: 5s}", [scheduled("a")], 6_002, "queue_timeout"),
        ("timeouts: {startToClose: 5s}", [scheduled("a"), began("a")], 5_003, "timeout"),
        ("timeouts: {heartbeat: 5s}", [scheduled("a"), began("a")], 5_003, "worker_lost"),
    ],
)
def test_an_attempt_that_is_too_late_is_settled_by_the_runs_timer(
    limits: str, events: list[Event], due: int, code: str
) -> None:
    """The timer is armed for just then; a moment before, nothing happens."""
    run = one(limits).given(*events)

    [at] = run.decided().arms()
    assert run.given(PAUSED, at_ms=at - 10).then() == []
    [effect] = run.given(fired(at), at_ms=at).then()

    assert at == due
    assert isinstance(effect, TimeOut)
    assert effect.error.code == code


def test_a_sign_of_life_puts_off_the_limit() -> None:
    """The first alarm finds the worker alive, the next one does not."""
    run = one("timeouts: {heartbeat: 5s}").given(scheduled("a"), began("a")).decided()
    run.given(beat("a"), at_ms=3_000)

    assert run.given(fired(5_003), at_ms=5_003).then() == []
    [at] = run.decided().arms()
    assert at == 8_001
    assert [type(effect) for effect in run.given(fired(at), at_ms=at).then()] == [TimeOut]


def test_the_time_in_a_queue_begins_when_the_attempt_may() -> None:
    """A worker that keeps a retry's delay has not left it lying."""
    run = one("timeouts: {queue: 5s}").given(scheduled("a", not_before_ms=T0 + 20_000))

    assert run.decided().arms() == [26_000]


def test_what_has_begun_is_not_in_the_queue() -> None:
    """Only the limits of work hold from there on."""
    run = one("timeouts: {queue: 5s}").given(scheduled("a"), began("a")).decided()

    assert run.given(fired(9_000), at_ms=9_000).then() == []


def test_signs_of_life_of_an_older_attempt_do_not_count() -> None:
    """Only who works on the attempt in flight keeps it alive."""
    run = one("timeouts: {heartbeat: 5s}").given(scheduled("a"), scheduled("a", 2), began("a", 2))

    run.given(beat("a", 1), began("a", 1), at_ms=4_000)

    assert run.state.step("a").alive_ms < T0 + 1_000


def test_all_attempts_together_have_a_limit() -> None:
    """The deadline of each is the step's at the latest, and no attempt begins after it."""
    limits = "timeouts: {scheduleToClose: 10s}, retry: {maxAttempts: 9, delay: 4s}"
    run = one(limits).given(scheduled("a"))
    run.given(failed("a"), at_ms=3_000)

    [effect] = run.then()
    run.decided().given(scheduled("a", 2))
    [end] = run.given(failed("a", 2), at_ms=8_000).then()

    assert isinstance(effect, Dispatch)
    assert effect.deadline_ms == run.state.step("a").first_ms + 10_000
    assert isinstance(end, End)


def test_attempts_time_out_while_a_run_is_paused() -> None:
    """What is in flight is watched."""
    run = one("timeout: 5s").given(scheduled("a", deadline_ms=T0 + 5_000), PAUSED).decided()

    assert [type(e) for e in run.given(fired(5_000), at_ms=5_000).then()] == [TimeOut]


def test_a_timed_out_attempt_is_tried_again() -> None:
    """It is a failure with a code like others."""
    error = Failure(code="timeout", message="late")
    run = one("retry: {maxAttempts: 2, delay: 0s}").given(scheduled("a"))

    run.given(settled("a", steps.StepTimedOut(error=error)))

    assert run.dispatched() == [("a", 2)]


def test_a_run_that_takes_too_long_is_stopped() -> None:
    """First its work is asked to stop, then it is given up, then the run fails."""
    run = History("{name: w, timeout: 60s, steps: [{key: a, pool: p}]}").given(scheduled("a"))
    assert run.decided().arms() == [60_001]

    asked = run.given(fired(60_001), at_ms=60_001).arms()
    given_up = run.given(fired(65_001), at_ms=60_001 + CANCEL_GRACE_MS).then()
    run.given(settled("a", steps.StepCancelled()))
    [end] = run.then()

    assert 65_001 in asked
    assert [type(effect) for effect in given_up] == [Abandon]
    assert isinstance(end, End)
    assert (end.status, end.error and end.error.code) == ("failed", "timeout")


# Budgets.


def spending(budget: str) -> History:
    """Return a run whose second step may begin within a budget only."""
    return History(f"""
name: w
budget: {{{budget}}}
steps:
  - {{key: a, pool: p}}
  - {{key: b, pool: p, dependsOn: [a]}}
  - {{key: c, workflow: sub, dependsOn: [a]}}
""")


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ("tokens: 10", "10 of 10 tokens are used"),
        ("usd: 0.5", "0.5 of 0.5 USD are spent"),
        ("seconds: 5", "the run has taken 5 s"),
    ],
)
def test_a_spent_budget_parks_the_run_before_anything_new(budget: str, reason: str) -> None:
    """How much is spent is told, and that there is a way on."""
    run = spending(budget).given(scheduled("a"))

    [park] = run.given(completed("a", 1, tokens=10, usd="0.5"), at_ms=6_000).then()

    assert park == Park("budget_exceeded", f"{reason}; extend the budget and the run goes on")


@pytest.mark.parametrize(
    ("budget", "more"),
    [
        ("tokens: 10", {"tokens": 5}),
        ("usd: 0.5", {"usd": "0.25"}),
        ("seconds: 5", {"seconds": 5.0}),
    ],
)
def test_a_run_goes_on_with_more(budget: str, more: dict[str, float]) -> None:
    """What was added counts from there on."""
    run = spending(budget).given(scheduled("a"))
    run.given(completed("a", 1, tokens=10, usd="0.5"), at_ms=6_000).decided()
    run.given(("parked.1", runs.RunParked(code="budget_exceeded", message="m"))).decided()
    run.given(("budget.1", runs.BudgetExtended(**more)), UNPARKED)  # type: ignore[arg-type]  # as given

    assert {type(effect) for effect in run.then()} == {Dispatch, StartChild}
    assert run.state.extensions == 1


def test_a_run_that_goes_on_without_more_is_parked_again() -> None:
    """The budget is still spent."""
    run = spending("tokens: 10").given(scheduled("a"), completed("a", 1, tokens=10))
    run.given(("parked.1", runs.RunParked(code="budget_exceeded", message="m")), UNPARKED)

    assert [type(effect) for effect in run.then()] == [Park]


def test_a_spent_budget_fails_the_run_where_it_says_so() -> None:
    """What is in flight finishes before."""
    text = """
name: w
budget: {tokens: 10, onExceed: fail}
steps:
  - {key: a, pool: p}
  - {key: b, pool: p}
  - {key: c, pool: p, dependsOn: [a]}
"""
    run = History(text).given(scheduled("a"), scheduled("b"), completed("a", 1, tokens=10))
    assert run.then() == []

    [end] = run.decided().given(completed("b", 1)).then()

    assert isinstance(end, End)
    assert (end.status, end.error and end.error.code) == ("failed", "budget_exceeded")


def test_a_run_that_spent_its_budget_with_its_last_step_completes() -> None:
    """There is nothing left to hold back."""
    text = "{name: w, budget: {tokens: 1, onExceed: fail}, steps: [{key: a, pool: p}]}"

    [end] = History(text).given(scheduled("a"), completed("a", 1, tokens=10)).then()

    assert isinstance(end, End)
    assert end.status == "completed"


def test_tasks_are_told_what_is_left() -> None:
    """Of money, tokens and time."""
    run = spending("usd: 2, tokens: 100, seconds: 60").given(scheduled("a"))
    run.given(completed("a", 1, tokens=30, usd="0.5"), at_ms=10_000)

    budgets = [
        effect.purse.left if effect.purse else None
        for effect in run.then()
        if isinstance(effect, Dispatch)
    ]

    assert budgets == [BudgetLimits(usd="1.5", tokens=70, seconds=pytest.approx(50, abs=0.01))]


def test_tasks_are_told_which_accounts_pay() -> None:
    """Those of the runs above and the run's own, with all that it may ever use."""
    above = Allowance(account="run.above", usd="9")
    run = History(
        "{name: w, budget: {usd: 2, tokens: 100}, steps: [{key: a, pool: p}]}",
        allowances=[above],
        budget=BudgetLimits(usd="5"),
    )

    [task] = [effect for effect in run.then() if isinstance(effect, Dispatch)]

    own = Allowance(account=f"run.{run.state.run}", usd="2", tokens=100)
    assert task.purse is not None
    assert task.purse.allowances == (above, own)


UNPAID = steps.StepFailed(
    error=Failure(code="budget_exceeded", message="no room for the call", retryable=False)
)


def test_a_call_that_the_ledger_refuses_parks_the_run() -> None:
    """Others may still come in cheaper, and a larger budget lets the step go on."""
    run = spending("usd: 2").given(scheduled("a"), ("step.a.1.outcome.failed", UNPAID))

    assert Park("budget_exceeded", "step a: no room for the call", "a") in run.then()

    run.given(("parked.1", runs.RunParked(code="budget_exceeded", message="m")), UNPARKED)
    assert [one.attempt for one in run.then() if isinstance(one, Dispatch)] == [2]


def test_a_call_that_the_ledger_refuses_fails_a_run_that_shall_fail() -> None:
    """When the definition says so."""
    run = spending("usd: 2, onExceed: fail").given(scheduled("a"))
    run.given(("step.a.1.outcome.failed", UNPAID))

    assert not [one for one in run.then() if isinstance(one, Park)]


def test_a_limit_of_time_alone_opens_no_account() -> None:
    """The ledger counts money and tokens."""
    [task] = [effect for effect in spending("seconds: 60").then() if isinstance(effect, Dispatch)]

    assert task.purse is not None
    assert task.purse.allowances == ()


def test_what_is_used_up_is_next_to_nothing_and_not_unlimited() -> None:
    """0 would be no limit, and less than that no number for it."""
    run = spending("usd: 2, tokens: 100, seconds: 60").given(scheduled("a"))
    run.given(completed("a", 1, tokens=130, usd="2.5"), at_ms=70_000)

    left = budget_left(run.state, run.plan)

    assert left == BudgetLimits(usd="0.000000000001", tokens=1, seconds=0.001)


def test_the_tighter_of_the_own_and_the_parents_budget_holds() -> None:
    """A child run is limited by what its parent has left."""
    given = BudgetLimits(usd="1", tokens=0, seconds=9)
    run = History(
        "{name: w, budget: {usd: 5, tokens: 7}, steps: [{key: a, pool: p}]}", budget=given
    )

    left = budget_left(run.state, run.plan)

    assert left == BudgetLimits(usd="1", tokens=7, seconds=9)


def test_without_a_budget_nothing_is_limited() -> None:
    """And nobody is told of one."""
    run = History("{name: w, steps: [{key: a, pool: p}]}")

    assert budget_left(run.state, run.plan) is None


def test_amounts_of_money_travel_as_short_texts() -> None:
    """Twelve decimals at most, and none that say nothing."""
    assert decimal_text(Decimal("1.50000")) == "1.5"
    assert decimal_text(Decimal(0)) == "0"
    assert decimal_text(Decimal("1e-13")) == "0"
