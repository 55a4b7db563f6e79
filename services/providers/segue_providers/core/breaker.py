"""The breaker: may a model be called now, after what it did lately?

Closed lets everything through. Open lets nothing through. Half-open admits one call, then three at
once. Ramping lets a growing share of calls go there first. What is admitted carries the epoch of
its admission, so that a call of an earlier state cannot move a later one.
"""

from dataclasses import dataclass
from typing import Final

from segue_contracts.v1.providers import BreakerState
from segue_providers.core.health import TRANSPORT, Result
from segue_providers.core.window import Window

OPEN_MS: Final = 15_000
"""How long a breaker stays open at first; each time in a row it is twice as long."""
LONGEST_OPEN_MS: Final = 300_000
"""How long it stays open at most, also when the provider asks for longer."""
LEAST_CALLS: Final = 10
"""Calls in the window before their share of faults means anything."""
FAULT_SHARE: Final = 0.5
"""The share of faults that opens it."""
MOST_TRANSPORT: Final = 5
"""Transport failures in a row that open it."""
PROBES: Final = (1, 3)
"""How many calls are admitted at once while half-open, stage by stage."""
SHARES: Final = (0.1, 0.5)
"""The share of calls that may go there first while ramping, stage by stage."""
STAGE_CALLS: Final = 5
"""Successes that end a stage of the ramp."""
STAGE_MS: Final = 60_000
"""Milliseconds without opening that end a stage of the ramp."""

_RAMP_LEAST_CALLS: Final = 4
_RAMP_TRANSPORT: Final = 2
_JITTER: Final = 0.2
_PROBE_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Pass:
    """What an admitted call holds until it is recorded."""

    epoch: int
    """The state's number when it was admitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A breaker changed its state."""

    before: BreakerState
    state: BreakerState
    reason: str
    """Why, for people."""


