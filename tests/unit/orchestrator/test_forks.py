"""Tests of forks: does a run take over just what still holds?"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue_contracts.payload import PayloadRef
from segue_contracts.v1 import runs
from segue_contracts.v1.values import Failure, UsageTotals
from segue_language import parse
from segue_orchestrator.core.compiling import compile_plan
from segue_orchestrator.core.decide import decide
from segue_orchestrator.core.effects import Dispatch
from segue_orchestrator.core.evolve import begin, take_over, touch_all
from segue_orchestrator.core.forks import (
    Cut,
    changed_inputs,
    changed_references,
    downstream,
    given_step,
    settled_step,
    taken_over,
    undone_steps,
)
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import Entry, OutputAt, RunState, StepState, StepStatus

T0 = 1_000_000


def plan_of(text: str) -> Plan:
    """Compile a definition that must be valid."""
    parsed = parse(text)
    assert parsed.problems == ()
    assert parsed.workflow is not None
    return compile_plan(parsed.workflow)


def run_of(statuses: dict[str, StepStatus], **fields: Any) -> RunState:
    """Return a run whose steps have these states."""
    started = runs.RunStarted(workflow="w", definition="d", **fields)
    state = begin("run00001", "default", Entry(1, T0, ("started",), started))
    assert state is not None
    for token, status in statuses.items():
        reason = "upstream" if status == "skipped" else ""
        state.steps[token] = StepState(status=status, attempt=1, reason=reason)
    return state


def kept(text: str, statuses: dict[str, StepStatus], **cut: Any) -> list[str]:
    """Return what a fork with the same definition takes over."""
    plan = plan_of(text)
    return taken_over(run_of(statuses), plan, plan, Cut(**cut))


DIAMOND = """
name: w
inputs: {who: you, where: here}
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: c, pool: p, dependsOn: [a], with: {w: "{{ who }}"}}
  - {key: d, pool: p, dependsOn: [b, c]}
"""
DONE: dict[str, StepStatus] = dict.fromkeys("abcd", "completed")


def test_steps_at_and_downstream_of_the_cut_run_again() -> None:
    """Everything else is taken over, in the definition's order."""
    assert kept(DIAMOND, DONE, at={"b"}) == ["a", "c"]


def test_without_a_cut_what_has_not_completed_runs_again() -> None:
    """With what waited for it; steps in flight have not completed."""
    assert kept(DIAMOND, {**DONE, "b": "failed", "d": "skipped"}) == ["a", "c"]
    assert kept(DIAMOND, {"a": "completed", "b": "running", "c": "completed"}) == ["a", "c"]


def test_a_step_whose_output_is_given_does_not_run_but_what_waits_for_it_does() -> None:
    """The given step is not among those that are taken over either."""
    assert kept(DIAMOND, DONE, given={"b"}) == ["a", "c"]
    assert kept(DIAMOND, {**DONE, "a": "failed"}, given={"a"}) == []


def test_a_given_output_counts_although_the_step_waits_for_one_that_runs_again() -> None:
    """Nothing of the given step runs, and its own dependents do."""
    assert kept(DIAMOND, DONE, at={"a"}, given={"b"}) == []


def test_a_failure_that_the_run_went_on_from_is_a_result_when_the_cut_is_named() -> None:
    """Without a named cut it is tried again, as all that has not completed."""
    text = DIAMOND.replace("key: b,", "key: b, continueOnError: true,")
    failed: dict[str, StepStatus] = {**DONE, "b": "failed"}

    assert kept(text, failed, at={"d"}) == ["a", "b", "c"]
    assert kept(text, failed) == ["a", "c"]


def test_a_failure_that_ends_the_run_always_runs_again() -> None:
    """A fork that took it over could only fail."""
    assert kept(DIAMOND, {**DONE, "b": "failed"}, at={"d"}) == ["a", "c"]


def test_a_step_skipped_by_its_condition_is_settled() -> None:
    """It runs again only with what its condition reads."""
    plan = plan_of(DIAMOND)
    state = run_of(DONE)
    state.steps["b"] = StepState(status="skipped", reason="condition")

    assert taken_over(state, plan, plan, Cut(at={"d"})) == ["a", "b", "c"]


