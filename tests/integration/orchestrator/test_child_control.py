"""Child runs on a real broker: does what stops a run stop the runs below it?"""

import pytest
from support.runs import Outcome, Runs, echo

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import CancelRun, PauseRun, SaveWorkflow, TerminateRun
from segue_contracts.v1.steps import StepFailed, StepScheduled
from segue_contracts.v1.values import Failure

CHILD = """
name: NAME
version: 1.0.0
steps: [{key: work, pool: POOL}]
"""
PARENT = """
name: parent
steps: [{key: below, workflow: NAME, LIMITS}]
"""


async def started(runs: Runs, limits: str = "retry: {maxAttempts: 1}") -> tuple[str, str]:
    """Start a run whose step is another run, and return both once the other is at work."""
    name = f"child-{runs.pool}"
    text = CHILD.replace("NAME", name).replace("POOL", runs.pool)
    await runs.call(registry.SAVE_WORKFLOW, SaveWorkflow(text=text))
    run = await runs.start(PARENT.replace("NAME", name).replace("LIMITS", limits))
    child = (await runs.desk.came("work")).run
    return run, child


@pytest.mark.parametrize("how", ["cancel", "terminate"])
async def test_stopping_a_run_stops_the_run_below_it(runs: Runs, how: str) -> None:
    """The reason flows down, and the worker is told."""
    runs.desk.until_stopped("work")
    run, child = await started(runs)

    if how == "cancel":
        await runs.call(registry.CANCEL_RUN, CancelRun(run=run, reason="enough"))
    else:
        await runs.call(registry.TERMINATE_RUN, TerminateRun(run=run, reason="enough"))

    for one in (run, child):
        assert (await runs.ended(one)).status == "cancelled"
        assert (await runs.error(one)).message == "enough"


async def test_a_child_run_that_takes_too_long_is_cancelled(runs: Runs) -> None:
    """The step's limit ends the wait for it, and the child itself."""
    runs.desk.until_stopped("work")
    run, child = await started(runs, "timeout: 300ms")

    assert (await runs.error(run)).details["code"] == "timeout"
    assert (await runs.ended(child)).status == "cancelled"


async def test_a_child_run_that_takes_too_long_is_cancelled_though_its_parent_is_paused(
    runs: Runs,
) -> None:
    """A pause keeps nothing in flight alive."""
    runs.desk.until_stopped("work")
    run, child = await started(runs, "timeout: 400ms")
    await runs.call(registry.PAUSE_RUN, PauseRun(run=run))

    assert (await runs.ended(child)).status == "cancelled"
    assert (await runs.is_at(run, "paused")).steps[0].status == "timed_out"


async def test_a_child_run_is_tried_again_after_a_short_delay(runs: Runs) -> None:
    """A failed child is followed by another, though no worker keeps the delay."""
    failed: list[str] = []

    async def fails_once(task: StepScheduled) -> Outcome:
        if not failed:
            failed.append(task.run)
            return StepFailed(error=Failure(code="boom", message="it broke"))
        return await echo(task)

    runs.desk.on("work", fails_once)
    run, first = await started(runs, "retry: {maxAttempts: 2, delay: 50ms}")

    assert (await runs.ended(run)).status == "completed"
    assert (await runs.ended(first)).status == "failed"
    tried = [task.run for task in runs.desk.tasks]
    assert tried[0] == first
    assert len(set(tried)) == 2
