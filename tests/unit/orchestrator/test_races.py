"""Races: what is stored when two decide, or act, at once?"""

import pytest
from support.journal import World, workflow_of
from support.owners import Owner, echo, finish, outcome

from segue_contracts.v1 import runs, subjects
from segue_orchestrator.core.entries import JournalEvent
from segue_orchestrator.core.invariants import check_journal

ONE = "{name: w, steps: [{key: a, pool: p, timeout: 10s}]}"


def outcomes(world: World, run: str) -> list[str]:
    """Return the outcomes that a run's journal holds."""
    events = [subjects.parse_step_event(event.entry.event) for event in world.journals[run]]
    return [event.rest[0] for event in events if event is not None and event.what == "outcome"]


def test_a_worker_that_was_quicker_than_the_timeout_counts_alone() -> None:
    """The engine decides on what it has folded; its own outcome is refused."""
    world = World(workflow_of(ONE))
    run, owner = world.start("w"), Owner(world, batch=1)
    owner.settle_all()
    [task] = world.open_tasks()
    world.fire()
    world.settle(task, echo(task))

    owner.work(run, events=1)
    owner.settle_all()

    assert outcomes(world, run) == ["completed"]
    assert outcome(world, run).status == "completed"


def test_a_worker_that_comes_after_the_timeout_is_refused() -> None:
    """Whatever it says, the attempt has its outcome."""
    world = World(workflow_of(ONE))
    run, owner = world.start("w"), Owner(world)
    owner.settle_all()
    [task] = world.open_tasks()
    world.fire()
    owner.settle_all()

    assert not world.settle(task, echo(task))
    assert outcomes(world, run) == ["timed_out"]


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_an_owner_that_dies_amid_storing_is_made_up_for(stored: int) -> None:
    """Whoever comes next stores the rest, and nothing twice."""
    world = World(workflow_of("{name: w, steps: [{key: a, pool: p}, {key: b, pool: p}]}"))
    run = world.start("w")
    Owner(world).work(run, stored=stored)

    finish(world, Owner(world))

    entries = [event.entry for event in world.journals[run][1:]]
    assert check_journal(lambda: world.started(run), world.plan(run), entries)[1] == []
    assert len(entries) == 5


def test_two_owners_store_each_event_once() -> None:
    """Both decide on everything, and the journal is as of one."""
    world = World(
        workflow_of("{name: w, steps: [{key: a, pool: p}, {key: b, dependsOn: [a], pool: p}]}")
    )
    run, owners = world.start("w"), (Owner(world), Owner(world))
    while run not in world.ended:
        for owner in owners:
            owner.settle_all()
        for task in world.open_tasks():
            world.settle(task, echo(task))

    assert len(world.log) == 6


def test_a_run_is_not_cancelled_over_work_that_its_owner_has_not_read_of() -> None:
    """What was dispatched before the cancel was read is waited for, and undone."""
    text = """
name: w
compensateOn: [cancelled]
steps: [{key: a, pool: p, compensate: {pool: u}}]
"""
    world = World(workflow_of(text))
    run, quick, slow = world.start("w"), Owner(world), Owner(world)
    for owner in (quick, slow):
        owner.fold(run)
    world.publish(run, "cancel_requested", runs.CancelRequested())
    quick.work(run, events=0)
    [task] = world.open_tasks()
    world.settle(task, echo(task))

    slow.work(run, events=2)  # the start again, and the cancel
    finish(world, slow)

    assert outcome(world, run).status == "cancelled"
    done = [event.entry.event[1] for event in world.journals[run] if _is_done(event)]
    assert done == ["a", "a~undo"]


def _is_done(event: JournalEvent) -> bool:
    return event.entry.event[3:] == ("outcome", "completed")


def test_a_child_whose_parent_ended_tells_nobody_new() -> None:
    """Its end comes into the parent's journal after the end, and changes nothing."""
    sub = "{name: sub, steps: [{key: s, pool: p}]}"
    world = World(workflow_of("{name: w, steps: [{key: a, workflow: sub}]}"), workflow_of(sub))
    run, owner = world.start("w"), Owner(world)
    owner.settle_all()
    world.publish(run, "terminate_requested", runs.TerminateRequested())

    finish(world, owner)

    entries = [event.entry for event in world.journals[run][1:]]
    assert entries[-1].event[0] == "child"
    assert check_journal(lambda: world.started(run), world.plan(run), entries)[1] == []
