"""Concurrency and rates on a real broker: how many runs with one key go on at once?"""

import pytest
from support.runs import Runs

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import CancelRun, ListWaits, TerminateRun, WaitList
from segue_contracts.v1.runs import RunEnded


def exclusive(policy: str = "queue", limit: int = 1) -> str:
    """Return a definition of which a few runs with the same key go on at once."""
    return f"""
name: exclusive
inputs: {{key: x}}
concurrency: {{key: "{{{{ inputs.key }}}}", limit: {limit}, policy: {policy}}}
steps: [{{key: work, pool: POOL, with: {{key: "{{{{ inputs.key }}}}"}}}}]
"""


async def test_one_run_too_many_waits_until_another_has_ended(runs: Runs) -> None:
    """It is queued, listed as waiting for the lease, and then goes on; other keys are free."""
    key = {"key": runs.pool}
    runs.desk.hold("work")
    first = await runs.start(exclusive(), inputs=key)
    await runs.desk.came("work")
    second = await runs.start(exclusive(), inputs=key)
    view = await runs.is_at(second, "waiting")
    other = await runs.start(exclusive(), inputs={"key": f"{runs.pool}-other"})
    await runs.desk.came("work", times=2)
    listed: WaitList = await runs.call(registry.LIST_WAITS, ListWaits(kind="lease", name=runs.pool))

    assert [wait.kind for wait in view.waits] == ["lease"]
    assert [wait.run for wait in listed.waits] == [second]
    assert [task.run for task in runs.desk.tasks] == [first, other]
    runs.desk.release("work")
    for run in (first, other, second):
        assert (await runs.ended(run)).status == "completed"


async def test_waiting_runs_go_on_in_the_order_in_which_they_came(runs: Runs) -> None:
    """Nobody overtakes, and as many go on as the limit says."""
    key = {"key": runs.pool}
    runs.desk.hold("work")
    held = [await runs.start(exclusive(limit=2), inputs=key) for _ in range(2)]
    await runs.desk.came("work", times=2)
    queued = []
    for _ in range(3):
        queued.append(await runs.start(exclusive(limit=2), inputs=key))
        await runs.is_at(queued[-1], "waiting")

    runs.desk.release("work")
    for run in (*held, *queued):
        await runs.ended(run)

    assert {task.run for task in runs.desk.tasks[:2]} == set(held)
    assert [task.run for task in runs.desk.tasks[2:]] == queued


async def test_the_newest_run_is_cancelled_where_the_policy_says_so(runs: Runs) -> None:
    """The one that goes on is not touched."""
    key = {"key": runs.pool}
    runs.desk.hold("work")
    first = await runs.start(exclusive("cancelNewest"), inputs=key)
    await runs.desk.came("work")

    error = await runs.error(await runs.start(exclusive("cancelNewest"), inputs=key))
    runs.desk.release("work")

    assert error.code == "cancelled"
    assert f"1 runs with concurrency key '{runs.pool}'" in error.message
    assert (await runs.ended(first)).status == "completed"


async def test_the_running_run_is_cancelled_where_the_policy_says_so(runs: Runs) -> None:
    """The newest takes its place once it has ended."""
    key = {"key": runs.pool}
    runs.desk.until_stopped("work")
    first = await runs.start(exclusive("cancelRunning"), inputs=key)
    await runs.desk.came("work")
    runs.desk.hold("work")

    second = await runs.start(exclusive("cancelRunning"), inputs=key)
    end = await runs.ended(first)
    runs.desk.release("work")

    assert end.status == "cancelled"
    assert second in (await runs.error(first)).message
    assert (await runs.ended(second)).status == "completed"


@pytest.mark.parametrize("how", ["cancel", "terminate"])
async def test_a_run_that_is_stopped_gives_its_place_to_the_next(runs: Runs, how: str) -> None:
    """Whether it held the lease or waited for it."""
    key = {"key": runs.pool}
    runs.desk.until_stopped("work")
    first = await runs.start(exclusive(), inputs=key)
    await runs.desk.came("work")
    gone = await runs.start(exclusive(), inputs=key)
    await runs.is_at(gone, "waiting")
    last = await runs.start(exclusive(), inputs=key)
    await runs.is_at(last, "waiting")
    runs.desk.hold("work")

    ends = [await _stopped(runs, run, how) for run in (gone, first)]
    runs.desk.release("work")

    assert [end.status for end in ends] == ["cancelled", "cancelled"]
    assert (await runs.ended(last)).status == "completed"


async def _stopped(runs: Runs, run: str, how: str) -> RunEnded:
    if how == "cancel":
        await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    else:
        await runs.call(registry.TERMINATE_RUN, TerminateRun(run=run))
    return await runs.ended(run)


async def test_a_rate_lets_the_next_run_start_when_its_time_has_come(runs: Runs) -> None:
    """Two at once are one too many, though the first has long ended."""
    text = """
name: limited
inputs: {key: x}
rate: {key: "{{ inputs.key }}", limit: 1, per: 400ms}
steps: [{key: work, pool: POOL}]
"""
    first = await runs.start(text, inputs={"key": runs.pool})
    await runs.ended(first)
    second = await runs.start(text, inputs={"key": runs.pool})
    held = await runs.is_at(second, "waiting")
    await runs.ended(second)

    assert [wait.kind for wait in held.waits] == ["lease"]
    began = [(await runs.view(run)).steps[0].scheduled_ms for run in (first, second)]
    assert began[1] - began[0] >= 350
