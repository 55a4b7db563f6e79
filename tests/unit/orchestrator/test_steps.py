"""Steps: which of them begin, run, are skipped, and what do they hand on?"""

import pytest
from support.history import (
    PARKED,
    PAUSED,
    RESUMED,
    UNPARKED,
    History,
    checked,
    completed,
    failed,
    scheduled,
    settled,
)

from segue_contracts.payload import PayloadRef
from segue_contracts.v1 import steps
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.decide import decide
from segue_orchestrator.core.effects import Check, Dispatch, End, Park, Skip
from segue_orchestrator.core.evolve import touch_all
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt

ONE = "{name: w, steps: [{key: a, pool: p}]}"
DIAMOND = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: c, pool: p, dependsOn: [a]}
  - {key: d, pool: p, dependsOn: [b, c]}
"""


def test_a_run_begins_with_the_steps_that_wait_for_nothing() -> None:
    """After the start only roots are dispatched."""
    assert History(DIAMOND).dispatched() == [("a", 1)]


def test_a_step_is_dispatched_when_all_it_waits_for_is_done() -> None:
    """A join waits for both of its branches."""
    run = History(DIAMOND).given(scheduled("a"), completed("a"), scheduled("b"), scheduled("c"))

    assert run.decided().given(completed("b")).dispatched() == []
    assert run.decided().given(completed("c")).dispatched() == [("d", 1)]


def test_what_was_decided_is_not_decided_again() -> None:
    """An owner that stored its decision looks at what changes from there on."""
    run = History(DIAMOND).given(scheduled("a"), completed("a"))

    assert run.decided().then() == []


def test_deciding_again_on_the_whole_state_decides_the_same() -> None:
    """A cold owner comes to what the warm one decided."""
    run = History(DIAMOND).given(scheduled("a")).decided().given(completed("a"))
    warm = run.then()
    touch_all(run.state, run.plan)

    assert run.then() == warm


def test_more_urgent_steps_are_dispatched_first() -> None:
    """Among what can begin the priority decides, then the definition's order."""
    text = """
name: w
steps: [{key: a, pool: p}, {key: b, pool: p, priority: p0}, {key: c, pool: p}]
"""
    assert [token for token, _ in History(text).dispatched()] == ["b", "a", "c"]


def test_a_run_completes_with_the_outputs_of_its_last_steps() -> None:
    """Without declared outputs, the sinks' outputs are the run's, under their own keys."""
    run = History("{name: w, steps: [{key: a b, pool: p}]}")
    run.given(scheduled("a_20b"), completed("a_20b", {"n": 1}, tokens=3))

    [end] = run.then()

    assert end == End(
        status="completed", output={"a b": {"n": 1}}, usage=UsageTotals(input_tokens=3)
    )


def test_declared_outputs_are_rendered_from_inputs_and_outputs() -> None:
    """Outputs keep the type of a whole expression."""
    text = """
name: w
inputs: {who: world}
steps: [{key: a, pool: p}]
outputs: {n: "{{ steps.a.output.n }}", text: "hello {{ who }}", run: "{{ run.workflow }}"}
"""
    run = History(text, {"who": "you"}).given(scheduled("a"), completed("a", {"n": 7}))

    [end] = run.then()

    assert isinstance(end, End)
    assert end.output == {"n": 7, "text": "hello you", "run": "w"}


def test_an_output_that_is_not_at_hand_is_asked_for() -> None:
    """The core names what it needs instead of reading it."""
    run = History(ONE).given(scheduled("a"), completed("a", 1))

    decision = decide(run.state, run.plan, Known(inputs={}, outputs={}))

    assert decision.needs == (OutputAt(3),)
    assert decision.effects == ()


def test_a_large_output_is_asked_for_by_its_claim_check() -> None:
    """Where it lies goes with the place."""
    ref = PayloadRef(sha256="x", size=1)
    run = History(ONE).given(scheduled("a"), completed("a", ref))

    decision = decide(run.state, run.plan, Known(inputs={}, outputs={}))

    assert decision.needs == (OutputAt(3, ref),)


