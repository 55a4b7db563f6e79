"""Control on a real broker: are runs paused, resumed, cancelled and terminated as asked?"""

import asyncio

import pytest
from support.runs import Outcome, Runs, echo
from support.wait import until

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    PauseRun,
    ResumeRun,
    ResumeRuns,
    RunsResumed,
    RunState,
    SignalRun,
    TerminateRun,
)
from segue_contracts.v1.runs import CancelRequested, RunParked, RunPaused, RunResumed, RunUnparked
from segue_contracts.v1.steps import StepFailed, StepScheduled, StepWaiting
from segue_contracts.v1.topology import WAITS
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.policies import CANCEL_GRACE_MS
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal

CHAIN = """
name: chain
steps:
  - {key: first, pool: POOL, with: {n: 1}}
  - {key: second, pool: POOL, dependsOn: [first], with: {n: "{{ first.n }}"}}
"""
WAITING = "{name: waiting, steps: [{key: hold, wait: {signal: go}}]}"
BROKEN = """
name: broken
steps:
  - {key: a, pool: POOL, retry: {maxAttempts: 2, delay: 1ms, onExhausted: park}}
"""


async def pause(runs: Runs, run: str) -> RunState:
    """Pause a run."""
    answer: RunState = await runs.call(
        registry.PAUSE_RUN, PauseRun(run=run, reason="lunch", by="ann")
    )
    return answer


async def resume(runs: Runs, run: str) -> RunState:
    """Resume a run."""
    answer: RunState = await runs.call(registry.RESUME_RUN, ResumeRun(run=run, by="ann"))
    return answer


async def cancel(runs: Runs, run: str) -> CancelAccepted:
    """Cancel a run."""
    answer: CancelAccepted = await runs.call(
        registry.CANCEL_RUN, CancelRun(run=run, reason="enough", by="ann")
    )
    return answer


async def terminate(runs: Runs, run: str) -> RunState:
    """Terminate a run."""
    answer: RunState = await runs.call(
        registry.TERMINATE_RUN, TerminateRun(run=run, reason="now", by="ann")
    )
    return answer


async def test_a_paused_run_finishes_what_is_in_flight_and_schedules_nothing(runs: Runs) -> None:
    """The outcome in flight counts; the next step comes after the resume only."""
    runs.desk.hold("first")
    run = await runs.start(CHAIN)
    await runs.desk.came("first")

    paused = await pause(runs, run)
    runs.desk.release("first")
    await until(lambda: _is_settled(runs, run, "first"))
    held = await runs.view(run)
    resumed = await resume(runs, run)
    end = await runs.ended(run)

    assert (paused.status, paused.changed) == ("paused", True)
    assert [step.status for step in held.steps] == ["completed", "pending"]
    assert (resumed.changed, end.status) == (True, "completed")
    story = await runs.story(run)
    assert story.index("resumed.2") < story.index("step.second.1.scheduled")
    told = await runs.event(run, "paused.1", RunPaused)
    assert (told.reason, told.by) == ("lunch", "ann")


async def _is_settled(runs: Runs, run: str, step: str) -> bool:
    return any(
        event.startswith(f"step.{step}.") and "outcome" in event for event in await runs.story(run)
    )


async def test_pausing_and_resuming_again_changes_nothing(runs: Runs) -> None:
    """Two pauses in a row are one; a run that goes on is not resumed."""
    run = await runs.start(WAITING)

    answers = [await ask(runs, run) for ask in (pause, pause, resume, resume, pause)]

    assert [answer.changed for answer in answers] == [True, False, True, False, True]
    assert [answer.status for answer in answers[:2]] == ["paused", "paused"]
    standing = [event for event in await runs.story(run) if event[:6] in {"paused", "resume"}]
    assert standing == ["paused.1", "resumed.2", "paused.3"]


async def test_many_who_pause_at_once_pause_once(runs: Runs) -> None:
    """Whoever loses the race reads again and finds the run paused."""
    run = await runs.start(WAITING)

    answers = await asyncio.gather(*(pause(runs, run) for _ in range(10)))

    assert [answer.changed for answer in answers].count(True) == 1
    assert {answer.status for answer in answers} == {"paused"}
    assert [e for e in await runs.story(run) if e.startswith("paused")] == ["paused.1"]


