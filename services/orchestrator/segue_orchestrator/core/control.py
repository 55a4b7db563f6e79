"""Control: what must a run's journal say for what people ask of the run to take effect?"""

from decimal import Decimal

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.reply import Problem, RefusalCode, Refused
from segue_contracts.v1 import runs
from segue_contracts.v1.commands import (
    CancelRun,
    ExtendBudget,
    PauseRun,
    ResumeRun,
    ResumeRuns,
    TerminateRun,
)
from segue_contracts.v1.subjects import short_hash
from segue_orchestrator.core.limits import BUDGET_EXCEEDED, budget_of, over_budget
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import RunState


class Saying(msgspec.Struct, frozen=True):
    """An event that a command adds to a run's journal."""

    event: str
    """The last tokens of its subject."""
    body: Message


class ControlError(ValueError):
    """What was asked cannot be done to this run."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


def refusal(code: RefusalCode, message: str, *, pointer: str = "") -> ControlError:
    """Return the error that says why a command is refused, with the field where there is one."""
    problems = [Problem(message=message, code=code, pointer=pointer)] if pointer else []
    return ControlError(Refused(code=code, message=message, problems=problems))


def check_alive(state: RunState) -> None:
    """Check that a run has not ended.

    Raises:
        ControlError: It has.
    """
    if state.ended is not None:
        message = (
            f"run {state.run} has ended ({state.ended.status}); "
            f"'segue run fork {state.run}' goes on from what it finished"
        )
        raise refusal("conflict", message)


def pause(state: RunState, request: PauseRun) -> list[Saying]:
    """Return what pauses a run; nothing when it is paused.

    Raises:
        ControlError: It has ended.
    """
    check_alive(state)
    if state.paused:
        return []
    body = runs.RunPaused(reason=request.reason, by=request.by)
    return [Saying(f"paused.{state.pauses + 1}", body)]


def resume(state: RunState, plan: Plan, request: ResumeRun | ResumeRuns) -> list[Saying]:
    """Return what lets a run go on, whether it is paused, parked or both; nothing when neither.

    Raises:
        ControlError: It has ended, or would be parked again at once for its spent budget.
    """
    check_alive(state)
    sayings: list[Saying] = []
    if state.parked is not None:
        reason = over_budget(state, plan)
        if state.parked.code == BUDGET_EXCEEDED and reason:
            way_out = f"allow it more with 'segue run budget {state.run}', and it goes on"
            raise refusal("conflict", f"run {state.run}: {reason}; {way_out}")
        sayings.append(_unparked(state, reason=request.reason, by=request.by))
    if state.paused:
        body = runs.RunResumed(reason=request.reason, by=request.by)
        sayings.append(Saying(f"resumed.{state.pauses + 1}", body))
    return sayings


def _unparked(state: RunState, *, reason: str, by: str) -> Saying:
    return Saying(f"unparked.{state.parks + 1}", runs.RunUnparked(reason=reason, by=by))


def cancel(state: RunState, request: CancelRun) -> list[Saying]:
    """Return what asks a run to stop; nothing when it was asked or has ended."""
    if state.ended is not None or state.cancel is not None:
        return []
    body = runs.CancelRequested(reason=request.reason, by=request.by)
    return [Saying("cancel_requested", body)]


def terminate(state: RunState, request: TerminateRun) -> list[Saying]:
    """Return what ends a run at once; nothing when it is to or has ended."""
    if state.ended is not None or state.terminate is not None:
        return []
    body = runs.TerminateRequested(reason=request.reason, by=request.by)
    return [Saying("terminate_requested", body)]


def extend(state: RunState, plan: Plan, request: ExtendBudget) -> list[Saying]:
    """Return what allows a run more; nothing when the request's key has allowed it before.

    Raises:
        ControlError: It has ended, has no such limit, nothing is added, or the key has added
            something else.
    """
    body = runs.BudgetExtended(
        usd=request.usd,
        tokens=request.tokens,
        seconds=request.seconds,
        by=request.by,
        key=request.key,
    )
    if (first := state.extended.get(request.key)) is not None:
        _check_same(request, body, first)
        return []
    check_alive(state)
    _check_more(state, plan, request)
    number = short_hash(request.key) if request.key else str(state.extensions + 1)
    return [Saying(f"budget.{number}", body)]


def _check_same(
    request: ExtendBudget, body: runs.BudgetExtended, first: runs.BudgetExtended
) -> None:
    """Check that what is asked for again under its key is what was asked for first."""
    if msgspec.structs.replace(body, by=first.by) != first:
        message = f"key {request.key!r} has added something else to the budget of run {request.run}"
        raise refusal("conflict", f"{message}; use a new key to add more", pointer="/key")


def _check_more(state: RunState, plan: Plan, request: ExtendBudget) -> None:
    limits = budget_of(state, plan)
    if limits is None:
        raise refusal("conflict", f"run {state.run} has no budget, so nothing limits it")
    added: dict[str, tuple[float | Decimal, bool]] = {
        "usd": (Decimal(request.usd), bool(Decimal(limits.usd))),
        "tokens": (request.tokens, bool(limits.tokens)),
        "seconds": (request.seconds, bool(limits.seconds)),
    }
    for name, (more, limited) in added.items():
        if more < 0:
            raise refusal("invalid_request", f"{name} must not be negative", pointer=f"/{name}")
        if more and not limited:
            message = f"the budget of run {state.run} has no limit in {name}"
            raise refusal("invalid_request", message, pointer=f"/{name}")
    if not any(more for more, _ in added.values()):
        raise refusal("invalid_request", "usd, tokens or seconds must say how much is added")


def after_extension(state: RunState, plan: Plan, request: ExtendBudget) -> list[Saying]:
    """Return what lets a run go on that was parked for a budget which is no longer spent."""
    parked = state.parked
    if state.ended is not None or parked is None or parked.code != BUDGET_EXCEEDED:
        return []
    if over_budget(state, plan):
        return []
    return [_unparked(state, reason="the budget was extended", by=request.by)]


def fits(state: RunState, request: ResumeRuns) -> bool:
    """Tell whether a bulk resume is meant for a run."""
    if state.ended is not None or request.workflow not in {"", state.workflow}:
        return False
    if request.status == "paused":
        return state.paused
    return state.parked is not None and request.code in {"", state.parked.code}
