"""Limits and retries on a real broker: what becomes of work that is late, lost or wrong?"""

import pytest
from support.runs import Outcome, Runs, echo, inline

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import PauseRun, ResumeRun
from segue_contracts.v1.runs import RunParked
from segue_contracts.v1.steps import (
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepTimedOut,
    StepWaiting,
)
from segue_contracts.v1.values import Failure
from segue_shared.ids import SystemIds


def one(fields: str) -> str:
    """Return a definition of one step."""
    return f"{{name: w, steps: [{{key: a, pool: POOL, {fields}}}]}}"


async def test_a_task_that_nobody_begins_times_out_in_the_queue(runs: Runs) -> None:
    """The limit holds from the dispatch to the start, with a grace for the word of it."""
    pool = SystemIds().unique()
    run = await runs.start(one("timeouts: {queue: 50ms}").replace("POOL", pool))

    assert (await runs.error(run)).details["code"] == "queue_timeout"


async def test_a_task_that_was_begun_has_its_own_limit(runs: Runs) -> None:
    """It counts from the start; the queue's limit is over."""
    runs.desk.hold("a")
    run = await runs.start(one("timeouts: {queue: 50ms, startToClose: 80ms}"))
    await runs.say_started(await runs.desk.came("a"))

    assert "ran for longer than 0.08 s" in (await runs.error(run)).message


async def test_all_attempts_together_have_a_limit(runs: Runs) -> None:
    """No attempt follows that could not finish in time."""
    runs.desk.fail("a")
    text = one("retry: {maxAttempts: 9, delay: 200ms, factor: 50}, timeouts: {scheduleToClose: 3s}")
    run = await runs.start(text)

    assert (await runs.error(run)).details["code"] == "boom"
    assert [task.attempt for task in runs.desk.tasks] == [1, 2]


async def test_a_worker_that_gives_no_sign_of_life_is_lost(runs: Runs) -> None:
    """Another attempt is made."""

    async def silent_once(task: StepScheduled) -> Outcome:
        if task.attempt == 1:
            await runs.say_started(task)
            await runs.event(task.run, "step.a.1.outcome.timed_out", StepTimedOut)
        return await echo(task)

    runs.desk.on("a", silent_once)
    run = await runs.start(one("timeouts: {heartbeat: 1s}, retry: {maxAttempts: 2, delay: 1ms}"))
    end = await runs.ended(run)

    lost = await runs.event(run, "step.a.1.outcome.timed_out", StepTimedOut)
    assert (lost.error.code, end.status) == ("worker_lost", "completed")


async def test_a_late_outcome_counts_for_nothing(runs: Runs) -> None:
    """The attempt that timed out stays so; the next one counts."""

    async def late_once(task: StepScheduled) -> Outcome:
        if task.attempt == 1:
            await runs.event(task.run, "step.a.1.outcome.timed_out", StepTimedOut)
        return StepCompleted(output=inline({"attempt": task.attempt}))

    runs.desk.on("a", late_once)
    run = await runs.start(one("timeout: 60ms, retry: {maxAttempts: 2, delay: 1ms}"))

    assert await runs.output(run) == {"a": {"attempt": 2}}
    assert "step.a.1.outcome.completed" not in await runs.story(run)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_run_ends_when_its_time_is_over(runs: Runs, paused: bool) -> None:  # noqa: FBT001 - a case of the test
    """Its waits are given up; a pause does not stop the clock."""
    text = "{name: w, timeout: 200ms, steps: [{key: hold, wait: {signal: go}}]}"
    run = await runs.start(text)
    await runs.event(run, "step.hold.1.waiting", StepWaiting)
    if paused:
        await runs.call(registry.PAUSE_RUN, PauseRun(run=run))

    error = await runs.error(run)

    assert (error.code, (await runs.ended(run)).status) == ("timeout", "failed")
    assert "step.hold.1.outcome.cancelled" in await runs.story(run)


async def test_each_class_of_failure_has_its_own_retries(runs: Runs) -> None:
    """What a class does not say is the general rule's."""
    runs.desk.fail("a", "rate_limited", times=3)
    text = one("retry: {maxAttempts: 2, delay: 1ms, classes: {rate_limited: {maxAttempts: 5}}}")

    run = await runs.start(text)

    assert (await runs.ended(run)).status == "completed"
    assert [task.attempt for task in runs.desk.tasks] == [1, 2, 3, 4]


@pytest.mark.parametrize("code", ["auth_denied", "invalid"])
async def test_failures_that_no_retry_mends_are_not_retried(runs: Runs, code: str) -> None:
    """By their code, or by all codes that begin alike."""
    runs.desk.fail("a", code)
    text = one("retry: {maxAttempts: 5, delay: 1ms, nonRetryable: ['auth_*', invalid]}")

    run = await runs.start(text)

    assert (await runs.error(run)).details["code"] == code
    assert len(runs.desk.tasks) == 1


async def test_a_failure_that_says_so_itself_is_not_retried(runs: Runs) -> None:
    """The worker knows best."""

    async def hopeless(task: StepScheduled) -> Outcome:
        del task
        return StepFailed(error=Failure(code="gone", message="gone", retryable=False))

    runs.desk.on("a", hopeless)
    run = await runs.start(one("retry: {maxAttempts: 5, delay: 1ms}"))

    await runs.ended(run)

    assert len(runs.desk.tasks) == 1


async def test_a_wait_that_timed_out_is_waited_for_again_after_its_delay(runs: Runs) -> None:
    """The engine keeps short delays of its own work by the run's timer."""
    text = """
name: w
steps: [{key: hold, wait: {signal: go, timeout: 50ms}, retry: {maxAttempts: 2, delay: 60ms}}]
"""
    run = await runs.start(text)

    await runs.ended(run)

    story = await runs.story(run)
    assert [e for e in story if "waiting" in e] == ["step.hold.1.waiting", "step.hold.2.waiting"]


async def test_an_output_that_violates_its_schema_is_tried_again(runs: Runs) -> None:
    """It does not count; the next attempt's does."""

    async def better(task: StepScheduled) -> Outcome:
        return StepCompleted(output=inline({"n": task.attempt if task.attempt > 1 else "one"}))

    runs.desk.on("a", better)
    schema = "{type: object, properties: {n: {type: integer}}}"
    run = await runs.start(one(f"outputSchema: {schema}, retry: {{maxAttempts: 2, delay: 1ms}}"))

    assert await runs.output(run) == {"a": {"n": 2}}
    assert "step.a.2.checked" in await runs.story(run)


async def test_an_output_that_violates_its_schema_for_good_parks_the_run(runs: Runs) -> None:
    """The reason says what is wrong; once the worker is mended, a resume is enough."""

    async def wrong(task: StepScheduled) -> Outcome:
        del task
        return StepCompleted(output=inline({"n": "one"}))

    runs.desk.on("a", wrong)
    run = await runs.start(one("outputSchema: {type: object, properties: {n: {type: integer}}}"))
    parked = await runs.event(run, "parked.1", RunParked)

    async def right(task: StepScheduled) -> Outcome:
        del task
        return StepCompleted(output=inline({"n": 1}))

    runs.desk.on("a", right)
    await runs.call(registry.RESUME_RUN, ResumeRun(run=run))

    assert (parked.code, parked.step) == ("schema_violation", "a")
    assert "/n" in parked.message or "integer" in parked.message
    assert await runs.output(run) == {"a": {"n": 1}}
