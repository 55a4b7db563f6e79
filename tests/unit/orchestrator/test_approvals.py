"""Approvals: whose word settles them, and what happens when nobody says one?"""

from support.history import (
    Event,
    History,
    began,
    completed,
    failed,
    fired,
    scheduled,
    settled,
    waiting,
)
from support.journal import T0

from segue_contracts.v1 import runs, steps
from segue_orchestrator.core.effects import BeginWait, Dispatch, End, Fail, Resolve, Skip, TimeOut


def one(approval: str) -> History:
    """Return a run of one approval that is open."""
    run = History(f"{{name: w, inputs: {{who: Ada}}, steps: [{{key: a, approval: {approval}}}]}}")
    [effect] = run.then()
    assert isinstance(effect, BeginWait)
    return run.decided().given(("step.a.1.waiting", effect.asked)).decided()


def word(
    by: str,
    decision: runs.Decision = "approved",
    *,
    step: str = "a",
    attempt: int = 1,
    comment: str = "",
    **form: object,
) -> Event:
    """Return a person's word."""
    body = runs.ApprovalGiven(
        step=step, attempt=attempt, decision=decision, by=by, form=form, comment=comment
    )
    return f"approval.{step}.{attempt}.{by}", body


def test_what_is_asked_is_told_to_those_who_decide() -> None:
    """The message is rendered, the limits are moments."""
    limits = "quorum: 2, timeout: 2s, form: {type: object}"
    text = f"{{message: 'Is {{{{ who }}}} right?', approvers: [x, y], {limits}}}"

    wait = one(text).state.step("a").wait

    assert wait is not None
    assert wait.asked == steps.StepWaiting(
        kind="approval",
        message="Is Ada right?",
        approvers=["x", "y"],
        quorum=2,
        form={"type": "object"},
        deadline_ms=T0 + 2_001,
    )


def test_a_step_is_approved_when_enough_people_have_said_so() -> None:
    """The output says who, and what they filled in; the last word on a field counts."""
    run = one("{quorum: 2}").given(word("x", a=1, b=1))
    assert run.then() == []

    [effect] = run.decided().given(word("y", b=2, comment="fine")).then()

    assert isinstance(effect, Resolve)
    assert effect.output["decision"] == "approved"
    assert effect.output["form"] == {"a": 1, "b": 2}
    assert [(v["by"], v["comment"]) for v in effect.output["approvals"]] == [
        ("x", ""),
        ("y", "fine"),
    ]


def test_a_person_counts_once() -> None:
    """The first word is the one."""
    run = one("{quorum: 2}").given(word("x"), word("x"), word("x", "rejected"))

    assert run.then() == []


def test_one_rejection_fails_the_step_for_good() -> None:
    """It is not tried again."""
    run = one("{quorum: 2}").given(word("x"), word("y", "rejected", comment="no way"))

    [effect] = run.then()

    assert isinstance(effect, Fail)
    assert (effect.error.code, effect.error.retryable) == ("rejected", False)
    assert effect.error.message == "step a: rejected by y: no way"


def test_a_rejection_without_a_comment_names_who() -> None:
    """Nothing is made up."""
    [effect] = one("true").given(word("y", "rejected")).then()

    assert isinstance(effect, Fail)
    assert effect.error.message == "step a: rejected by y"


def test_a_word_on_something_else_changes_nothing() -> None:
    """Another step, or another attempt."""
    run = one("true").given(word("x", step="b"), word("x", attempt=2))

    assert run.then() == []


def test_an_approval_that_nobody_decides_times_out() -> None:
    """Its limit counts from its beginning."""
    run = one("{timeout: 2s}")

    [effect] = run.given(fired(2_001), at_ms=2_001).then()

    assert isinstance(effect, TimeOut)


ESCALATING = """
name: w
steps:
  - {key: a, approval: {escalation: {after: 10s, step: call}}}
  - {key: call, pool: p}
"""


def escalating() -> History:
    """Return a run with an open approval that escalates."""
    run = History(ESCALATING)
    [effect] = run.then()
    assert isinstance(effect, BeginWait)
    return run.decided().given(("step.a.1.waiting", effect.asked)).decided()


def test_an_approval_that_is_open_for_too_long_escalates() -> None:
    """The escalation step runs, while the approval stays open."""
    run = escalating()
    [at] = run.arms()

    run.given(fired(at), at_ms=at)

    assert at == 10_001
    assert run.dispatched() == [("call", 1)]
    run.decided().given(scheduled("call"), completed("call", 1), word("x"))
    assert [type(effect) for effect in run.then()] == [Resolve]


def test_an_escalation_is_dispatched_once() -> None:
    """What is in flight is looked at, not begun again."""
    run = (
        escalating().given(fired(10_001), scheduled("call"), began("call"), at_ms=10_001).decided()
    )

    assert run.given(word("x", "approved")).dispatched() == []


def test_an_approval_in_time_skips_the_escalation() -> None:
    """The step that was not needed does not hold the run."""
    run = escalating().given(word("x"))
    run.decided().given(completed("a", {}))

    [skip] = run.then()
    run.decided().given(settled("call", steps.StepSkipped(reason="not_escalated")))

    assert skip == Skip(run.plan.steps["call"], "not_escalated")
    assert [type(effect) for effect in run.then()] == [End]


def test_an_escalation_step_waits_for_its_own_dependencies() -> None:
    """When the delay has passed before, it begins as soon as they are settled."""
    text = """
name: w
steps:
  - {key: a, approval: {escalation: {after: 10s, step: call}}}
  - {key: b, pool: p}
  - {key: call, pool: p, dependsOn: [b]}
"""
    run = History(text).given(waiting("a", kind="approval", escalate_ms=T0 + 10), scheduled("b"))
    assert run.given(fired(10), at_ms=10).dispatched() == []

    run.decided().given(completed("b", 1))

    assert [e.token for e in run.then() if isinstance(e, Dispatch)] == ["call"]


def test_a_rejected_approval_fails_the_run() -> None:
    """What people decided is final."""
    run = one("true").given(word("x", "rejected")).decided().given(failed("a", retryable=False))

    assert [type(effect) for effect in run.then()] == [End]
