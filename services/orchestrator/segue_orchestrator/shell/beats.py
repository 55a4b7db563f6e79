"""Beats: which signs of life does the journal no longer need?"""

from collections import deque
from collections.abc import Iterator

import msgspec

from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import IN_FLIGHT, Entry, RunState


class _Attempt(msgspec.Struct, frozen=True):
    token: str
    number: int


class _Beat(msgspec.Struct, frozen=True):
    sequence: int
    time_ms: int


class Beats:
    """The beats of a run's attempts that the journal holds, as far as they are known here."""

    def __init__(self) -> None:
        self._held: dict[_Attempt, deque[_Beat]] = {}

    def note(self, entry: Entry) -> None:
        """Take a beat in; any other event is none, and one that comes again is no second one."""
        if entry.event[3:4] == ("beat",) and entry.event[2].isdigit():
            attempt = _Attempt(entry.event[1], int(entry.event[2]))
            beats = self._held.setdefault(attempt, deque())
            if not beats or beats[-1].sequence < entry.sequence:
                beats.append(_Beat(entry.sequence, entry.time_ms))

    def outdated(self, state: RunState, plan: Plan) -> list[int]:
        """Take out the beats that nothing depends on any more, and return their sequences.

        That is one which another beat of its attempt has followed, once the alarm that it set has
        rung: a fold without it comes to the same.
        """
        if not self._held:
            return []
        found = [*self._past(state, plan)]
        self._held = {at: beats for at, beats in self._held.items() if _goes_on(state, at)}
        return found

    def _past(self, state: RunState, plan: Plan) -> Iterator[int]:
        for attempt, beats in self._held.items():
            step = plan.find(attempt.token)
            lasts_ms = 0 if step is None else step.limits.heartbeat_ms
            while len(beats) > 1 and beats[0].time_ms + lasts_ms <= state.now_ms:
                yield beats.popleft().sequence


def _goes_on(state: RunState, attempt: _Attempt) -> bool:
    step = state.step(attempt.token)
    return step.attempt == attempt.number and step.status in IN_FLIGHT
