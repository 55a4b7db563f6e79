"""Health: how have the models fared lately, as this instance saw it?"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.catalogue import Target
from segue_providers.core.window import SPAN_MS, Window

IDLE_MS: Final = 15 * 60_000
"""A model that was not called for so long is forgotten."""
MOST_MODELS: Final = 1_000
"""How many models are kept at most; callers may name any."""
WEIGHT: Final = 0.2
"""How much the latest call counts in a moving average."""

_SWEEP_MS: Final = 60_000
_SAMPLES: Final = 64
_MINUTE_MS: Final = 60_000
_SLOW_SHARE: Final = 0.95
_PATIENCE_MS: Final = 10_000

_FAULTS: Final[frozenset[ErrorClass]] = frozenset(
    {
        "overloaded",
        "server_error",
        "timeout_connect",
        "timeout_first_token",
        "timeout_idle",
        "transport",
        "truncated",
    }
)
TRANSPORT: Final[frozenset[ErrorClass]] = frozenset({"transport", "timeout_connect"})
"""Errors that say the provider cannot even be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one try at one provider ended."""

    error: ErrorClass | None = None
    """None when it answered."""
    total_ms: float = 0.0
    """Milliseconds it took."""
    first_token_ms: float = 0.0
    """Milliseconds to its first token; 0 when it streamed none."""
    retry_after_s: float | None = None
    """Seconds the provider asked to wait; None when it did not say."""

    @property
    def fault(self) -> bool:
        """Whether the provider is to blame.

        It is not for what is wrong with a request, a key or a limit, nor for a caller in a hurry.
        """
        hurried = self.error == "timeout_total" and self.total_ms < _PATIENCE_MS
        return self.error in _FAULTS or (self.error == "timeout_total" and not hurried)


@dataclass(slots=True)
class Vital:
    """What is remembered of one model."""

    window: Window = field(default_factory=Window)
    latency_ms: float = 0.0
    """Moving average of answered calls; 0 while there was none."""
    first_token_ms: float = 0.0
    """Moving average; 0 while nothing was streamed."""
    in_flight: int = 0
    """Calls that run now."""
    used_ms: int = 0
    """When it was last called, or a call ended."""
    firsts: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    """The latest times to a first token."""

    def per_minute(self, now_ms: int) -> float:
        """Return the calls per minute that ended lately."""
        return self.window.calls(now_ms) * _MINUTE_MS / SPAN_MS

    def slow_first_token_ms(self) -> float:
        """Return what nineteen in twenty first tokens are faster than; 0 while unknown."""
        if not self.firsts:
            return 0.0
        return sorted(self.firsts)[min(int(len(self.firsts) * _SLOW_SHARE), len(self.firsts) - 1)]


class Health:
    """The models that were called lately."""

    def __init__(self) -> None:
        self._vitals: dict[Target, Vital] = {}
        self._in_flight: dict[str, int] = {}
        self._swept_ms = 0

    def of(self, target: Target) -> Vital | None:
        """Return what is remembered of a model; None when nothing is."""
        return self._vitals.get(target)

    def in_flight(self, provider: str) -> int:
        """Return how many calls to a provider run now."""
        return self._in_flight.get(provider, 0)

    def known(self, provider: str) -> list[tuple[Target, Vital]]:
        """Return the models of a provider that were called lately, by name."""
        known = [(one, vital) for one, vital in self._vitals.items() if one.provider == provider]
        return sorted(known, key=lambda pair: pair[0])

    def began(self, target: Target, *, now_ms: int) -> None:
        """Count a call that begins; `record` must follow, however it ends."""
        self._sweep(now_ms)
        vital = self._vitals.setdefault(target, Vital())
        vital.in_flight += 1
        vital.used_ms = now_ms
        self._in_flight[target.provider] = self.in_flight(target.provider) + 1

    def record(self, target: Target, result: Result, *, now_ms: int) -> None:
        """Count how a call ended that `began` counted."""
        vital = self._vitals[target]
        vital.in_flight -= 1
        vital.used_ms = now_ms
        self._leave(target.provider)
        if result.error == "cancelled":
            return
        vital.window.add(now_ms, error=result.error or "", fault=result.fault)
        if result.error is None:
            vital.latency_ms = _averaged(vital.latency_ms, result.total_ms)
        if result.first_token_ms > 0:
            vital.first_token_ms = _averaged(vital.first_token_ms, result.first_token_ms)
            vital.firsts.append(result.first_token_ms)

    def _leave(self, provider: str) -> None:
        left = self._in_flight[provider] - 1
        if left:
            self._in_flight[provider] = left
        else:
            del self._in_flight[provider]

    def _sweep(self, now_ms: int) -> None:
        """Forget idle models now and then, and at once when there are too many."""
        full = len(self._vitals) >= MOST_MODELS
        if not full and now_ms - self._swept_ms < _SWEEP_MS:
            return
        self._swept_ms = now_ms
        idle = [one for one, vital in self._vitals.items() if not vital.in_flight]
        oldest = sorted(idle, key=lambda one: self._vitals[one].used_ms)
        must_go = max(len(self._vitals) - MOST_MODELS * 9 // 10, 0) if full else 0
        for rank, target in enumerate(oldest):
            if rank < must_go or now_ms - self._vitals[target].used_ms >= IDLE_MS:
                del self._vitals[target]


def _averaged(average: float, value: float) -> float:
    return value if not average else average + WEIGHT * (value - average)
