"""Repeated steps: which items begin, and what is made of their results?"""

from support.history import (
    CANCEL,
    PARKED,
    UNPARKED,
    History,
    checked,
    completed,
    failed,
    mapped,
    scheduled,
    settled,
    waiting,
)

from segue_contracts.v1 import steps
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.effects import (
    BeginWait,
    Dispatch,
    End,
    Fail,
    Join,
    OpenMap,
    Park,
    Skip,
)
from segue_orchestrator.core.evolve import touch_all
from segue_orchestrator.core.policies import MAP_CHUNK
from segue_orchestrator.core.room import Room
from segue_orchestrator.core.state import OutputAt


def three(extra: str = "", items: str = "[x, y, z]") -> History:
    """Return a run whose one step is repeated for three items."""
    step = f"key: m, pool: p, forEach: {{items: {items}{extra}}}, with: {{v: '{{{{ item }}}}'}}"
    return History(f"{{name: w, inputs: {{n: 3}}, steps: [{{{step}}}]}}")


def test_the_items_are_fixed_before_any_begins() -> None:
    """The list is an event of its own."""
    [effect] = three().then()

    assert isinstance(effect, OpenMap)
    assert effect.items == ["x", "y", "z"]


def test_each_item_is_dispatched_with_what_it_is() -> None:
    """All begin at once when nothing limits them."""
    run = three().given(mapped("m", ["x", "y", "z"]))

    effects = run.then()

    assert run.dispatched() == [("m~0", 1), ("m~1", 1), ("m~2", 1)]
    assert [e.input for e in effects if isinstance(e, Dispatch)] == [
        {"v": "x"},
        {"v": "y"},
        {"v": "z"},
    ]


def test_an_items_templates_read_its_index() -> None:
    """`index` counts from 0."""
    text = """
name: w
steps: [{key: m, pool: p, forEach: [a, b], with: {n: "{{ index }}"}}]
"""
    effects = History(text).given(mapped("m", ["a", "b"])).then()

    assert [e.input for e in effects if isinstance(e, Dispatch)] == [{"n": 0}, {"n": 1}]


def test_no_more_items_go_on_at_once_than_allowed() -> None:
    """When one is settled the next begins."""
    run = three(", maxConcurrency: 2").given(mapped("m", [1, 2, 3]))
    assert run.dispatched() == [("m~0", 1), ("m~1", 1)]

    run.decided().given(scheduled("m~0"), scheduled("m~1"))
    assert run.then() == []

    assert run.given(completed("m~1", 1)).dispatched() == [("m~2", 1)]


def test_results_are_joined_in_the_items_order() -> None:
    """The step's output is the list of its items', whoever was first."""
    run = three().given(mapped("m", [1, 2, 3]), *(scheduled(f"m~{n}") for n in range(3)))
    run.given(completed("m~2", 20), completed("m~0", 0), completed("m~1", 10))

    [join] = run.then()
    run.decided().given(completed("m", [0, 10, 20]))
    [end] = run.then()

    assert join == Join(
        step=run.plan.steps["m"], attempt=1, places=(OutputAt(7), OutputAt(8), OutputAt(6))
    )
    assert isinstance(end, End)
    assert end.output == {"m": [0, 10, 20]}


def test_an_empty_list_completes_at_once() -> None:
    """With nothing to do the output is an empty list."""
    run = three(items="[]").given(mapped("m", []))

    assert run.then() == [Join(step=run.plan.steps["m"], attempt=1, places=())]


def test_a_list_may_be_computed_from_outputs() -> None:
    """What the template reads is fetched first."""
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: m, pool: p, dependsOn: [a], forEach: "{{ steps.a.output }}"}
"""
    [effect] = History(text).given(scheduled("a"), completed("a", [7])).then()

    assert isinstance(effect, OpenMap)
    assert effect.items == [7]


def test_what_is_no_list_parks_the_run() -> None:
    """A template that gives something else names its step."""
    [park] = three(items="'{{ n }}'").then()

    assert isinstance(park, Park)
    assert park.message == "step m: forEach needs a list, and its items are no list"


def test_a_failed_item_fails_the_step_once_the_others_are_settled() -> None:
    """No further item begins, and those in flight finish."""
    run = three(", maxConcurrency: 2").given(mapped("m", [1, 2, 3])).decided()
    run.given(scheduled("m~0"), scheduled("m~1"), failed("m~0"))
    assert run.then() == []

    [fail] = run.given(completed("m~1", 1)).then()

    assert isinstance(fail, Fail)
    assert fail.error == Failure(
        code="item_failed",
        message="item m~0: it broke",
        retryable=False,
        details={"item": "m~0", "code": "boom"},
    )


def test_a_cancelled_item_fails_the_step() -> None:
    """What a worker gave up has no error, and still does not count."""
    run = three(items="[1]").given(mapped("m", [1]), scheduled("m~0"))

    [fail] = run.given(settled("m~0", steps.StepCancelled())).then()

    assert isinstance(fail, Fail)
    assert fail.error.details["code"] == "cancelled"


def test_items_that_may_fail_are_null_in_the_list() -> None:
    """With `continueOnError` the others' results count."""
    text = "{name: w, steps: [{key: m, pool: p, forEach: [1, 2], continueOnError: true}]}"
    run = History(text).given(mapped("m", [1, 2]), scheduled("m~0"), scheduled("m~1"))

    [join] = run.given(failed("m~0"), completed("m~1", 1)).then()

    assert isinstance(join, Join)
    assert join.places == (None, OutputAt(6))


