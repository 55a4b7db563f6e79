"""Decide: given what is known of a run, what must exist next?"""

from collections.abc import Iterator
from typing import Final

from msgspec import UnsetType

from segue_contracts.v1.subjects import lease_name
from segue_language import ExpressionError, render
from segue_orchestrator.core.closing import Closing, close, closing_of, end_if_settled
from segue_orchestrator.core.effects import (
    Acquire,
    Arm,
    Decision,
    Dispatch,
    Effect,
    Launch,
    OpenMap,
    Park,
    Release,
    StartChild,
    StopChild,
    TellParent,
    TimeOut,
)
from segue_orchestrator.core.limits import BUDGET_EXCEEDED, budget_of, over_budget, purse_of
from segue_orchestrator.core.plan import LeasePlan, Plan, index_of
from segue_orchestrator.core.policies import HELD_LOOK_MS, LEASE_LOOK_MS
from segue_orchestrator.core.progress import Progress
from segue_orchestrator.core.room import Room
from segue_orchestrator.core.scopes import Known, MissingError, Scopes
from segue_orchestrator.core.state import OutputAt, RunState

_GOES_ON = TimeOut | Launch | StopChild
"""What happens to work in flight even while a run is paused or parked."""


_NOTHING: Final = Decision()


def decide(state: RunState, plan: Plan, known: Known, room: Room | None = None) -> Decision:
    """Return what must exist next, looking at the steps that changed.

    Args:
        state: What is known of the run.
        plan: Its definition, compiled.
        known: Values that were fetched for it.
        room: What may be dispatched; None for all.

    Every effect may exist already: storing it again is harmless. Whoever stored all effects of a
    decision with no needs calls `remember`.
    """
    if _is_idle(state, plan):
        return _NOTHING
    if state.ended is not None:
        return Decision(tuple(_after_end(state, plan, Scopes(state, plan, known))))
    scopes = Scopes(state, plan, known)
    purse = purse_of(state, plan)
    progress = Progress(state, plan, scopes, room=room or Room(), purse=purse)
    if (closing := closing_of(state, plan)) is not None:
        return _closed(state, plan, closing, progress)
    if (gate := _gate(state, plan, scopes)) is not None:
        return Decision((*gate, *_wake_up(state, plan)), gated=True)
    return _advance(state, plan, progress, scopes)


def _is_idle(state: RunState, plan: Plan) -> bool:
    """Tell at a glance that nothing follows, as when a dispatch is read back.

    No step is to be looked at, nothing closes the run or holds it back, and no time is set.
    """
    return not (
        state.touched
        or state.alarms
        or state.ended is not None
        or state.settled == len(plan.steps)
        or state.cancel is not None
        or state.terminate is not None
        or plan.timeout_ms
        or plan.budget is not None
        or not isinstance(state.started.budget, UnsetType)
        or len(state.leases) < len(plan.leases)
    )


def _advance(state: RunState, plan: Plan, progress: Progress, scopes: Scopes) -> Decision:
    effects: list[Effect] = []
    needs: list[OutputAt] = []
    touched = state.touched if len(state.touched) == 1 else sorted(state.touched, key=plan.rank)
    for token in touched:
        try:
            effects += progress.of(token)
        except MissingError as missing:
            needs += missing.needs
    if state.paused or state.parked is not None:
        effects = [effect for effect in effects if isinstance(effect, _GOES_ON)]
        effects += _wake_up(state, plan)
        return Decision(tuple(effects), tuple(dict.fromkeys(needs)))
    effects = _within_budget(state, plan, effects)
    try:
        effects += end_if_settled(state, plan, scopes, progress)
    except MissingError as missing:
        needs += missing.needs
    effects += _wake_up(state, plan)
    if progress.held:
        effects.append(Arm(state.now_ms + HELD_LOOK_MS))
    return Decision(tuple(effects), tuple(dict.fromkeys(needs)), held=tuple(progress.held))


def _closed(state: RunState, plan: Plan, closing: Closing, progress: Progress) -> Decision:
    try:
        effects = close(state, plan, closing, progress)
    except MissingError as missing:
        return Decision(needs=missing.needs)
    if _is_held(state, closing):
        held = Dispatch | StartChild | Park
        effects = [effect for effect in effects if not isinstance(effect, held)]
    return Decision((*effects, *_wake_up(state, plan)))


