"""The rolling window: how many calls were there lately, and how did they end?"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

SPAN_MS: Final = 60_000
"""How far back the window reaches."""
BUCKETS: Final = 12
"""How many pieces it moves on by."""

_PIECE_MS: Final = SPAN_MS // BUCKETS


@dataclass(slots=True)
class _Bucket:
    slot: int
    calls: int = 0
    faults: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class Window:
    """Counts of the last minute, kept in twelve buckets; it holds no more, however many calls."""

    __slots__ = ("_buckets", "_calls", "_faults")

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque()
        self._calls = 0
        self._faults = 0

    def add(self, now_ms: int, *, error: str = "", fault: bool = False) -> None:
        """Count a call that ended.

        Args:
            now_ms: When it ended.
            error: The class of its error; empty when it succeeded.
            fault: Whether the provider is to blame.
        """
        self._move(now_ms)
        slot = now_ms // _PIECE_MS
        if not self._buckets or self._buckets[-1].slot < slot:
            self._buckets.append(_Bucket(slot))
        bucket = self._buckets[-1]
        bucket.calls += 1
        bucket.faults += fault
        if error:
            bucket.errors[error] += 1
        self._calls += 1
        self._faults += fault

    def calls(self, now_ms: int) -> int:
        """Return how many calls ended lately."""
        self._move(now_ms)
        return self._calls

    def faults(self, now_ms: int) -> int:
        """Return how many of them the provider failed."""
        self._move(now_ms)
        return self._faults

    def fault_rate(self, now_ms: int) -> float:
        """Return the share that the provider failed, 0 to 1."""
        self._move(now_ms)
        return self._faults / self._calls if self._calls else 0.0

    def errors(self, now_ms: int) -> dict[str, int]:
        """Return how often each class of error came."""
        self._move(now_ms)
        return dict(sum((one.errors for one in self._buckets), Counter()))

    def clear(self) -> None:
        """Forget all."""
        self._buckets.clear()
        self._calls = self._faults = 0

    def _move(self, now_ms: int) -> None:
        oldest = now_ms // _PIECE_MS - BUCKETS
        while self._buckets and self._buckets[0].slot <= oldest:
            gone = self._buckets.popleft()
            self._calls -= gone.calls
            self._faults -= gone.faults
