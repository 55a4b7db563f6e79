"""Policies: is a step tried again, and when?"""

import zlib

from segue_contracts.v1.values import Failure
from segue_orchestrator.core.plan import RetryPlan

WORKER_HELD_DELAY_MS = 30_000
"""Retry delays up to this are kept by the worker; longer ones by the run's timer."""

CANCEL_GRACE_MS = 5_000
"""How long work in flight may go on after a cancel was asked for."""


def may_retry(retry: RetryPlan, attempt: int, error: Failure) -> bool:
    """Tell whether an attempt follows the failed one."""
    return (
        error.retryable and attempt < retry.max_attempts and error.code not in retry.non_retryable
    )


def backoff_ms(retry: RetryPlan, *, run: str, step: str, attempt: int) -> int:
    """Return the wait after a failed attempt: exponential, with jitter of up to a quarter.

    The jitter is a hash of run, step and attempt, so every orchestrator computes the same.
    """
    base = min(retry.delay_ms * retry.factor ** (attempt - 1), retry.max_delay_ms)
    spread = zlib.crc32(f"{run}/{step}/{attempt}".encode()) % 1_000 / 4_000
    return round(base * (1 - spread))
