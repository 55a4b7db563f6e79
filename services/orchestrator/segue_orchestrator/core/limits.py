"""Limits: which attempt has taken too long, and what has a run left to use?"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UnsetType

from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.runs import BudgetLimits
from segue_contracts.v1.subjects import step_text_of
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.plan import Plan, StepPlan
from segue_orchestrator.core.policies import START_GRACE_MS
from segue_orchestrator.core.state import RunState
from segue_orchestrator.core.usage import decimal_text

BUDGET_EXCEEDED: Final = "budget_exceeded"
"""The ledger, or the run's own sums, have no room for more."""
_LEAST_USD: Final = Decimal("0.000000000001")
_LEAST_S: Final = 0.001


def expired(state: RunState, step: StepPlan, token: str) -> Failure | None:
    """Return which limit of the attempt in flight has passed; None for none."""
    current, limits, now_ms = state.steps[token], step.limits, state.now_ms
    name = step_text_of(token)
    if 0 < current.deadline_ms <= now_ms:
        seconds = (current.deadline_ms - current.scheduled_ms) / 1000
        return _late("timeout", f"step {name} did not finish within {seconds:g} s")
    if not current.started_ms:
        if limits.queue_ms and now_ms >= current.scheduled_ms + limits.queue_ms + START_GRACE_MS:
            seconds = limits.queue_ms / 1000
            return _late("queue_timeout", f"no worker began step {name} within {seconds:g} s")
        return None
    if limits.start_to_close_ms and now_ms >= current.started_ms + limits.start_to_close_ms:
        seconds = limits.start_to_close_ms / 1000
        return _late("timeout", f"step {name} ran for longer than {seconds:g} s")
    if limits.heartbeat_ms and now_ms >= current.alive_ms + limits.heartbeat_ms:
        seconds = limits.heartbeat_ms / 1000
        return _late("worker_lost", f"step {name} gave no sign of life for {seconds:g} s")
    return None


def _late(code: str, message: str) -> Failure:
    return Failure(code=code, message=message)


def over_budget(state: RunState, plan: Plan) -> str:
    """Return which limit of its budget a run has reached; empty for none."""
    limits = budget_of(state, plan)
    if limits is None:
        return ""
    if Decimal(limits.usd) and state.usage.usd >= Decimal(limits.usd):
        return f"{decimal_text(state.usage.usd)} of {limits.usd} USD are spent"
    if limits.tokens and state.usage.tokens >= limits.tokens:
        return f"{state.usage.tokens} of {limits.tokens} tokens are used"
    if limits.seconds and state.now_ms >= state.started_ms + limits.seconds * 1000:
        return f"the run has taken {limits.seconds:g} s"
    return ""


def budget_of(state: RunState, plan: Plan) -> BudgetLimits | None:
    """Return what a run may use in all: the definition's, the parent's, and what was added."""
    own, given = plan.budget, state.started.budget
    limits = []
    if own is not None:
        limits.append(BudgetLimits(usd=own.usd or "0", tokens=own.tokens, seconds=own.seconds))
    if not isinstance(given, UnsetType):
        limits.append(given)
    if not limits:
        return None
    usd = _least(Decimal(limit.usd) for limit in limits)
    tokens, seconds = _least(limit.tokens for limit in limits), _least(x.seconds for x in limits)
    return BudgetLimits(
        usd=decimal_text(usd + state.extra.usd if usd else Decimal(0)),
        tokens=int(tokens + state.extra.tokens) if tokens else 0,
        seconds=float(seconds) + state.extra_seconds if seconds else 0,
    )


def _least(amounts: "Iterator[Decimal] | Iterator[int] | Iterator[float]") -> Decimal:
    """Return the smallest limit that is one; 0 for none."""
    return min((Decimal(str(amount)) for amount in amounts if amount), default=Decimal(0))


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """What tasks and child runs are told of what they may use."""

    left: BudgetLimits
    """What the run has left."""
    allowances: tuple[Allowance, ...]
    """The accounts that are charged: those of the runs above, and the run's own."""


def purse_of(state: RunState, plan: Plan) -> Purse | None:
    """Return what a run hands on of its budget; None without a limit."""
    limits, left = budget_of(state, plan), budget_left(state, plan)
    if limits is None or left is None:
        return None
    usd = limits.usd if Decimal(limits.usd) else ""
    own = Allowance(account=f"run.{state.run}", usd=usd, tokens=limits.tokens)
    bounded = (own,) if usd or limits.tokens else ()
    return Purse(left=left, allowances=(*state.started.allowances, *bounded))


def budget_left(state: RunState, plan: Plan) -> BudgetLimits | None:
    """Return what a run has left, as its tasks and child runs are told; None without a limit.

    What is used up is told as next to nothing, since 0 would be no limit.
    """
    limits = budget_of(state, plan)
    if limits is None:
        return None
    passed_s = (state.now_ms - state.started_ms) / 1000
    usd = Decimal(limits.usd)
    return BudgetLimits(
        usd=decimal_text(max(usd - state.usage.usd, _LEAST_USD)) if usd else "0",
        tokens=max(limits.tokens - state.usage.tokens, 1) if limits.tokens else 0,
        seconds=max(limits.seconds - passed_s, _LEAST_S) if limits.seconds else 0,
    )