def test_a_step_that_was_undone_runs_again() -> None:
    """What it did is no longer there, whatever its outcome says."""
    state = run_of({**DONE, "a~undo": "completed", "b~3~undo": "scheduled"})

    assert undone_steps(state) == {"a", "b"}
    assert kept(DIAMOND, DONE, undone={"c"}) == ["a", "b"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("key: b,", "key: b, action: other,", ["a", "c"]),
        ("key: c,", "key: c, when: 'false',", ["a", "b"]),
        ("key: b,", "key: b, forEach: [1],", ["a", "c"]),
        ("key: d,", "key: e,", ["a", "b", "c"]),
        ("key: b,", "key: b, outputSchema: {type: object},", ["a", "c"]),
        ("key: b, pool: p, dependsOn: [a]", "key: b, pool: p", ["a", "c"]),
    ],
)
def test_a_step_whose_work_differs_runs_again_with_its_downstream(
    before: str, after: str, expected: list[str]
) -> None:
    """Steps are matched by key; another definition changes what its differences reach."""
    old, new = plan_of(DIAMOND), plan_of(DIAMOND.replace(before, after))

    assert taken_over(run_of(DONE), old, new, Cut()) == expected


@pytest.mark.parametrize(
    "change",
    ["timeout: 5s,", "retry: {maxAttempts: 4},", "priority: p0,", "continueOnError: true,"],
)
def test_how_a_step_is_worked_on_does_not_change_its_result(change: str) -> None:
    """Mending a timeout or a retry computes nothing again."""
    old, new = plan_of(DIAMOND), plan_of(DIAMOND.replace("key: b,", f"key: b, {change}"))

    assert taken_over(run_of(DONE), old, new, Cut(at={"d"})) == ["a", "b", "c"]


def test_how_many_items_go_on_at_once_does_not_change_their_result() -> None:
    """The cap of a repeated step is no part of its work."""
    text = "name: w\nsteps:\n  - {key: a, pool: p, forEach: {items: [1, 2], maxConcurrency: 1}}\n"
    old, new = plan_of(text), plan_of(text.replace("maxConcurrency: 1", "maxConcurrency: 2"))

    assert taken_over(run_of({"a": "completed"}), old, new, Cut()) == ["a"]


READERS = """
name: w
inputs: {who: you, where: here}
steps:
  - {key: plain, pool: p, with: {x: 1}}
  - {key: value, pool: p, with: {x: "{{ who }}"}}
  - {key: whole, pool: p, with: {x: "{{ inputs }}"}}
  - {key: condition, pool: p, when: "who == 'you'"}
  - {key: items, pool: p, forEach: "{{ [who] }}"}
  - {key: prompt, llm: {prompt: "greet {who}"}}
  - {key: shadow, llm: {prompt: "greet {who}"}, with: {who: me}}
  - {key: until, wait: {until: "{{ who }}"}}
  - {key: match, wait: {event: orders, match: "event.who == who"}}
  - {key: approve, approval: {message: "for {{ who }}"}}
  - {key: after, pool: p, dependsOn: [value]}
"""


def test_steps_that_read_a_changed_input_run_again_wherever_they_read_it() -> None:
    """With what waits for them; a name that the step itself gives a value is no input."""
    plan = plan_of(READERS)
    state = run_of(dict.fromkeys(plan.steps, "completed"))
    names = {"who", "where"}

    assert taken_over(state, plan, plan, Cut(inputs={"who"}, names=names)) == ["plain", "shadow"]
    unread = taken_over(state, plan, plan, Cut(inputs={"where"}, names=names))
    assert set(plan.steps) - set(unread) == {"whole"}


def test_inputs_differ_by_value_and_by_presence() -> None:
    """An input that only one run has differs."""
    assert changed_inputs({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4}) == {"b", "c", "d"}


def test_a_workflow_step_runs_again_when_its_reference_means_another_definition() -> None:
    """The step's own text is the same, and its work is not."""
    text = "name: w\nsteps:\n  - {key: a, workflow: other}\n  - {key: b, pool: p}\n"
    plan = plan_of(text)
    state = run_of({"a": "completed", "b": "completed"})
    changed = changed_references({"other": "1", "gone": "2"}, {"other": "3"})

    assert changed == {"other"}
    assert taken_over(state, plan, plan, Cut(references=changed)) == ["b"]