def test_what_a_step_reads_is_asked_for_before_it_is_dispatched() -> None:
    """Nothing is dispatched on a value that is not at hand, and then with it."""
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a], with: {n: "{{ steps.a.output.n }}"}}
"""
    run = History(text).given(scheduled("a"), completed("a", {"n": 5}))

    cold = decide(run.state, run.plan, Known(inputs={}, outputs={}))
    [effect] = run.then()

    assert (cold.needs, cold.effects) == ((OutputAt(3),), ())
    assert isinstance(effect, Dispatch)
    assert effect.input == {"n": 5}


def test_a_prompt_is_filled_from_the_values_beside_it() -> None:
    """A model call gets its texts rendered, and how it shall answer."""
    text = """
name: w
inputs: {topic: tea}
steps: [{key: a, llm: {prompt: "{who} on {topic}", responseType: json}, with: {who: Ada}}]
"""
    [effect] = History(text).then()

    assert isinstance(effect, Dispatch)
    assert effect.input == {"who": "Ada", "prompt": "Ada on tea", "responseType": "json"}


@pytest.mark.parametrize(("flag", "skipped"), [(True, False), (False, True)])
def test_a_condition_decides_whether_a_step_runs(*, flag: bool, skipped: bool) -> None:
    """A false one skips the step, and what depends on it goes on."""
    text = """
name: w
inputs: {flag: true}
steps: [{key: a, pool: p, when: "{{ flag }}"}, {key: b, pool: p, dependsOn: [a]}]
"""
    run = History(text, {"flag": flag})

    [effect] = run.then()

    assert isinstance(effect, Skip) == skipped
    if skipped:
        assert effect == Skip(run.plan.steps["a"], "condition")
        run.given(settled("a", steps.StepSkipped(reason="condition")))
        assert run.dispatched() == [("b", 1)]


def test_a_failed_step_skips_what_depends_on_it_and_fails_the_run() -> None:
    """Skipping goes down the graph, and the end names the step that failed."""
    run = History(DIAMOND).given(scheduled("a"), failed("a"))
    assert run.then() == [
        Skip(run.plan.steps["b"], "upstream"),
        Skip(run.plan.steps["c"], "upstream"),
    ]
    skip = steps.StepSkipped(reason="upstream")

    run.decided().given(settled("b", skip), settled("c", skip))
    assert run.then() == [Skip(run.plan.steps["d"], "upstream")]
    run.decided().given(settled("d", skip))

    [end] = run.then()
    assert isinstance(end, End)
    assert end.status == "failed"
    assert end.error == Failure(
        code="step_failed",
        message="step a: it broke",
        retryable=False,
        details={"step": "a", "code": "boom"},
    )


def test_a_step_that_may_fail_stops_nobody() -> None:
    """With `continueOnError` dependents run, and the run completes with null in its place."""
    text = """
name: w
steps:
  - {key: a, pool: p, continueOnError: true}
  - {key: b, pool: p, dependsOn: [a], with: {a: "{{ steps.a.output }}", s: "{{ steps.a.status }}"}}
"""
    run = History(text).given(scheduled("a"), failed("a"))

    [effect] = run.then()
    run.decided().given(scheduled("b"), completed("b", 1))
    [end] = run.then()

    assert isinstance(effect, Dispatch)
    assert effect.input == {"a": None, "s": "failed"}
    assert isinstance(end, End)
    assert end.status == "completed"


def test_templates_read_why_a_step_failed() -> None:
    """Code and message of the error are there for those that go on."""
    text = """
name: w
steps:
  - {key: a, pool: p, continueOnError: true}
  - {key: b, pool: p, dependsOn: [a], with: {c: "{{ steps.a.error.code }}"}}
