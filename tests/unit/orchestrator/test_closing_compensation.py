"""Closing: how does a run stop early, and how is finished work undone?"""

import pytest
from support.history import (
    CANCEL,
    PARKED,
    PAUSED,
    RESUMED,
    TERMINATE,
    UNPARKED,
    Event,
    History,
    checked,
    child_started,
    completed,
    failed,
    fired,
    mapped,
    scheduled,
    settled,
    waiting,
)
from support.journal import T0

from segue_contracts.v1 import runs, steps
from segue_orchestrator.core.effects import (
    Abandon,
    Check,
    Dispatch,
    Effect,
    End,
    HintCancel,
    Launch,
    Park,
    StartChild,
    StopChild,
)
from segue_orchestrator.core.policies import CANCEL_GRACE_MS

ONE = "{name: w, steps: [{key: a, pool: p}]}"
CHILD = "{name: w, steps: [{key: a, workflow: sub}]}"


def kinds(effects: object) -> list[type[Effect]]:
    """Return the types of effects."""
    return [type(effect) for effect in effects]  # type: ignore[attr-defined]  # a sequence of effects


def test_a_cancelled_run_asks_its_workers_to_stop() -> None:
    """And sets itself a timer for when it has waited long enough."""
    run = History(ONE).given(scheduled("a"), CANCEL)

    assert run.then() == [HintCancel("enough")]
    assert run.arms() == [3 + CANCEL_GRACE_MS]


def test_work_that_does_not_stop_is_given_up_after_the_grace() -> None:
    """The run ends once its attempt is settled."""
    run = History(ONE).given(scheduled("a"), CANCEL).decided()
    run.given(fired(3 + CANCEL_GRACE_MS), at_ms=3 + CANCEL_GRACE_MS)

    assert run.then() == [Abandon(run.plan.steps["a"], "a", 1, "enough")]
    run.decided().given(settled("a", steps.StepCancelled(reason="enough")))
    [end] = run.then()
    assert isinstance(end, End)
    assert (end.status, end.error and end.error.code) == ("cancelled", "cancelled")


def test_a_run_with_nothing_in_flight_is_cancelled_at_once() -> None:
    """Steps that have not begun, or are in backoff, hold nothing."""
    retry = "{name: w, steps: [{key: a, pool: p, retry: {maxAttempts: 2}}]}"
    run = History(retry).given(
        scheduled("a"), failed("a"), ("cancel_requested", runs.CancelRequested())
    )

    [end] = run.then()

    assert isinstance(end, End)
    assert end.error is not None
    assert end.error.message == "cancelled on request"


def test_cancelling_twice_is_cancelling_once() -> None:
    """The grace counts from the first time."""
    run = History(ONE).given(scheduled("a"), CANCEL)

    run.given(("cancel_requested", runs.CancelRequested(reason="again")), at_ms=4_000)

    assert run.then() == [HintCancel("enough")]


def test_a_wait_is_given_up_at_once() -> None:
    """Nobody works on it."""
    run = History("{name: w, steps: [{key: a, wait: {signal: s}}]}")
    run.given(waiting("a", kind="signal", name="s"), CANCEL)

    assert kinds(run.then()) == [Abandon, HintCancel]


def test_a_child_run_is_asked_to_stop_and_waited_for() -> None:
    """It is started first if it was not, so that there is somebody who can stop."""
    run = History(CHILD).given(child_started("a"), CANCEL)

    assert kinds(run.then()) == [Launch, StopChild, HintCancel]
    run.decided().given(fired(9_000), at_ms=9_000)
    assert kinds(run.then()) == [Launch, StopChild]


def test_a_terminated_run_ends_at_once() -> None:
    """Its child runs too, whatever they do."""
    run = History(CHILD).given(child_started("a"), TERMINATE)

    hint, launch, stop, end = run.then()

    assert isinstance(hint, HintCancel)
    assert isinstance(launch, Launch)
    assert stop == StopChild("child00001", "terminated on request", at_once=True)
    assert isinstance(end, End)
    assert (end.status, end.error and end.error.code) == ("cancelled", "terminated")


def test_a_paused_or_parked_run_can_be_cancelled() -> None:
    """It ends without going on first."""
    assert kinds(History(ONE).given(PAUSED, CANCEL).then()) == [End]
    assert kinds(History(ONE).given(PARKED, CANCEL).then()) == [End]


@pytest.mark.parametrize("stop", [CANCEL, fired(60_001)], ids=["cancel", "timeout"])
def test_a_run_that_stops_early_ends_on_the_whole_of_its_journal(stop: Event) -> None:
    """What was stored since it was decided on may be work that is to be waited for."""
    run = History("{name: w, timeout: 60s, steps: [{key: a, pool: p}]}").given(stop)

    [end] = run.then()

    assert isinstance(end, End)
    assert end.after == run.state.last_seq > 0


def test_a_run_that_completes_or_is_terminated_ends_whatever_comes() -> None:
    """The one has nothing left to do, and the other waits for nothing."""
    completing = History(ONE).given(scheduled("a"), completed("a", 1)).then()[-1]
    terminated = History(ONE).given(scheduled("a"), TERMINATE).then()[-1]

    assert isinstance(completing, End)
    assert isinstance(terminated, End)
    assert (completing.after, terminated.after) == (0, 0)


