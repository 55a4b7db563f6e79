"""Compensation on a real broker: are finished steps undone when a run fails or is cancelled?"""

from support.runs import Runs

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import CancelRun, PauseRun, ResumeRun
from segue_contracts.v1.runs import RunParked

SAGA = """
name: saga
steps:
  - {key: book, pool: POOL, with: {id: 7},
     compensate: {pool: POOL, with: {cancel: "{{ steps.book.output.id }}"}}}
  - {key: pay, pool: POOL, dependsOn: [book], compensate: {pool: POOL}}
  - {key: ship, pool: POOL, dependsOn: [pay], compensate: {pool: POOL}}
"""


def undone(runs: Runs) -> list[str]:
    """Return the steps that were undone, in order."""
    return [task.step for task in runs.desk.tasks if task.compensates]


async def test_a_failed_run_undoes_its_finished_steps_the_last_first(runs: Runs) -> None:
    """Only what completed is undone, with its own output at hand, and the run still fails."""
    runs.desk.fail("ship")
    run = await runs.start(SAGA)

    error = await runs.error(run)

    assert undone(runs) == ["pay~undo", "book~undo"]
    assert runs.desk.tasks[-1].input.inline == {"cancel": 7}
    assert runs.desk.tasks[-1].compensates == "book"
    assert error.details == {"step": "ship", "code": "boom"}
    assert "step.book~undo.1.outcome.completed" in await runs.story(run)


async def test_items_of_a_repeated_step_are_undone_each(runs: Runs) -> None:
    """The last to complete is the first to be undone, and every one knows its item."""
    text = """
name: saga
inputs: {rooms: [x, y, z]}
steps:
  - key: book
    forEach: {items: "{{ inputs.rooms }}", maxConcurrency: 1}
    pool: POOL
    with: {room: "{{ item }}"}
    compensate: {pool: POOL, with: {room: "{{ item }}"}}
  - {key: pay, pool: POOL, dependsOn: [book]}
"""
    runs.desk.fail("pay")
    run = await runs.start(text)

    await runs.ended(run)

    assert undone(runs) == ["book~2~undo", "book~1~undo", "book~0~undo"]
    given = [task.input.inline for task in runs.desk.tasks if task.compensates]
    assert given == [{"room": "z"}, {"room": "y"}, {"room": "x"}]


async def test_a_cancelled_run_undoes_its_steps_where_that_is_asked_for(runs: Runs) -> None:
    """The work in flight is stopped first."""
    runs.desk.until_stopped("ship")
    run = await runs.start(SAGA + "compensateOn: [failed, cancelled]\n")
    await runs.desk.came("ship")

    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    end = await runs.ended(run)

    assert end.status == "cancelled"
    assert undone(runs) == ["pay~undo", "book~undo"]
    story = await runs.story(run)
    assert story.index("step.ship.1.outcome.cancelled") < story.index("step.pay~undo.1.scheduled")


async def test_a_cancelled_run_undoes_nothing_unless_asked(runs: Runs) -> None:
    """By default only failed runs are undone."""
    runs.desk.until_stopped("ship")
    run = await runs.start(SAGA)
    await runs.desk.came("ship")

    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    await runs.ended(run)

    assert undone(runs) == []


async def test_a_run_that_undoes_its_steps_does_so_to_the_end_when_cancelled(runs: Runs) -> None:
    """A cancel does not leave half of it done."""
    runs.desk.fail("ship")
    runs.desk.hold("pay~undo")
    run = await runs.start(SAGA)
    await runs.desk.came("pay~undo")

    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    runs.desk.release("pay~undo")
    end = await runs.ended(run)

    assert end.status == "cancelled"
    assert undone(runs) == ["pay~undo", "book~undo"]


async def test_a_parked_run_that_is_cancelled_undoes_its_steps(runs: Runs) -> None:
    """What parked the run does not keep it from being undone."""
    text = SAGA.replace("dependsOn: [pay],", "dependsOn: [pay], retry: {onExhausted: park},")
    runs.desk.fail("ship")
    run = await runs.start(text + "compensateOn: [failed, cancelled]\n")
    await runs.event(run, "parked.1", RunParked)

    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    end = await runs.ended(run)

    assert (end.status, undone(runs)) == ("cancelled", ["pay~undo", "book~undo"])


async def test_a_step_that_cannot_be_undone_parks_the_run_until_it_is_mended(runs: Runs) -> None:
    """It is parked once, tried again after the resume, and the rest is undone then."""
    runs.desk.fail("ship")
    runs.desk.fail("pay~undo", times=1)
    run = await runs.start(SAGA)
    parked = await runs.event(run, "parked.1", RunParked)
    before = undone(runs)

    await runs.call(registry.RESUME_RUN, ResumeRun(run=run))
    end = await runs.ended(run)

    assert parked.code == "compensation_failed"
    assert before == ["pay~undo"]
    assert end.status == "failed"
    assert undone(runs) == ["pay~undo", "pay~undo", "book~undo"]
    assert [e for e in await runs.story(run) if "parked" in e] == ["parked.1", "unparked.2"]


async def test_a_cancelled_run_whose_steps_cannot_be_undone_is_parked_once(runs: Runs) -> None:
    """Parking it does not make it park again and again."""
    runs.desk.until_stopped("ship")
    runs.desk.fail("pay~undo", times=1)
    run = await runs.start(SAGA + "compensateOn: [cancelled]\n")
    await runs.desk.came("ship")
    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))
    await runs.event(run, "parked.1", RunParked)

    await runs.call(registry.PAUSE_RUN, PauseRun(run=run))
    await runs.call(registry.RESUME_RUN, ResumeRun(run=run))
    end = await runs.ended(run)

    assert end.status == "cancelled"
    assert [e for e in await runs.story(run) if "parked" in e] == ["parked.1", "unparked.2"]
