"""Holes in maps: what becomes of a step when one of its items was never dispatched?"""

from support.history import History, completed, failed, mapped, scheduled

from segue_orchestrator.core.decide import remember
from segue_orchestrator.core.effects import Decision, Dispatch, Fail
from segue_orchestrator.core.loose_ends import idle_steps

FOUR = """{name: w, steps: [
  {key: m, pool: p, forEach: [1, 2, 3, 4], with: {v: '{{ item }}'}, retry: {maxAttempts: 3}},
]}"""


def holed() -> History:
    """Return a run whose owner died amid a dispatch, so that the third item of four is missing."""
    run = History(FOUR).given(mapped("m", [1, 2, 3, 4]))
    return run.given(scheduled("m~0"), scheduled("m~1"), scheduled("m~3"))


def test_a_missing_item_is_dispatched_by_the_next_owner() -> None:
    """As long as none has failed, all of them are wanted."""
    [effect] = holed().then()

    assert isinstance(effect, Dispatch)
    assert effect.token == "m~2"


def test_a_missing_item_is_not_forgotten_for_a_later_one_that_is_tried_again() -> None:
    """Another attempt of an item does not mean that those before it have begun."""
    run = holed().given(failed("m~3"))
    again = [one for one in run.then() if isinstance(one, Dispatch) and one.attempt == 2]

    remember(run.state, Decision(tuple(again)))
    run.state.touched.add("m")

    assert [one.token for one in again] == ["m~3"]
    assert run.dispatched() == [("m~2", 1)]


def test_a_step_that_failed_does_not_wait_for_an_item_that_never_began() -> None:
    """It is over as soon as none of its items is under way."""
    run = holed().given(failed("m~1", retryable=False), completed("m~0", 1))

    assert run.then() == []
    assert list(idle_steps(run.state, run.plan)) == []

    [effect] = run.given(completed("m~3", 1)).then()

    assert isinstance(effect, Fail)
    assert effect.error.details["item"] == "m~1"


def test_a_step_that_failed_waits_for_what_its_owner_has_just_dispatched() -> None:
    """What is on its way will be read back, and is no hole."""
    run = History(FOUR).given(mapped("m", [1, 2, 3, 4])).decided()
    run.given(scheduled("m~0"), failed("m~0", retryable=False))

    assert run.then() == []


def test_a_failed_run_waits_for_an_item_that_began_beside_the_one_that_failed() -> None:
    """Its step was closed by an owner that had not read of it; what it does is undone, too."""
    undone = FOUR.replace("with:", "compensate: {pool: u}, with:")
    run = History(undone).given(mapped("m", [1, 2, 3, 4]))
    run.given(scheduled("m~0"), failed("m~0", retryable=False), scheduled("m~1"))
    run.given(failed("m", code="item_failed", retryable=False))
    assert run.then() == []
    assert list(idle_steps(run.state, run.plan)) == []

    run.given(completed("m~1", 1))

    assert run.dispatched() == [("m~1~undo", 1)]


def test_a_step_with_nothing_under_way_is_told() -> None:
    """Whoever looks for runs that nothing moves finds it."""
    run = holed().given(failed("m~1", retryable=False), completed("m~0", 1), completed("m~3", 1))
    run.state.touched.clear()

    assert [idle.place for idle in idle_steps(run.state, run.plan)] == ["m"]
