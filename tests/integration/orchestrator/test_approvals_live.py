"""Approvals on a real broker: does a run go on as those who are asked decide?"""

from typing import Any

import pytest
from support.runs import Runs

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import ApprovalRecorded, DecideApproval
from segue_contracts.v1.steps import StepWaiting
from segue_shared.errors import RefusedError

FORM = """
name: release
steps:
  - key: review
    approval:
      message: "Release {{ inputs.version }}?"
      approvers: [ann, bob, eve]
      quorum: 2
      form: {type: object, required: [risk], properties: {risk: {enum: [low, high]}}}
  - {key: ship, pool: POOL, dependsOn: [review], with: {risk: "{{ review.form.risk }}"}}
inputs: {version: "1.0"}
outputs: {by: "{{ steps.review.output.approvals | map(attribute='by') | list }}"}
"""
PLAIN = "{name: w, steps: [{key: review, approval: {message: ok?}}]}"


async def decide(runs: Runs, run: str, by: str, **fields: Any) -> ApprovalRecorded:
    """Say a person's word."""
    request = DecideApproval(run=run, by=by, **{"step": "review", "decision": "approved", **fields})
    recorded: ApprovalRecorded = await runs.call(registry.DECIDE_APPROVAL, request)
    return recorded


async def started(runs: Runs, text: str, step: str = "review") -> str:
    """Start a run and wait until it asks."""
    run = await runs.start(text)
    await runs.event(run, f"step.{step}.1.waiting", StepWaiting)
    return run


async def test_a_quorum_with_a_form_lets_the_run_go_on(runs: Runs) -> None:
    """Each person counts once; what was filled in is the step's output."""
    run = await started(runs, FORM)
    [wait] = (await runs.view(run)).waits

    first = await decide(runs, run, "ann", form={"risk": "high"})
    again = await decide(runs, run, "ann", form={"risk": "low"})
    second = await decide(runs, run, "bob", form={"risk": "low"}, comment="fine")

    assert (wait.message, wait.approvers, wait.quorum) == ("Release 1.0?", ["ann", "bob", "eve"], 2)
    assert wait.form["required"] == ["risk"]
    assert (first.missing, first.existing) == (1, False)
    assert (again.missing, again.existing) == (1, True)
    assert (second.missing, second.existing) == (0, False)
    assert await runs.output(run) == {"by": ["ann", "bob"]}
    assert (await runs.desk.came("ship")).input.inline == {"risk": "low"}


async def test_a_rejection_fails_the_step_at_once(runs: Runs) -> None:
    """One is enough, needs no form, and its comment is the reason."""
    run = await started(runs, FORM)

    recorded = await decide(runs, run, "eve", decision="rejected", comment="too early")
    error = await runs.error(run)

    assert recorded.missing == 0
    assert error.message == "step review: step review: rejected by eve: too early"
    assert error.details["code"] == "rejected"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"by": "mallory", "form": {"risk": "low"}}, "/by"),
        ({"by": "", "form": {"risk": "low"}}, "/by"),
        ({"by": "ann"}, "/form"),
        ({"by": "ann", "form": {"risk": "none"}}, "/form/risk"),
        ({"by": "ann", "step": "ship"}, "/step"),
        ({"by": "ann", "step": "~"}, "/step"),
    ],
)
async def test_a_word_that_cannot_count_is_refused_with_its_place(
    runs: Runs, fields: dict[str, Any], pointer: str
) -> None:
    """Who may not decide, a form that does not fit, and a step that asks nobody."""
    run = await started(runs, FORM)

    with pytest.raises(RefusedError) as caught:
        await decide(runs, run, **fields)

    assert [problem.pointer for problem in caught.value.refused.problems] == [pointer]
    assert not any(event.startswith("approval.") for event in await runs.story(run))


async def test_a_form_that_nobody_asked_for_is_refused(runs: Runs) -> None:
    """It would be lost."""
    run = await started(runs, PLAIN)

    with pytest.raises(RefusedError, match="asks for no form"):
        await decide(runs, run, "ann", form={"risk": "low"})


async def test_a_word_that_came_too_late_is_a_conflict_unless_it_is_known(runs: Runs) -> None:
    """Who decided is told so again; who did not hears that it is over."""
    run = await started(runs, PLAIN)
    await decide(runs, run, "ann")
    await runs.ended(run)

    again = await decide(runs, run, "ann")
    with pytest.raises(RefusedError, match="has ended") as caught:
        await decide(runs, run, "bob")

    assert again.existing
    assert caught.value.refused.code == "conflict"


async def test_a_step_that_does_not_ask_yet_is_a_conflict(runs: Runs) -> None:
    """The refusal says where the step stands."""
    runs.desk.hold("work")
    work = "[{key: work, pool: POOL}, {key: review, dependsOn: [work],"
    text = PLAIN.replace("[{key: review,", work)
    run = await runs.start(text)
    await runs.desk.came("work")

    with pytest.raises(RefusedError, match="it is pending"):
        await decide(runs, run, "ann")


async def test_an_approval_is_asked_for_each_item(runs: Runs) -> None:
    """A step's item is named with its index."""
    text = """
name: w
inputs: {files: [x, y]}
steps:
  - {key: review, forEach: "{{ inputs.files }}", approval: {message: "{{ item }}"}}
outputs: {n: "{{ steps.review.output | length }}"}
"""
    run = await started(runs, text, "review~1")
    asked = {wait.step: wait.message for wait in (await runs.view(run)).waits}

    for step in asked:
        await decide(runs, run, "ann", step=step)

    assert asked == {"review~0": "x", "review~1": "y"}
    assert await runs.output(run) == {"n": 2}


async def test_an_approval_that_nobody_gives_times_out(runs: Runs) -> None:
    """The deadline fails the step."""
    run = await runs.start(PLAIN.replace("ok?", "ok?, timeout: 60ms"))

    assert (await runs.error(run)).details["code"] == "wait_timeout"


@pytest.mark.parametrize("in_time", [True, False])
async def test_an_approval_that_is_open_too_long_is_escalated(runs: Runs, in_time: bool) -> None:  # noqa: FBT001 - a case of the test
    """The escalation step runs beside it, and is skipped when it was decided in time."""
    after = "1h" if in_time else "60ms"
    text = f"""
name: w
steps:
  - {{key: review, approval: {{message: ok?, escalation: {{after: {after}, step: nudge}}}}}}
  - {{key: nudge, pool: POOL}}
"""
    run = await started(runs, text)
    if not in_time:
        await runs.desk.came("nudge")

    await decide(runs, run, "ann")

    assert (await runs.ended(run)).status == "completed"
    assert runs.desk.steps == ([] if in_time else ["nudge"])
    nudged = "skipped" if in_time else "completed"
    assert f"step.nudge.1.outcome.{nudged}" in await runs.story(run)
