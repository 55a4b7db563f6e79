"""Schedules: how does the broker wake someone up later?

Uses JetStream message schedules (ADR-51). Schedule and target lie in the same stream.
"""

from typing import Final

from segue_shared.bus import Bus, Stored
from segue_shared.clock import rfc3339

_FIRED_TTL_S: Final = 8 * 24 * 3600
"""How long a timer that fired waits for a relay, be all of them away."""


async def schedule(bus: Bus, subject: str, *, target: str, at_ms: int, data: bytes = b"") -> Stored:
    """Arm a timer unless its subject holds one, and return once that is certain.

    Args:
        bus: The bus.
        subject: The timer's own subject; one timer per subject.
        target: Where the broker publishes `data` when the time has come.
        at_ms: Unix milliseconds; a time in the past fires at once.
        data: What is published.
    """
    headers = {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Schedule": f"@at {rfc3339(at_ms)}",
        "Nats-Schedule-Target": target,
        "Nats-Schedule-TTL": f"{_FIRED_TTL_S}s",
        "Nats-TTL": "never",
    }
    return await bus.store(subject, data, headers=headers)


async def cancel(bus: Bus, subject: str, *, note: str) -> None:
    """Take a timer back.

    Args:
        bus: The bus.
        subject: The timer's own subject.
        note: A subject of the same stream for the message that carries the cancellation.
    """
    headers = {"Nats-Schedule-Next": "purge", "Nats-Scheduler": subject, "Nats-TTL": "1s"}
    await bus.append(note, b"", headers=headers)
