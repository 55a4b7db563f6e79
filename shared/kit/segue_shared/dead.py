"""Dead letters: where does a message go that nobody can handle?"""

from typing import Protocol

import structlog

from segue_contracts.undeliverable import Undeliverable
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339

_log = structlog.get_logger()


class Framer(Protocol):
    """Makes the subject and the body of a dead letter; the contracts provide it."""

    def __call__(self, message: Undeliverable, *, time: str) -> tuple[str, bytes]:
        """Return where the letter goes and its framed body."""
        ...


class DeadLetters:
    """Keeps what could not be handled, whole, with its reason."""

    def __init__(self, bus: Bus, *, clock: Clock, framer: Framer) -> None:
        self._bus = bus
        self._clock = clock
        self._framer = framer

    async def put(self, message: Undeliverable) -> None:
        """Store a dead letter; returns only once it is stored."""
        target, body = self._framer(message, time=rfc3339(self._clock.now_ms()))
        _log.warning(
            "dead_letter", reason=message.reason, detail=message.detail, subject=message.subject
        )
        await self._bus.append(target, body)
