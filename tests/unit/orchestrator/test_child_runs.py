"""Child runs: how does a step's work become a run of its own, and its end the step's outcome?"""

import pytest
from support.history import PAUSED, SUB, History, child_ended, child_started, fired
from support.journal import T0, World, workflow_of
from support.owners import Owner, finish, outcome

from segue_contracts.payload import Value
from segue_contracts.v1 import runs
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.effects import Launch, Park, StartChild, StopChild, TellParent, TimeOut
from segue_orchestrator.core.evolve import touch_all
from segue_orchestrator.core.policies import MAX_DEPTH
from segue_orchestrator.core.progress import child_run
from segue_orchestrator.core.state import OutputAt

ONE = "{name: w, steps: [{key: a, workflow: sub, with: {x: 5}}]}"
TIMED = "{name: w, steps: [{key: a, workflow: sub, timeout: 10s}]}"


def test_a_step_hands_its_work_to_a_run_of_its_own() -> None:
    """Which run and which definition is fixed by an event of the parent's journal."""
    run = History(ONE)

    [effect] = run.then()

    assert effect == StartChild(
        step=run.plan.steps["a"],
        token="a",
        attempt=1,
        run=child_run(run.run, "a", 1),
        definition=run.world.children["sub"],
        input={"x": 5},
    )


def test_the_child_is_started_once_its_start_is_told() -> None:
    """Its inputs lie in the parent's event; whoever looks again starts the same."""
    run = History(ONE).given(child_started("a", inputs=Value(inline={"x": 5})))

    [launch] = run.then()

    assert isinstance(launch, Launch)
    assert (launch.run, launch.inputs) == ("child00001", OutputAt(2))
    touch_all(run.decided().state, run.plan)
    assert run.then() == [launch]


def test_a_childs_outputs_are_the_steps() -> None:
    """A parent and its child go through together, and usage adds up."""
    world = World(workflow_of(ONE), workflow_of(SUB))
    run = world.start("w")

    finish(world, Owner(world))

    end = outcome(world, run)
    assert end.status == "completed"
    assert end.output == Value(inline={"a": {"s": {"token": "s", "given": {"x": 5}}}})
    assert end.usage == UsageTotals(input_tokens=1, cost_usd="0.01")
    assert [event.place.run for event in world.journals[child_run(run, "a", 1)]][:1] != [run]


def test_a_childs_inputs_have_the_defaults_of_its_definition() -> None:
    """What the step does not give is as declared."""
    world = World(workflow_of("{name: w, steps: [{key: a, workflow: sub}]}"), workflow_of(SUB))
    run = world.start("w")

    finish(world, Owner(world))

    assert outcome(world, run).output == Value(
        inline={"a": {"s": {"token": "s", "given": {"x": 1}}}}
    )


@pytest.mark.parametrize(
    ("status", "fields", "code"),
    [
        ("failed", {"error": Failure(code="boom", message="it broke")}, "child_failed"),
        ("cancelled", {"error": Failure(code="cancelled", message="no")}, "child_cancelled"),
        ("cancelled", {}, "child_failed"),
        ("completed", {}, "child_failed"),
    ],
)
def test_a_child_that_did_not_complete_fails_the_step(
    status: runs.EndStatus, fields: dict[str, Failure], code: str
) -> None:
    """Why is told with the run that it was; without outputs nothing is complete."""
    run = History(ONE).given(child_started("a"), child_ended("a", status, **fields))

    error = run.state.step("a").error

    assert error is not None
    assert error.code == code
    assert "child00001" in error.message


def test_a_failed_child_is_tried_again_as_another_run() -> None:
    """An older child's end comes too late to count."""
    text = "{name: w, steps: [{key: a, workflow: sub, retry: {maxAttempts: 2, delay: 0s}}]}"
    run = History(text).given(child_started("a"), child_ended("a", "failed"))

    [effect] = run.then()
    run.decided().given(child_started("a", 2), child_ended("a", "completed", output=Value()))

    assert isinstance(effect, StartChild)
    assert effect.run == child_run(run.run, "a", 2)
    assert run.state.step("a").status == "running"


def test_an_end_that_comes_twice_counts_once() -> None:
    """A settled attempt stays as it is."""
    done = child_ended("a", "failed")
    retry = "{name: w, steps: [{key: a, workflow: sub, retry: {maxAttempts: 2, delay: 1s}}]}"
    run = History(retry).given(child_started("a"), done)
    status = run.state.step("a").status

    run.given(("child.other.ended", done[1]))
    run.given(("child.again.started", child_started("a")[1]))

    assert run.state.step("a").status == status == "retrying"


def test_a_child_whose_parents_step_is_settled_changes_nothing() -> None:
    """Neither its start nor its end."""
    run = History(ONE).given(
        child_started("a"), child_ended("a", "completed", output=Value(inline={}))
    )

    run.given(child_started("a", 2))

    assert run.state.step("a").status == "completed"


def test_a_child_that_takes_too_long_is_stopped() -> None:
    """The attempt times out, and its run is asked to stop, started first if it was not."""
    run = History(TIMED).given(child_started("a", deadline_ms=T0 + 10_000))

    effects = run.given(fired(10_000), at_ms=10_000).then()

    assert {type(effect) for effect in effects} == {Launch, StopChild, TimeOut}


def test_a_paused_runs_child_is_stopped_when_its_time_is_over() -> None:
    """Limits go on while a run is paused."""
    run = History(TIMED).given(child_started("a", deadline_ms=T0 + 10_000), PAUSED).decided()

    effects = run.given(fired(10_000), at_ms=10_000).then()

    assert {type(effect) for effect in effects} == {Launch, StopChild, TimeOut}


def test_a_workflow_that_was_not_there_at_the_start_parks_the_run() -> None:
    """References mean what they meant when the run began."""
    run = History("{name: w, steps: [{key: a, workflow: other}]}")

    [park] = run.then()

    assert isinstance(park, Park)
    assert park.code == "definition_missing"


def test_a_run_too_far_down_starts_no_further_one() -> None:
    """A workflow that starts itself ends somewhere."""
    run = History(ONE, depth=MAX_DEPTH)

    [park] = run.then()

    assert isinstance(park, Park)
    assert park.code == "too_deep"


def test_an_ended_child_tells_its_parent() -> None:
    """Also when later events hide that its end was the newest."""
    parent = runs.ParentRun(run="parent01", step="a", attempt=1)
    ended = runs.RunEnded(status="completed", output=Value(inline={}))
    run = History(SUB, parent=parent).given(("ended", ended))
    tell = TellParent(parent, ended)

    assert run.then() == [tell]
    assert run.given(("signal.1", runs.SignalReceived(name="x"))).then() == [tell]


def test_a_childs_id_is_its_parents_and_tells_where_it_belongs() -> None:
    """The same whoever computes it, and another for each attempt."""
    first = child_run("0123456789abcdef", "a", 1)

    assert first == child_run("0123456789abcdef", "a", 1)
    assert first.startswith("0123456789")
    assert first != child_run("0123456789abcdef", "a", 2)