async def test_timers_and_signals_wait_for_the_resume(runs: Runs) -> None:
    """A wait that is over, and a signal that came, take effect once the run goes on."""
    text = """
name: w
steps:
  - {key: nap, wait: {duration: 50ms}}
  - {key: word, wait: {signal: go}}
"""
    run = await runs.start(text)
    await runs.event(run, "step.nap.1.waiting", StepWaiting)
    await pause(runs, run)
    await runs.call(registry.SIGNAL_RUN, SignalRun(run=run, name="go", payload=7))
    await until(lambda: _has(runs, run, "timer."))
    held = await runs.view(run)
    await resume(runs, run)
    end = await runs.ended(run)

    assert {step.status for step in held.steps} == {"waiting"}
    assert end.status == "completed"
    assert (await runs.view(run)).status == "completed"


async def _has(runs: Runs, run: str, prefix: str) -> bool:
    return any(event.startswith(prefix) for event in await runs.story(run))


async def test_a_retry_of_a_paused_run_is_dispatched_after_the_resume(runs: Runs) -> None:
    """An attempt that fails while the run is paused is not followed by another yet."""
    proceed = asyncio.Event()

    async def fail_once(task: StepScheduled) -> Outcome:
        if task.attempt > 1:
            return await echo(task)
        await proceed.wait()
        return StepFailed(error=Failure(code="boom", message="it broke"))

    runs.desk.on("a", fail_once)
    text = "{name: w, steps: [{key: a, pool: POOL, retry: {maxAttempts: 2, delay: 1ms}}]}"
    run = await runs.start(text)
    await runs.desk.came("a")
    await pause(runs, run)
    proceed.set()
    await runs.event(run, "step.a.1.outcome.failed", StepFailed)

    await resume(runs, run)

    assert (await runs.ended(run)).status == "completed"
    story = await runs.story(run)
    assert story.index("resumed.2") < story.index("step.a.2.scheduled")


async def test_an_ended_run_is_neither_paused_nor_resumed(runs: Runs) -> None:
    """The refusal names the way out: a fork."""
    run = await runs.start(CHAIN)
    await runs.ended(run)

    for ask in (pause, resume):
        with pytest.raises(RefusedError, match=f"segue run fork {run}") as caught:
            await ask(runs, run)
        assert caught.value.refused.code == "conflict"


async def test_a_run_that_does_not_exist_is_not_found(runs: Runs) -> None:
    """Every command says so."""
    for ask in (pause, resume, cancel, terminate):
        with pytest.raises(RefusedError, match="no run 'nosuchrun'"):
            await ask(runs, "nosuchrun")


async def test_a_parked_run_goes_on_after_a_resume(runs: Runs) -> None:
    """Exhausted attempts park the run; the step is tried once more after the fix."""
    runs.desk.fail("a", times=2)
    run = await runs.start(BROKEN)
    parked = await runs.event(run, "parked.1", RunParked)

    answer = await resume(runs, run)
    end = await runs.ended(run)

    assert (parked.code, parked.step) == ("retries_exhausted", "a")
    assert (answer.changed, end.status) == (True, "completed")
    assert (await runs.event(run, "unparked.2", RunUnparked)).by == "ann"
    assert "step.a.3.outcome.completed" in await runs.story(run)


async def test_a_run_that_is_parked_again_is_numbered_on(runs: Runs) -> None:
    """Parking and going on alternate, and no number is used twice."""
    runs.desk.fail("a", times=3)
    run = await runs.start(BROKEN)
    await runs.event(run, "parked.1", RunParked)
    await resume(runs, run)
    await runs.event(run, "parked.3", RunParked)

    await resume(runs, run)

    assert (await runs.ended(run)).status == "completed"
    assert [e for e in await runs.story(run) if "parked" in e] == [
        "parked.1",
        "unparked.2",
        "parked.3",
        "unparked.4",
    ]


async def test_a_resume_lifts_both_parking_and_pausing(runs: Runs) -> None:
    """One command lets a run go on that was paused when it parked."""
    runs.desk.fail("a", times=2)
    run = await runs.start(BROKEN)
    await runs.event(run, "parked.1", RunParked)
    await pause(runs, run)

    answer = await resume(runs, run)

    assert answer.changed
    assert await runs.event(run, "resumed.2", RunResumed)
    assert (await runs.ended(run)).status == "completed"


