"""Invariants: what holds of every journal, whoever wrote it?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from segue_orchestrator.core.entries import ChildStarted
from segue_orchestrator.core.evolve import evolve
from segue_orchestrator.core.loose_ends import idle_steps
from segue_orchestrator.core.plan import Plan, index_of, undone_token
from segue_orchestrator.core.snapshot import decode_state, encode_state
from segue_orchestrator.core.state import IN_FLIGHT, SETTLED, Entry, RunState

Invariant = Literal[
    "one_event_per_subject",
    "one_dispatch_per_attempt",
    "one_outcome_per_attempt",
    "dispatched_before_outcome",
    "attempts_increase",
    "dependencies_settled",
    "nothing_after_end",
    "next_cause",
    "refold_agrees",
]
"""What is checked; the names that reports use."""

_DISPATCHES: Final = frozenset({"scheduled", "waiting", "mapped"})
_LEASED: Final = "the run holds not all of its leases"

Fold = Callable[[RunState, Plan, Entry], None]
"""How an event changes a state: `evolve`, or what is to be held against it."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that does not hold."""

    invariant: Invariant
    """Which one."""
    place: str
    """The event or the step concerned."""
    message: str
    """What is wrong, in words."""


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that an event is about."""

    token: str
    number: int

    def __str__(self) -> str:
        return f"{self.token}.{self.number}"


class Checker:
    """Folds a journal event by event, and tells at once what each event breaks."""

    def __init__(self, state: RunState, plan: Plan, *, fold: Fold = evolve) -> None:
        self.state = state
        """The fold so far; it begins as the state after `started`, or as a snapshot."""
        self._plan = plan
        self._fold = fold
        self._subjects: set[tuple[str, ...]] = set()
        self._dispatched: set[Attempt] = set()
        self._settled: set[Attempt] = set()
        self._known = {token: step.attempt for token, step in state.steps.items()}

    def add(self, entry: Entry) -> list[Breach]:
        """Fold the next event and return what it breaks."""
        if entry.sequence <= self.state.last_seq:
            return []
        breaches = [*self._of_subject(entry), *self._of_dispatch(entry), *self._of_outcome(entry)]
        if self.state.ended is None:
            self._fold(self.state, self._plan, entry)
            return breaches
        before = canonical(self.state)
        self._fold(self.state, self._plan, entry)
        if _without_position(canonical(self.state)) != _without_position(before):
            breaches.append(_breach("nothing_after_end", entry, "it changes a run that has ended"))
        return breaches

    def _of_subject(self, entry: Entry) -> Iterator[Breach]:
        if entry.event in self._subjects:
            yield _breach("one_event_per_subject", entry, "its subject holds another event already")
        self._subjects.add(entry.event)

    def _of_dispatch(self, entry: Entry) -> Iterator[Breach]:
        attempt = dispatch_of(entry)
        if attempt is None:
            return
        latest = self.state.step(attempt.token)
        if attempt in self._dispatched:
            message = f"attempt {attempt} was dispatched before"
            yield _breach("one_dispatch_per_attempt", entry, message)
        elif attempt.number <= latest.attempt and self.state.ended is None:
            message = f"attempt {attempt} follows attempt {latest.attempt}"
            yield _breach("attempts_increase", entry, message)
        elif latest.status in IN_FLIGHT and self.state.ended is None:
            message = f"attempt {attempt} begins while attempt {latest.attempt} goes on"
            yield _breach("attempts_increase", entry, message)
        elif reason := self._unready(attempt.token):
            yield _breach("dependencies_settled", entry, f"attempt {attempt}: {reason}")
        self._dispatched.add(attempt)

    def _of_outcome(self, entry: Entry) -> Iterator[Breach]:
        attempt = outcome_of(entry)
        if attempt is None:
            return
        if attempt in self._settled:
            message = f"attempt {attempt} had an outcome before"
            yield _breach("one_outcome_per_attempt", entry, message)
        self._settled.add(attempt)
        known = attempt in self._dispatched or attempt.number <= self._known.get(attempt.token, 0)
        if known == (entry.event[-1] == "skipped"):
            what = "it was dispatched, and skipped" if known else "it was never dispatched"
            yield _breach("dispatched_before_outcome", entry, f"attempt {attempt}: {what}")

    def _unready(self, token: str) -> str:
        """Return why a step may not be dispatched here; empty when it may."""
        step = self._plan.find(token)
        if step is None:
            return ""
        if undone := undone_token(token):
            done = self.state.step(undone).status == "completed"
            return "" if done else f"{undone} has not completed, so nothing is to be undone"
        if (index := index_of(token)) is not None:
            repeated = self.state.step(step.token).map
            mapped = repeated is not None and index < repeated.count
            return "" if mapped else f"step {step.token} has no such item"
        if len(self.state.leases) < len(self._plan.leases):
            return _LEASED
        return next((reason for key in step.dependencies if (reason := self._blocked(key))), "")

    def _blocked(self, token: str) -> str:
        """Return why a dependency keeps those that wait for it; empty when it does not."""
        current = self.state.step(token)
        if current.status not in SETTLED:
            return f"step {token} is {current.status}"
        if current.status == "skipped":
            return f"step {token} was skipped" if current.reason == "upstream" else ""
        counts = current.status == "completed" or self._plan.steps[token].continue_on_error
        return "" if counts else f"step {token} is {current.status}"


def dispatch_of(entry: Entry) -> Attempt | None:
    """Return the attempt that an event hands out; None when it is no dispatch."""
    match entry.event:
        case ("step", token, number, what, *_) if what in _DISPATCHES and number.isdigit():
            return Attempt(token, int(number))
        case ("child", _, "started") if isinstance(entry.body, ChildStarted):
            return Attempt(entry.body.step, entry.body.attempt)
        case _:
            return None


def outcome_of(entry: Entry) -> Attempt | None:
    """Return the attempt that an event settles; None when it is no outcome."""
    match entry.event:
        case ("step", token, number, "outcome", _) if number.isdigit():
            return Attempt(token, int(number))
        case _:
            return None


def _breach(invariant: Invariant, entry: Entry, message: str) -> Breach:
    place = f"{'.'.join(entry.event)} at {entry.sequence}"
    return Breach(invariant=invariant, place=place, message=message)


# A run at rest.


def at_rest(state: RunState, plan: Plan) -> list[Breach]:
    """Return the steps that nothing will ever move, in a run of which all decisions are stored."""
    return [
        Breach(invariant="next_cause", place=idle.place, message=idle.message)
        for idle in idle_steps(state, plan)
    ]


# Folds.


def canonical(state: RunState) -> dict[str, Any]:
    """Return what a state says, without what only its owner knows or where values were moved to."""
    content: dict[str, Any] = _placed(msgspec.to_builtins(state, order="sorted"))
    for name in ("touched", "over"):
        del content[name]
    content["alarms"] = sorted(content["alarms"])
    for step in content["steps"].values():
        if step["map"] is not None:
            del step["map"]["offered"]
    return content


def _placed(content: Any) -> Any:
    """Return content with each place of a value reduced to its sequence."""
    match content:
        case {"sequence": sequence, "ref": _, **rest} if not rest:
            return {"sequence": sequence}
        case dict():
            return {name: _placed(value) for name, value in content.items()}
        case list():
            return [_placed(value) for value in content]
        case _:
            return content


def _without_position(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "last_seq"}


def same_state(first: RunState, second: RunState) -> bool:
    """Tell whether two folds agree."""
    return canonical(first) == canonical(second)


def differences(first: RunState, second: RunState) -> list[str]:
    """Return the names of what two folds do not agree on."""
    one, other = canonical(first), canonical(second)
    return [name for name, value in one.items() if value != other[name]]


def copied(state: RunState) -> RunState:
    """Return a state that went through a snapshot."""
    copy = decode_state(encode_state(state))
    if copy is None:
        raise ValueError("a snapshot is not read back")
    return copy


def check_journal(
    start: Callable[[], RunState], plan: Plan, entries: Sequence[Entry]
) -> tuple[RunState, list[Breach]]:
    """Hold a whole journal against every invariant that it can show; return its fold, too.

    Args:
        start: Makes the state after `started`, or of a snapshot, anew each time.
        plan: The run's plan.
        entries: What comes after, in stream order.
    """
    checker = Checker(start(), plan)
    breaches = [breach for entry in entries for breach in checker.add(entry)]
    for how, state in _refolds(start, plan, entries):
        if names := differences(checker.state, state):
            message = f"a fold {how} has other {', '.join(names)}"
            place = f"at {checker.state.last_seq}"
            breaches.append(Breach(invariant="refold_agrees", place=place, message=message))
    return checker.state, breaches


def _refolds(
    start: Callable[[], RunState], plan: Plan, entries: Sequence[Entry]
) -> Iterator[tuple[str, RunState]]:
    """Yield the state after folding in other ways that must come to the same."""
    twice = start()
    _fold(twice, plan, (entry for entry in entries for _ in range(2)))
    yield "with every event delivered twice", twice
    half = len(entries) // 2
    before = start()
    _fold(before, plan, entries[:half])
    resumed = copied(before)
    _fold(resumed, plan, entries)
    yield f"from a snapshot at {before.last_seq}", resumed


def _fold(state: RunState, plan: Plan, entries: Iterable[Entry]) -> None:
    for entry in entries:
        evolve(state, plan, entry)