"""
    [effect] = History(text).given(scheduled("a"), failed("a", code="odd")).then()

    assert isinstance(effect, Dispatch)
    assert effect.input == {"c": "odd"}


def test_a_step_cancelled_by_its_worker_fails_the_run() -> None:
    """Without an error the reason is told."""
    run = History(ONE).given(scheduled("a"), settled("a", steps.StepCancelled(reason="no")))

    [end] = run.then()

    assert isinstance(end, End)
    assert isinstance(end.error, Failure)
    assert end.error.message == "step a: no"


def test_what_a_cancelled_attempt_used_counts() -> None:
    """Whoever gives up says what it cost."""
    body = steps.StepCancelled(usage=UsageTotals(input_tokens=4))

    run = History(ONE).given(scheduled("a"), settled("a", body))

    assert run.state.usage.tokens == 4


def test_an_expression_that_cannot_be_rendered_parks_the_run() -> None:
    """The step is named, and tried again when the run goes on."""
    text = "{name: w, inputs: {x: {}}, steps: [{key: a, pool: p, with: {n: '{{ x.y.z }}'}}]}"
    run = History(text)

    [park] = run.then()
    run.decided().given(PARKED)
    assert run.then() == []
    [again] = run.given(UNPARKED).then()

    assert isinstance(park, Park)
    assert (park.code, park.step) == ("expression_failed", "a")
    assert again == park


def test_outputs_that_cannot_be_rendered_park_the_run() -> None:
    """A run whose work is done is not thrown away."""
    text = """
name: w
steps: [{key: a, pool: p}]
outputs: {n: "{{ steps.a.output.n.m }}"}
"""
    [park] = History(text).given(scheduled("a"), completed("a", {})).then()

    assert isinstance(park, Park)
    assert park.message.startswith("outputs: ")


def test_nothing_new_is_dispatched_while_a_run_is_paused() -> None:
    """What is in flight counts, and what follows from it begins after the pause."""
    run = History(DIAMOND).given(scheduled("a"), PAUSED).decided()

    assert run.given(completed("a")).decided().then() == []
    assert run.given(RESUMED).dispatched() == [("b", 1), ("c", 1)]


def test_an_output_is_held_against_its_schema_before_it_counts() -> None:
    """A completed attempt is checked; what depends on it begins once it is accepted."""
    text = """
name: w
steps:
  - {key: a, pool: p, outputSchema: {type: object, required: [n]}}
  - {key: b, pool: p, dependsOn: [a]}
"""
    run = History(text).given(scheduled("a"), completed("a", {"n": 1}))

    [check] = run.then()

    assert check == Check(step=run.plan.steps["a"], token="a", attempt=1)
    assert run.decided().given(checked("a")).dispatched() == [("b", 1)]


def test_an_output_that_violates_its_schema_parks_the_run() -> None:
    """The problems are named, and the step is tried once more when the run goes on."""
    text = "{name: w, steps: [{key: a, pool: p, outputSchema: {type: object, required: [n]}}]}"
    run = History(text).given(scheduled("a"), completed("a", {}))
    [check] = run.then()
    assert isinstance(check, Check)

    run.decided().given(checked("a", *check.problems))
    [park] = run.then()

    assert isinstance(park, Park)
    assert park.code == "schema_violation"
    assert "'n'" in park.message
    assert run.decided().given(PARKED, UNPARKED).dispatched() == [("a", 2)]


def test_a_violated_schema_without_words_is_told_in_general() -> None:
    """A check that names no problem still says what is wrong."""
    text = "{name: w, steps: [{key: a, pool: p, outputSchema: {type: object}}]}"
    run = History(text).given(scheduled("a"), completed("a", 1))
    run.given(("step.a.1.checked", steps.StepChecked(accepted=False)))

    [park] = run.then()

    assert isinstance(park, Park)
    assert park.message == "step a: the output violates the step's schema"


def test_a_schema_violation_is_repeated_where_the_retry_says_so() -> None:
    """It is a failure like others, as long as attempts are left."""
    text = """
name: w
steps: [{key: a, pool: p, outputSchema: {type: object}, retry: {maxAttempts: 2, delay: 0s}}]
"""
    run = History(text).given(scheduled("a"), completed("a", 1), checked("a", "no"))

    assert run.dispatched() == [("a", 2)]