def _is_held(state: RunState, closing: Closing) -> bool:
    """Tell whether tasks that undo steps must wait; what parked the run before does not count."""
    return state.paused or (state.parked is not None and state.parked_ms >= closing.since_ms)


def remember(state: RunState, decision: Decision) -> None:
    """Note that all effects of a decision are stored, so that they are not decided again."""
    if not decision.gated:
        state.touched = {held.token for held in decision.held}
    state.over.clear()
    for effect in decision.effects:
        # A later attempt says nothing of the items before it.
        if isinstance(effect, Dispatch | StartChild) and effect.attempt == 1:
            _offered(state, effect.token)


def _offered(state: RunState, token: str) -> None:
    index = index_of(token)
    base = state.steps.get(token.partition("~")[0])
    if index is not None and base is not None and base.map is not None:
        base.map.offered = max(base.map.offered, index + 1)


# What holds a run back.


def _gate(state: RunState, plan: Plan, scopes: Scopes) -> list[Effect] | None:
    """Return what is to be done about leases that the run lacks; None when it lacks none."""
    if len(state.leases) >= len(plan.leases):
        return None
    if state.paused or state.parked is not None:
        return []
    effects: list[Effect] = []
    for lease in plan.leases:
        try:
            effects += _acquire(state, lease, scopes)
        except ExpressionError as error:
            return [Park("expression_failed", f"{lease.kind}: {error}")]
    return effects or None


def _acquire(state: RunState, lease: LeasePlan, scopes: Scopes) -> list[Effect]:
    name, key = _name_of(state, lease, scopes)
    if name in state.leases:
        return []
    return [
        Acquire(
            name=name,
            key=key,
            limit=lease.limit,
            kind=lease.kind,
            policy=lease.policy,
            per_ms=lease.per_ms,
        ),
        Arm(state.now_ms + LEASE_LOOK_MS),
    ]


def _name_of(state: RunState, lease: LeasePlan, scopes: Scopes) -> tuple[str, str]:
    key = str(render(lease.key, scopes.of_inputs()))
    return lease_name(lease.kind, state.workflow, key), key


def _within_budget(state: RunState, plan: Plan, effects: list[Effect]) -> list[Effect]:
    """Hold back new work when the budget is spent, and park the run."""
    begins = [effect for effect in effects if isinstance(effect, Dispatch | StartChild | OpenMap)]
    reason = over_budget(state, plan) if begins else ""
    if not reason:
        return effects
    rest = [effect for effect in effects if effect not in begins]
    if plan.budget is not None and not plan.budget.parks:
        # The run fails as soon as nothing is in flight any more; see `closing_of`.
        return rest
    message = f"{reason}; extend the budget and the run goes on"
    return [*rest, Park(BUDGET_EXCEEDED, message)]


# Time.


def _wake_up(state: RunState, plan: Plan) -> Iterator[Arm]:
    """Yield the timer that the run's earliest deadline needs."""
    moments = [state.alarms[0].at_ms] if state.alarms else []
    if plan.timeout_ms:
        moments.append(state.started_ms + plan.timeout_ms)
    limits = budget_of(state, plan)
    if limits is not None and limits.seconds:
        moments.append(state.started_ms + int(limits.seconds * 1000))
    if due := [at_ms for at_ms in moments if at_ms > state.now_ms]:
        yield Arm(min(due))


# The end.


def _after_end(state: RunState, plan: Plan, scopes: Scopes) -> Iterator[Effect]:
    """Yield what the end of a run implies; events that came later may hide which was the newest."""
    parent = state.started.parent
    if state.ended is not None and not isinstance(parent, UnsetType):
        yield TellParent(parent, state.ended)
    if names := tuple(dict.fromkeys(_leases_to_return(state, plan, scopes))):
        yield Release(names)


def _leases_to_return(state: RunState, plan: Plan, scopes: Scopes) -> Iterator[str]:
    """Yield the leases that the run holds, or may have asked for without being told; no rates."""
    yield from state.leases_held
    for lease in plan.leases:
        if lease.kind == "concurrency":
            try:
                yield _name_of(state, lease, scopes)[0]
            except ExpressionError:
                # A key that cannot be told was never asked for.
                continue
