"""Approvals: may this person decide on this step, and what is still missing then?"""

import msgspec

from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import runs
from segue_contracts.v1.commands import DecideApproval
from segue_contracts.v1.subjects import SubjectError, short_hash, step_text_of, step_token_of
from segue_language import schema_problems
from segue_orchestrator.core.control import ControlError, Saying, check_alive, refusal
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import RunState, WaitState


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says to an approval, as it enters the journal."""

    saying: Saying
    missing: int
    """How many approvals are missing once it counts."""
    existing: bool = False
    """Whether this person had decided before."""


def event_of(token: str, attempt: int, by: str) -> str:
    """Return the event of a person's word on an attempt; there is one only."""
    return f"approval.{short_hash(f'{token}/{attempt}/{by}')}"


def token_of(plan: Plan, step: str) -> str:
    """Return the token of the step that a person names.

    Raises:
        ControlError: The workflow has none such that asks for approval.
    """
    try:
        token = step_token_of(step)
    except SubjectError as error:
        raise refusal("invalid_request", f"step: {error}", pointer="/step") from error
    found = plan.find(token)
    if found is None or found.approval is None:
        asking = [one.key for one in plan.steps.values() if one.approval is not None]
        known = f"approvals are {', '.join(asking)}" if asking else "it has no approvals"
        message = f"workflow {plan.name} has no approval {step!r}; {known}"
        raise refusal("not_found", message, pointer="/step")
    return token


def word_of(state: RunState, plan: Plan, request: DecideApproval) -> Word:
    """Return a person's word, checked.

    Raises:
        ControlError: The run has ended, the step asks nobody now, this person is not asked, or the
            form is not filled in as it should be.
    """
    if not request.by:
        raise refusal("invalid_request", "'by' must say who decides", pointer="/by")
    token = token_of(plan, request.step)
    check_alive(state)
    wait = _open(state, token)
    asked = wait.asked
    if asked.approvers and request.by not in asked.approvers:
        message = f"{request.by} may not decide on step {request.step}; asked are "
        raise refusal("invalid_request", message + ", ".join(asked.approvers), pointer="/by")
    existing = any(vote.by == request.by for vote in wait.votes)
    if not existing:
        _check_form(wait, request)
    attempt = state.step(token).attempt
    body = runs.ApprovalGiven(
        step=token,
        attempt=attempt,
        decision=request.decision,
        by=request.by,
        form=request.form,
        comment=request.comment,
    )
    saying = Saying(event_of(token, attempt, request.by), body)
    missing = _missing(wait, request, existing=existing)
    return Word(saying=saying, missing=missing, existing=existing)


def _open(state: RunState, token: str) -> WaitState:
    step = state.step(token)
    if step.wait is not None and step.status == "waiting":
        return step.wait
    message = f"step {step_text_of(token)} of run {state.run} does not wait for approval now: "
    raise refusal("conflict", f"{message}it is {step.status}")


def _check_form(wait: WaitState, request: DecideApproval) -> None:
    """Check what is filled in; who rejects need not fill in anything."""
    schema = wait.asked.form
    if not schema and request.form:
        raise refusal("invalid_request", "this approval asks for no form", pointer="/form")
    if not schema or (request.decision == "rejected" and not request.form):
        return
    problems = [
        Problem(message=problem.message, code="schema", pointer=f"/form{problem.pointer}")
        for problem in schema_problems(schema, request.form)
    ]
    if problems:
        message = f"the form of step {request.step} is not filled in as its schema asks"
        raise ControlError(Refused(code="invalid_request", message=message, problems=problems))


def _missing(wait: WaitState, request: DecideApproval, *, existing: bool) -> int:
    decisions = [vote.decision for vote in wait.votes]
    if not existing:
        decisions.append(request.decision)
    if "rejected" in decisions:
        return 0
    return max(0, wait.asked.quorum - len(decisions))