def test_an_escalation_step_runs_again_with_its_approval() -> None:
    """Whether it runs depends on how long the approval takes."""
    text = """
name: w
steps:
  - {key: ask, approval: {escalation: {after: 1h, step: nag}}}
  - {key: nag, pool: p}
"""
    plan = plan_of(text)
    state = run_of({"ask": "completed"})
    state.steps["nag"] = StepState(status="skipped", reason="not_escalated")

    assert taken_over(state, plan, plan, Cut()) == ["ask", "nag"]
    assert taken_over(state, plan, plan, Cut(at={"ask"})) == []


def test_what_is_taken_over_travels_and_folds_to_the_same() -> None:
    """Status, attempt, output, failure and usage survive; the fork is not charged for them."""
    ref = PayloadRef(sha256="0" * 64, size=2)
    usage = UsageTotals(input_tokens=5)
    failure = Failure(code="boom", message="no")
    done = StepState(status="completed", attempt=2, provider="x", usage=usage)
    settled = {
        "a": settled_step(done, ref),
        "b": settled_step(StepState(status="failed", attempt=1, error=failure), None),
        "c": given_step(ref),
    }
    plan = plan_of(DIAMOND.replace("key: b,", "key: b, continueOnError: true,"))
    state = run_of({})

    take_over(state, plan, msgspec.json.decode(msgspec.json.encode(settled)))

    a, b, c = (state.steps[token] for token in "abc")
    assert (a.status, a.attempt, a.provider, a.usage) == ("completed", 2, "x", usage)
    assert (a.output, a.shared) == (OutputAt(1, ref), True)
    assert (b.status, b.error, b.output) == ("failed", failure, None)
    assert (c.status, c.output) == ("completed", OutputAt(1, ref))
    assert (state.settled, state.usage.tokens, state.undoable) == (3, 0, [])


def test_a_fork_begins_with_what_waits_for_what_it_took_over() -> None:
    """Only the cut step is dispatched, as its first attempt."""
    plan = plan_of(DIAMOND)
    ref = PayloadRef(sha256="0" * 64, size=2)
    state = run_of({})
    take_over(state, plan, {key: msgspec.to_builtins(given_step(ref)) for key in "abc"})
    touch_all(state, plan)

    decision = decide(state, plan, Known(inputs={}, outputs={}))

    begun = [each for each in decision.effects if isinstance(each, Dispatch)]
    assert [(each.token, each.attempt) for each in begun] == [("d", 1)]


STATUSES: list[StepStatus] = ["completed", "failed", "running", "pending", "skipped", "timed_out"]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Plan, RunState, Plan, Cut]:
    """Return a run of any form in any state, and any way to fork it."""
    count = draw(st.integers(1, 8))
    lines, others = [], []
    for number in range(count):
        earlier = [f"s{other}" for other in range(number)]
        needed = draw(st.sets(st.sampled_from(earlier), max_size=3)) if earlier else set()
        reads = draw(st.booleans())
        text = f"{{key: s{number}, pool: p, dependsOn: [{', '.join(sorted(needed))}]"
        text += ', with: {x: "{{ who }}"}' if reads else ""
        text += f", continueOnError: {str(draw(st.booleans())).lower()}}}"
        lines.append(f"  - {text}")
        changed = draw(st.integers(0, 5)) == 0
        others.append(lines[-1].replace("pool: p", "pool: q") if changed else lines[-1])
    head = "name: w\ninputs: {who: you}\nsteps:\n"
    before, after = plan_of(head + "\n".join(lines)), plan_of(head + "\n".join(others))
    state = run_of({token: draw(st.sampled_from(STATUSES)) for token in before.steps})
    tokens = st.frozensets(st.sampled_from(sorted(before.steps)), max_size=2)
    inputs = draw(st.sampled_from([frozenset[str](), frozenset({"who"})]))
    cut = Cut(
        at=draw(tokens),
        given=draw(tokens),
        undone=draw(tokens),
        inputs=inputs,
        names=frozenset({"who"}),
    )
    return before, state, after, cut


@settings(deadline=None)
@given(histories())
def test_what_is_taken_over_is_closed_under_dependencies(
    history: tuple[Plan, RunState, Plan, Cut],
) -> None:
    """No step that is taken over waits for one that runs again, nor for one that was given."""
    before, state, after, cut = history

    tokens = set(taken_over(state, before, after, cut))

    for token in tokens:
        assert set(after.steps[token].dependencies) <= tokens
    assert not tokens & (cut.at | cut.given | cut.undone)
    assert not tokens & downstream(after, cut.at - cut.given)
