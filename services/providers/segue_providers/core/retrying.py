"""Retrying: what follows when a provider did not answer?

There is one loop of retries for a call, so no two of them multiply. Waits are drawn with full
jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): between nothing and the backoff, which
is a second at first and doubles; what a provider asks to wait is the least.
"""

from dataclasses import dataclass
from typing import Final, Literal

from segue_contracts.v1.chat import ErrorClass

BACKOFF_S: Final = 1.0
"""The backoff after the first try."""
LONGEST_BACKOFF_S: Final = 30.0
"""The longest backoff, and the longest that a provider's own wish is waited for."""

PASSING: Final[frozenset[ErrorClass]] = frozenset(
    {
        "rate_limited",
        "overloaded",
        "server_error",
        "timeout_connect",
        "timeout_first_token",
        "timeout_idle",
        "timeout_total",
        "transport",
        "truncated",
    }
)
"""Errors after which the same request may succeed later."""

_LASTING: Final[frozenset[ErrorClass]] = frozenset(
    {"bad_request", "cancelled", "timeout_total", "budget_exceeded"}
)
"""Errors of the request itself: nobody would answer it."""
_HERE_FIRST: Final[frozenset[ErrorClass]] = frozenset({"overloaded", "server_error"})
"""Errors that often pass within the backoff, so the preferred provider is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A try that failed, and what the call may still do."""

    error: ErrorClass
    """What went wrong."""
    retry_after_s: float | None = None
    """Seconds the provider asks to wait; None when it did not say."""
    tries_here: int = 1
    """How often this target was asked, this try included."""
    retries_here: int = 0
    """How often it may be asked again after the first try."""
    tries_left: int = 0
    """How many more tries the call may make."""
    others: bool = False
    """Whether another target is left for this kind of error."""
    left_s: float = 0.0
    """Seconds until the call's deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do next."""

    what: Literal["again", "next", "stop"]
    """Ask the same target again, ask the next one, or give up."""
    wait_s: float = 0.0
    """Seconds to wait before."""


_STOP: Final = Step(what="stop")
_NEXT: Final = Step(what="next")


def step_after(failed: Failed, *, draw: float) -> Step:
    """Decide what follows.

    Args:
        failed: The try, and what the call may still do.
        draw: A random number from 0 to 1, for the jitter.
    """
    if failed.error in _LASTING or failed.tries_left < 1:
        return _STOP
    wait_s = backoff(failed.tries_here, failed.retry_after_s, draw=draw)
    may_wait = wait_s < failed.left_s and (failed.retry_after_s or 0) <= LONGEST_BACKOFF_S
    again = failed.error in PASSING and failed.tries_here <= failed.retries_here and may_wait
    if again and (failed.error in _HERE_FIRST or not failed.others):
        return Step(what="again", wait_s=wait_s)
    return _NEXT if failed.others else _STOP


def backoff(tries: int, retry_after_s: float | None, *, draw: float) -> float:
    """Return the seconds to wait after so many tries at one target."""
    longest = min(BACKOFF_S * 2.0 ** (tries - 1), LONGEST_BACKOFF_S)
    return max(draw * longest, retry_after_s or 0)