# Undoing.


def saga(more: str = "") -> History:
    """Return a run of two steps that can be undone and one that fails."""
    run = History(f"""
name: w
{more}
steps:
  - {{key: a, pool: p, compensate: {{pool: u, with: {{id: "{{{{ steps.a.output.id }}}}"}}}}}}
  - {{key: b, pool: p, dependsOn: [a], compensate: {{pool: u}}}}
  - {{key: c, pool: p, dependsOn: [b]}}
""")
    run.given(scheduled("a"), completed("a", {"id": 4}), scheduled("b"), completed("b", 1))
    return run.given(scheduled("c"))


def test_what_was_done_is_undone_in_reverse_when_a_run_fails() -> None:
    """One task after the other, the last step's first, each with what its step gave."""
    run = saga().given(failed("c"))
    [second] = run.then()
    run.decided().given(scheduled("b~undo"), completed("b~undo", None))
    [first] = run.then()
    run.decided().given(scheduled("a~undo"), completed("a~undo", None))
    [end] = run.then()

    assert isinstance(second, Dispatch)
    assert isinstance(first, Dispatch)
    assert (second.token, first.token) == ("b~undo", "a~undo")
    assert (first.step.pool, first.step.compensates, first.input) == ("u", "a", {"id": 4})
    assert isinstance(end, End)
    assert (end.status, end.error and end.error.details) == (
        "failed",
        {"step": "c", "code": "boom"},
    )


def test_undoing_begins_on_the_whole_of_the_journal() -> None:
    """Nothing is undone beside work that the owner has not heard of yet, nor is the run ended."""
    run = saga().given(failed("c"))
    [second] = run.then()
    seen = run.state.last_seq
    run.decided().given(scheduled("b~undo"), completed("b~undo", None))
    run.decided().given(scheduled("a~undo"), completed("a~undo", None))
    [end] = run.then()

    assert isinstance(second, Dispatch)
    assert isinstance(end, End)
    assert (second.after, end.after) == (seen, run.state.last_seq)


def test_an_undoing_that_is_tried_again_needs_no_more_than_the_first_time() -> None:
    """That nothing else is under way was made sure of then."""
    run = saga("retry: {maxAttempts: 2, delay: 0s}").given(failed("c", retryable=False)).decided()
    run.given(scheduled("b~undo"), failed("b~undo"))

    [again] = run.then()

    assert isinstance(again, Dispatch)
    assert again.after == 0


def test_a_run_waits_for_the_task_that_undoes() -> None:
    """It neither ends nor undoes two steps at once."""
    run = saga().given(failed("c")).decided().given(scheduled("b~undo"))

    assert run.then() == []


def test_a_run_that_completes_undoes_nothing() -> None:
    """Tasks that undo are for runs that do not."""
    run = saga().given(completed("c", 1))

    assert kinds(run.then()) == [End]


def test_undoing_can_be_left_out() -> None:
    """A definition says after which ends it is done."""
    run = saga("compensateOn: [cancelled]").given(failed("c"))

    assert kinds(run.then()) == [End]


@pytest.mark.parametrize(("on", "undone"), [("[failed]", False), ("[failed, cancelled]", True)])
def test_a_cancelled_run_undoes_where_it_is_asked_to(on: str, *, undone: bool) -> None:
    """After its work has stopped."""
    run = saga(f"compensateOn: {on}").given(CANCEL, settled("c", steps.StepCancelled()))

    assert kinds(run.then()) == [Dispatch if undone else End]


def test_undoing_that_has_begun_is_done_to_its_end() -> None:
    """A cancel in between does not leave half of it."""
    run = saga("compensateOn: [failed]").given(failed("c")).decided().given(scheduled("b~undo"))
    assert run.given(CANCEL).then() == []

    run.decided().given(completed("b~undo", None))

    assert kinds(run.then()) == [Dispatch]


def test_a_run_out_of_time_undoes_what_it_did() -> None:
    """Its tasks are not stopped with the rest."""
    run = saga("timeout: 60s").given(
        fired(60_001), settled("c", steps.StepCancelled()), at_ms=60_001
    )

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.token == "b~undo"


def test_undoing_is_not_limited_by_a_spent_budget() -> None:
    """What is over is over for new work only."""
    run = saga("budget: {tokens: 5, onExceed: fail}")
    run.given(settled("c", steps.StepFailed(error=failed("c")[1].error)))  # type: ignore[attr-defined]  # a failure
    run.state.usage.input_tokens = 9

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.purse is None


def test_a_failed_undoing_is_tried_again_and_then_parks_the_run() -> None:
    """Somebody must look; going on tries once more."""
    run = saga("retry: {maxAttempts: 2, delay: 0s}").given(failed("c", retryable=False)).decided()
    run.given(scheduled("b~undo"), failed("b~undo"))
    assert run.dispatched() == [("b~undo", 2)]

    run.decided().given(scheduled("b~undo", 2), failed("b~undo", 2))
    [park, *_] = run.then()
    run.decided().given(PARKED).decided()

    assert park == Park("compensation_failed", "step b~undo: it broke", "b~undo")
    assert run.given(UNPARKED).dispatched()[:1] == [("b~undo", 3)]


