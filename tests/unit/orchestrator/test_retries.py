"""Retries: which failure is tried again, when, and what happens when no attempt is left?"""

import pytest
from support.history import PARKED, UNPARKED, History, failed, fired, scheduled, waiting

from segue_contracts.v1.values import Failure
from segue_orchestrator.core.effects import BeginWait, Dispatch, End, Park, StartChild
from segue_orchestrator.core.plan import RetryPlan, RetryRule
from segue_orchestrator.core.policies import backoff_ms, may_retry, rule_of


def one(retry: str, kind: str = "pool: p") -> History:
    """Return a run of one step with a retry."""
    return History(f"{{name: w, steps: [{{key: a, {kind}, retry: {{{retry}}}}}]}}")


def test_a_failed_attempt_is_followed_by_the_next() -> None:
    """A short delay goes with the task, for its worker to keep."""
    run = one("maxAttempts: 2, delay: 20s").given(scheduled("a"), failed("a"))

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.attempt == 2
    assert 15_000 <= effect.not_before_ms - run.state.step("a").settled_ms <= 20_000


def test_without_attempts_left_the_step_fails() -> None:
    """The last failure is the step's."""
    run = one("maxAttempts: 2, delay: 0s").given(scheduled("a"), failed("a"), scheduled("a", 2))

    [end] = run.given(failed("a", 2, code="again")).then()

    assert isinstance(end, End)
    assert isinstance(end.error, Failure)
    assert end.error.details["code"] == "again"


def test_a_long_delay_is_kept_by_the_runs_timer() -> None:
    """The next attempt is dispatched when so little is left that its worker can wait."""
    run = one("maxAttempts: 2, delay: 100s").given(scheduled("a"), failed("a"))

    assert run.then() == []
    [due] = run.decided().arms()
    assert 15_000 <= due <= 30_010
    assert run.given(fired(due), at_ms=due).dispatched() == [("a", 2)]


@pytest.mark.parametrize("kind", ["workflow: sub", "wait: {signal: s, timeout: 1s}"])
def test_what_no_worker_serves_is_tried_again_when_its_delay_is_over(kind: str) -> None:
    """A child run or a wait has nobody to keep even a short delay, so a timer does."""
    run = one("maxAttempts: 2, delay: 5s", kind)
    run.given(waiting("a", kind="signal", name="s"), failed("a"))

    assert run.then() == []
    [due] = run.decided().arms()
    [effect] = run.given(fired(due), at_ms=due).then()

    assert isinstance(effect, StartChild | BeginWait)
    assert effect.attempt == 2


@pytest.mark.parametrize(
    ("retry", "code", "retryable", "repeated"),
    [
        ("maxAttempts: 2", "boom", True, True),
        ("maxAttempts: 2", "boom", False, False),
        ("maxAttempts: 2, nonRetryable: [boom]", "boom", True, False),
        ("maxAttempts: 2, nonRetryable: ['bo*']", "boom", True, False),
        ("maxAttempts: 2, nonRetryable: ['x*']", "boom", True, True),
        ("maxAttempts: 1, classes: {boom: {maxAttempts: 3}}", "boom", True, True),
        ("maxAttempts: 3, classes: {boom: {maxAttempts: 1}}", "boom", True, False),
        ("maxAttempts: 1", "boom", True, False),
    ],
)
def test_a_failures_code_decides_whether_it_is_repeated(
    retry: str, code: str, *, retryable: bool, repeated: bool
) -> None:
    """Classes and codes that are never repeated go before the general rule."""
    run = one(f"delay: 0s, {retry}").given(scheduled("a"))

    run.given(failed("a", code=code, retryable=retryable))

    assert run.dispatched() == ([("a", 2)] if repeated else [])


def test_exhausted_attempts_park_the_run_where_it_asks_for_that() -> None:
    """Going on gives the step one attempt more."""
    run = one("maxAttempts: 1, onExhausted: park").given(scheduled("a"), failed("a"))

    [park] = run.then()
    run.decided().given(PARKED)

    assert park == Park("retries_exhausted", "step a: it broke", "a")
    assert run.then() == []
    assert run.given(UNPARKED).dispatched() == [("a", 2)]


def test_a_class_keeps_what_it_does_not_change() -> None:
    """Delay, factor and limit come from the general rule unless the class has its own."""
    run = one("maxAttempts: 5, delay: 7s, classes: {slow: {factor: 3, maxDelay: 9s}}")
    retry = run.plan.steps["a"].retry

    rule = rule_of(retry, Failure(code="slow", message=""))

    assert rule == RetryRule(max_attempts=5, delay_ms=7_000, factor=3, max_delay_ms=9_000)
    assert rule_of(retry, Failure(code="x", message="")) == retry.rule


def test_the_delay_grows_to_its_limit_and_is_spread() -> None:
    """Jitter takes away a quarter at most, and is the same whoever computes it."""
    rule = RetryRule(max_attempts=9, delay_ms=1_000, factor=2.0, max_delay_ms=3_000)

    waits = [backoff_ms(rule, run="r", step="s", attempt=n) for n in (1, 2, 3, 4_000)]

    assert all(
        0.75 * full <= wait <= full
        for wait, full in zip(waits, (1000, 2000, 3000, 3000), strict=True)
    )
    assert waits == [backoff_ms(rule, run="r", step="s", attempt=n) for n in (1, 2, 3, 4_000)]


def test_a_plan_without_a_retry_tries_once() -> None:
    """One attempt is the default."""
    assert not may_retry(RetryPlan(), 1, Failure(code="x", message=""))