class Breaker:
    """The breaker of one model."""

    __slots__ = (
        "_changes",
        "_epoch",
        "_probed_ms",
        "_probing",
        "_since_ms",
        "_stage",
        "_state",
        "_successes",
        "_times",
        "_transport",
        "_until_ms",
        "_window",
    )

    def __init__(self) -> None:
        self._state: BreakerState = "closed"
        self._epoch = 0
        self._until_ms = 0
        self._times = 0
        self._stage = 0
        self._since_ms = 0
        self._successes = 0
        self._probing = 0
        self._probed_ms = 0
        self._transport = 0
        self._window = Window()
        self._changes: list[Change] = []

    @property
    def until_ms(self) -> int:
        """When it admits a first probe; 0 unless it is open."""
        return self._until_ms if self._state == "open" else 0

    @property
    def calm(self) -> bool:
        """Whether it lets all through, and there is nothing to tell."""
        return self._state == "closed" and not self._changes

    def state(self, now_ms: int) -> BreakerState:
        """Return the state, moved on by time."""
        if self._state == "open" and now_ms >= self._until_ms:
            self._to("half_open", now_ms, reason="it was open for long enough")
        elif self._state == "ramping" and now_ms - self._since_ms >= STAGE_MS:
            self._next_share(now_ms)
        return self._state

    def admits_at(self, now_ms: int) -> int:
        """Return 0 when a call would be admitted now, else when to look again."""
        if self.state(now_ms) == "open":
            return self._until_ms
        full = self._state == "half_open" and self._taken(now_ms) >= PROBES[self._stage]
        return self._probed_ms + _PROBE_MS if full else 0

    def awaits_probe(self, now_ms: int) -> bool:
        """Tell whether it is half-open and nobody has tried yet."""
        half_open = self.state(now_ms) == "half_open"
        return half_open and self._stage == 0 and not self._taken(now_ms)

    def share(self, now_ms: int) -> float:
        """Return which share of calls may go there first, 0 to 1; the others go there last."""
        return SHARES[self._stage] if self.state(now_ms) == "ramping" else 1.0

    def admit(self, *, now_ms: int) -> Pass | None:
        """Admit a call; each pass must come back by `record`, however the call ends."""
        if self.admits_at(now_ms):
            return None
        if self._state == "half_open":
            self._probing += 1
            self._probed_ms = now_ms
        return Pass(self._epoch)

    def record(self, admitted: Pass, result: Result, *, now_ms: int, jitter: float) -> None:
        """Take into account how an admitted call ended.

        Args:
            admitted: Its pass.
            result: How it ended.
            now_ms: When.
            jitter: A random number from 0 to 1; it spreads instances that opened together.
        """
        if admitted.epoch != self._epoch:
            self._hear(result, now_ms)
            return
        if self._state == "half_open" and self._probing:
            self._probing -= 1
        if result.fault:
            self._failed(result, now_ms, jitter)
        elif result.error is None:
            self._succeeded(now_ms)

    def changes(self) -> list[Change]:
        """Return what changed since this was asked last."""
        changes, self._changes = self._changes, []
        return changes

    def _hear(self, result: Result, now_ms: int) -> None:
        """Let a late failure lengthen the wait if its provider asks for that, never shorten it."""
        if self._state == "open" and result.fault:
            self._until_ms = max(self._until_ms, now_ms + _asked_ms(result))

    def _taken(self, now_ms: int) -> int:
        """Return the probes in flight; one that never came back counts no more after a while."""
        if now_ms - self._probed_ms >= _PROBE_MS:
            self._probing = 0
        return self._probing

    def _failed(self, result: Result, now_ms: int, jitter: float) -> None:
        self._window.add(now_ms, fault=True)
        self._transport = self._transport + 1 if result.error in TRANSPORT else 0
        reason = self._why_open(now_ms)
        if not reason:
            return
        wait = min(OPEN_MS << min(self._times, 10), LONGEST_OPEN_MS)
        spread = round(wait * (1 - _JITTER / 2 + _JITTER * jitter))
        self._times += 1
        self._until_ms = now_ms + max(min(spread, LONGEST_OPEN_MS), _asked_ms(result))
        self._to("open", now_ms, reason=f"{reason}, the last with {result.error}")

    def _why_open(self, now_ms: int) -> str:
        if self._state == "half_open":
            return "a probe failed"
        ramping = self._state == "ramping"
        if self._transport >= (_RAMP_TRANSPORT if ramping else MOST_TRANSPORT):
            return f"{self._transport} transport failures in a row"
        calls, faults = self._window.calls(now_ms), self._window.faults(now_ms)
        least = _RAMP_LEAST_CALLS if ramping else LEAST_CALLS
        if calls >= least and faults >= calls * FAULT_SHARE:
            return f"{faults} of {calls} calls failed within a minute"
        return ""

    def _succeeded(self, now_ms: int) -> None:
        self._window.add(now_ms)
        self._transport = 0
        self._successes += 1
        if self._state == "half_open" and self._successes >= PROBES[self._stage]:
            self._next_probes(now_ms)
        elif self._state == "ramping" and self._successes >= STAGE_CALLS:
            self._next_share(now_ms)

    def _next_probes(self, now_ms: int) -> None:
        self._successes = 0
        self._stage += 1
        if self._stage >= len(PROBES):
            self._to("ramping", now_ms, reason="its probes were answered")

    def _next_share(self, now_ms: int) -> None:
        self._successes = 0
        self._since_ms = now_ms
        self._stage += 1
        if self._stage >= len(SHARES):
            self._times = 0
            self._to("closed", now_ms, reason="it answers again")

    def _to(self, state: BreakerState, now_ms: int, *, reason: str) -> None:
        self._changes.append(Change(before=self._state, state=state, reason=reason))
        self._state = state
        self._epoch += 1
        self._stage = self._successes = self._probing = self._transport = 0
        self._since_ms = now_ms
        self._window.clear()


def _asked_ms(result: Result) -> int:
    """Return how long the provider asks to be left alone, within reason."""
    return min(round((result.retry_after_s or 0) * 1000), LONGEST_OPEN_MS)