def test_a_run_that_parked_while_it_closes_is_not_parked_again_and_again() -> None:
    """It waits for somebody."""
    run = saga("timeout: 60s").given(
        fired(60_001), settled("c", steps.StepCancelled()), at_ms=60_001
    )
    run.given(scheduled("b~undo"), failed("b~undo"))
    assert kinds(run.then()) == [Park]

    run.decided().given(PARKED)

    assert run.then() == []
    assert run.given(UNPARKED).dispatched() == [("b~undo", 2)]


def test_nothing_is_undone_while_a_run_is_paused() -> None:
    """Tasks that undo begin after the pause."""
    run = saga().given(PAUSED, failed("c"))

    assert run.then() == []
    assert kinds(run.decided().given(RESUMED).then()) == [Dispatch]


def test_nothing_is_undone_while_a_run_that_closes_is_paused() -> None:
    """Also when the run is out of time."""
    run = saga("timeout: 60s").given(PAUSED, fired(60_001), at_ms=60_001)
    run.given(settled("c", steps.StepCancelled()))

    assert run.then() == []
    assert kinds(run.decided().given(RESUMED).then()) == [Dispatch]


def test_items_are_undone_one_by_one() -> None:
    """Each that completed, the last first, with its own item and output."""
    text = """
name: w
steps:
  - key: m
    pool: p
    forEach: [x, y]
    compensate: {pool: u, with: {item: "{{ item }}", out: "{{ m }}"}}
  - {key: z, pool: p, dependsOn: [m]}
"""
    run = History(text).given(mapped("m", ["x", "y"]), scheduled("m~0"), scheduled("m~1"))
    run.given(completed("m~1", 11), completed("m~0", 10), completed("m", [10, 11]))
    run.given(scheduled("z"), failed("z"))

    [last] = run.then()
    run.decided().given(scheduled("m~0~undo"), completed("m~0~undo", None))
    [first] = run.then()

    assert isinstance(last, Dispatch)
    assert isinstance(first, Dispatch)
    assert (last.token, last.input) == ("m~0~undo", {"item": "x", "out": 10})
    assert (first.token, first.input) == ("m~1~undo", {"item": "y", "out": 11})


def test_a_child_run_can_undo() -> None:
    """It is started like any other, and not stopped when the run is cancelled."""
    text = """
name: w
compensateOn: [failed, cancelled]
steps:
  - {key: a, pool: p, compensate: {workflow: sub}}
  - {key: b, pool: p, dependsOn: [a]}
"""
    run = History(text).given(scheduled("a"), completed("a", 1), scheduled("b"), CANCEL)
    run.given(settled("b", steps.StepCancelled()))

    [start] = run.then()
    run.decided().given(child_started("a~undo"))

    assert isinstance(start, StartChild)
    assert start.token == "a~undo"
    assert kinds(run.then()) == [Launch]


def test_what_cannot_be_rendered_parks_the_undoing() -> None:
    """The run is not ended half undone."""
    text = """
name: w
steps:
  - {key: a, pool: p, compensate: {pool: u, with: {x: "{{ steps.a.output.x.y }}"}}}
  - {key: b, pool: p, dependsOn: [a]}
"""
    run = History(text).given(scheduled("a"), completed("a", {}), scheduled("b"), failed("b"))

    [park] = run.then()

    assert isinstance(park, Park)
    assert park.code == "expression_failed"


def test_a_cancelled_run_asks_for_what_its_undoing_reads() -> None:
    """Values are fetched before anything is decided."""
    run = saga("compensateOn: [cancelled]").given(CANCEL, settled("c", steps.StepCancelled()))
    run.decided().given(scheduled("b~undo"), completed("b~undo", None))

    [effect] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.input == {"id": 4}


def test_an_output_that_nobody_has_looked_at_is_checked_before_a_run_is_undone() -> None:
    """Its step was done, so that a cancelled run undoes it."""
    text = """
name: w
compensateOn: [cancelled]
steps:
  - {key: a, pool: p, outputSchema: {type: integer}, compensate: {pool: u}}
"""
    run = History(text).given(scheduled("a"), completed("a", 1), CANCEL)
    assert run.then() == [Check(step=run.plan.steps["a"], token="a", attempt=1)]

    run.decided().given(checked("a"))

    assert run.dispatched() == [("a~undo", 1)]


def test_a_step_whose_output_was_refused_is_not_undone() -> None:
    """Only what completed was done."""
    text = """
name: w
steps:
  - {key: a, pool: p, outputSchema: {type: string}, compensate: {pool: u}}
"""
    run = History(text).given(scheduled("a"), completed("a", 1), checked("a", "no"), PARKED, CANCEL)

    assert kinds(run.then()) == [End]
    assert run.state.started_ms == T0 + 1