def test_an_item_is_tried_again_by_itself() -> None:
    """Retries are an item's, not the step's."""
    text = """
name: w
steps: [{key: m, pool: p, forEach: [1, 2], retry: {maxAttempts: 2, delay: 0s}}]
"""
    run = History(text).given(mapped("m", [1, 2]), scheduled("m~0"), scheduled("m~1")).decided()

    assert run.given(failed("m~1")).dispatched() == [("m~1", 2)]


def test_each_items_output_is_checked() -> None:
    """The schema is that of an item, not of the list."""
    text = "{name: w, steps: [{key: m, pool: p, forEach: [1], outputSchema: {type: string}}]}"
    run = History(text).given(mapped("m", [1]), scheduled("m~0"), completed("m~0", "s"))

    run.given(checked("m~0"))

    assert [type(effect) for effect in run.then()] == [Join]
    run.decided().given(completed("m", ["s"]))
    assert [type(effect) for effect in run.then()] == [End]


def test_a_condition_skips_the_whole_step() -> None:
    """It is asked before the list is."""
    text = "{name: w, steps: [{key: m, pool: p, forEach: [1], when: 'false'}]}"

    assert [type(effect) for effect in History(text).then()] == [Skip]


def test_a_long_list_begins_in_parts() -> None:
    """One decision begins so many items at most, and the rest follows when those have begun."""
    items = list(range(MAP_CHUNK + 2))
    run = three(items=str(items)).given(mapped("m", list(items)))
    assert len(run.dispatched()) == MAP_CHUNK

    run.decided().given(*(scheduled(f"m~{n}") for n in range(MAP_CHUNK)))

    assert run.dispatched() == [(f"m~{MAP_CHUNK}", 1), (f"m~{MAP_CHUNK + 1}", 1)]


def test_a_cold_owner_goes_on_with_the_items_that_have_no_event() -> None:
    """Which items were dispatched is what the journal says."""
    run = three().given(mapped("m", [1, 2, 3]), scheduled("m~0"), scheduled("m~2"))
    touch_all(run.state, run.plan)

    assert run.dispatched() == [("m~1", 1)]


def test_an_item_that_was_not_stored_is_dispatched_after_parking() -> None:
    """What was decided and could not be stored is decided anew."""
    run = three().given(mapped("m", [1, 2, 3])).decided()
    run.given(scheduled("m~0"), PARKED).decided()

    assert run.given(UNPARKED).dispatched() == [("m~1", 1), ("m~2", 1)]


def test_items_wait_for_room_in_their_pool() -> None:
    """The step stays touched, so that the rest begins when there is room."""
    run = three().given(mapped("m", [1, 2, 3]))

    decision = run.decision(Room(lambda pool: 1))
    first = [e.token for e in decision.effects if isinstance(e, Dispatch)]
    run.decided()

    assert first == ["m~0"]
    assert [held.token for held in decision.held] == ["m"]


def test_items_can_be_waits() -> None:
    """Each item waits by itself, no more at once than allowed."""
    text = """
name: w
steps: [{key: m, wait: {signal: s}, forEach: {items: [1, 2, 3], maxConcurrency: 2}}]
"""
    run = History(text).given(mapped("m", [1, 2, 3]))
    begun = [e.token for e in run.then() if isinstance(e, BeginWait)]
    run.decided().given(*(waiting(token, kind="signal", name="s") for token in begun))
    touch_all(run.state, run.plan)

    assert begun == ["m~0", "m~1"]
    assert run.then() == []
    [effect] = run.decided().given(completed("m~0", 1)).then()
    assert isinstance(effect, BeginWait)
    assert effect.token == "m~2"


def test_an_item_of_a_step_that_is_settled_changes_nothing_more() -> None:
    """A late result of an item comes to a step that has failed already."""
    run = three().given(mapped("m", [1, 2, 3]), scheduled("m~0"), failed("m~0"))
    run.given(failed("m")).decided()

    run.given(scheduled("m~1"), completed("m~1", 1))

    assert run.state.step("m").status == "failed"
    assert [type(effect) for effect in run.then()] == [End]


def test_an_item_of_a_step_that_was_not_opened_is_no_items() -> None:
    """An event that no engine wrote moves nothing, and is there when the list comes."""
    run = three(items="[1, 2]").given(scheduled("m~0"), completed("m~0", 5))
    assert [type(effect) for effect in run.then()] == [OpenMap]

    run.decided().given(mapped("m", [1, 2]))

    assert run.dispatched() == [("m~1", 1)]


def test_cancelling_a_repeated_step_cancels_its_items() -> None:
    """The step itself is not in flight, its items are."""
    run = three(items="[1]").given(mapped("m", [1]), scheduled("m~0"), CANCEL)

    run.given(settled("m~0", steps.StepCancelled()))

    assert [type(effect) for effect in run.then()] == [End]


def test_an_attempt_at_an_item_of_no_list_parks_the_run() -> None:
    """What was dispatched by nobody's plan cannot be given its item again."""
    text = """
name: w
steps:
  - key: m
    pool: p
    forEach: [1]
    retry: {maxAttempts: 2, delay: 0s}
    with: {v: "{{ item }}"}
"""
    run = History(text).given(scheduled("m~0"), failed("m~0"))

    [park] = [effect for effect in run.then() if isinstance(effect, Park)]

    assert park.message == "step m~0: the step is not repeated, in 'm~0'"
