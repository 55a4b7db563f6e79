"""Policies: is a step tried again, and when?"""

import zlib
from typing import Final

from segue_contracts.v1.values import Failure
from segue_orchestrator.core.plan import RetryPlan, RetryRule, StepKind

WORKER_HELD_DELAY_MS: Final = 30_000
"""Retry delays up to this are kept by the worker; longer ones by the run's timer."""

CANCEL_GRACE_MS: Final = 5_000
"""How long work in flight may go on after a cancel was asked for."""

START_GRACE_MS: Final = 1_000
"""How late a worker may say that it has begun: it does so after a quarter of a second."""

LEASE_LOOK_MS: Final = 15_000
"""How often a run that waits for a lease looks whether its holders are still there."""

HELD_LOOK_MS: Final = 10_000
"""When a run whose pool has no room looks again by itself."""

MAP_CHUNK: Final = 1_000
"""Items of a repeated step that are dispatched by one decision."""

MAX_DEPTH: Final = 16
"""How many runs may be above a run."""


def held_delay_ms(kind: StepKind) -> int:
    """Return up to which delay an attempt may be dispatched early; the engine's own work never."""
    return 0 if kind in {"workflow", "wait", "approval"} else WORKER_HELD_DELAY_MS


def rule_of(retry: RetryPlan, error: Failure) -> RetryRule:
    """Return the rule for a failure: that of its class, or the general one."""
    return retry.classes.get(error.code, retry.rule)


def may_retry(retry: RetryPlan, attempt: int, error: Failure) -> bool:
    """Tell whether an attempt follows the failed one."""
    if not error.retryable or any(_names(name, error.code) for name in retry.non_retryable):
        return False
    return attempt < rule_of(retry, error).max_attempts


def _names(pattern: str, code: str) -> bool:
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


def backoff_ms(rule: RetryRule, *, run: str, step: str, attempt: int) -> int:
    """Return the wait after a failed attempt: exponential, with jitter of up to a quarter.

    The jitter is a hash of run, step and attempt, so every orchestrator computes the same.
    """
    try:
        grown = rule.delay_ms * rule.factor ** (attempt - 1)
    except OverflowError:
        grown = rule.max_delay_ms
    spread = zlib.crc32(f"{run}/{step}/{attempt}".encode()) % 1_000 / 4_000
    return round(min(grown, rule.max_delay_ms) * (1 - spread))