async def test_parked_runs_are_resumed_in_bulk_by_their_reason(runs: Runs) -> None:
    """Only runs that fit go on; a dry call tells which, and the limit holds."""
    name = f"bulk-{runs.pool}"
    text = BROKEN.replace("broken", name)
    runs.desk.fail("a", times=2)
    parked = []
    for _ in range(3):
        parked.append(await runs.start(text))
        await runs.event(parked[-1], "parked.1", RunParked)

    async def ask(**fields: object) -> RunsResumed:
        request = ResumeRuns(workflow=name, **fields)  # type: ignore[arg-type]
        answer: RunsResumed = await runs.call(registry.RESUME_RUNS, request)
        return answer

    assert (await ask(code="too_large")).runs == []
    assert (await ask(code="too_large", dry=True)).runs == []
    assert (await ask(status="paused")).runs == []
    assert (await ask(dry=True)).runs == parked
    first = await ask(limit=2, code="retries_exhausted")
    rest = await ask()

    assert (first.runs, first.more) == (parked[:2], True)
    assert (rest.runs, rest.more) == (parked[2:], False)
    for run in parked:
        assert (await runs.ended(run)).status == "completed"


async def test_cancelling_stops_what_is_in_flight(runs: Runs) -> None:
    """The worker is told, gives up, and the run ends cancelled with the reason."""
    runs.desk.until_stopped("first")
    run = await runs.start(CHAIN)
    await runs.desk.came("first")

    answer = await cancel(runs, run)
    error = await runs.error(run)

    assert not answer.already_ended
    assert (error.code, error.message) == ("cancelled", "enough")
    assert (await runs.event(run, "cancel_requested", CancelRequested)).by == "ann"
    assert "step.first.1.outcome.cancelled" in await runs.story(run)
    assert (await cancel(runs, run)).already_ended


@pytest.mark.parametrize("held_back", ["waiting", "paused", "parked", "retrying"])
async def test_a_run_is_cancelled_wherever_it_stands(runs: Runs, held_back: str) -> None:
    """Nothing that holds a run back keeps it from ending."""
    texts = {
        "parked": BROKEN,
        "retrying": "{name: w, steps: [{key: a, pool: POOL, retry: {maxAttempts: 2, delay: 10m, "
        "maxDelay: 10m}}]}",
    }
    runs.desk.fail("a")
    run = await runs.start(texts.get(held_back, WAITING))
    if held_back == "paused":
        await pause(runs, run)
    await runs.is_at(run, held_back)

    await cancel(runs, run)
    await runs.ended(run)

    view = await runs.view(run)
    assert view.status == "cancelled"
    assert view.ended_ms - view.started_ms < CANCEL_GRACE_MS


async def test_a_wait_of_a_cancelled_run_is_no_longer_listed(runs: Runs) -> None:
    """The wait ends with the run, and leaves the index."""
    run = await runs.start(WAITING)
    await runs.is_at(run, "waiting")

    await cancel(runs, run)
    await runs.ended(run)

    assert "step.hold.1.outcome.cancelled" in await runs.story(run)
    assert await until(lambda: _unlisted(runs, run))


async def _unlisted(runs: Runs, run: str) -> bool:
    stored = await Journal(runs.bus, f"KV_{WAITS}").last([f"$KV.{WAITS}.default.*.*.{run}.>"])
    return all(not message.data for message in stored)


async def test_terminating_waits_for_nobody(runs: Runs) -> None:
    """What is in flight is given up without an outcome; waits leave the index."""
    runs.desk.hold("first")
    text = CHAIN + "  - {key: hold, wait: {signal: go}}\n"
    run = await runs.start(text)
    await runs.desk.came("first")
    await runs.event(run, "step.hold.1.waiting", StepWaiting)

    answer = await terminate(runs, run)
    end = await runs.ended(run)
    runs.desk.release("first")

    assert answer.changed
    assert (end.status, (await runs.error(run)).code) == ("cancelled", "terminated")
    assert await until(lambda: _unlisted(runs, run))
    again = await terminate(runs, run)
    assert (again.status, again.changed) == ("cancelled", False)
