"""Dead letters: where does a message go that nobody can handle?"""

from typing import Protocol

import structlog

from segue_contracts.undeliverable import Undeliverable
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339
from segue_shared.delivery import Delivery

_log = structlog.get_logger()


class Framer(Protocol):
    """Makes the subject and the body of a dead letter; the contracts provide it."""

    def __call__(self, message: Undeliverable, *, time: str) -> tuple[str, bytes]:
        """Return where the letter goes and its framed body."""
        ...


class DeadLetters:
    """Keeps what one service could not handle, whole, with its reason."""

    def __init__(self, bus: Bus, *, service: str, clock: Clock, framer: Framer) -> None:
        self._bus = bus
        self._service = service
        self._clock = clock
        self._framer = framer

    async def bury(self, delivery: Delivery, reason: str, detail: str) -> None:
        """Keep a delivery; returns only once it is stored.

        Args:
            delivery: What could not be handled.
            reason: Typed reason, one subject token, such as `undecodable`.
            detail: One sentence; never the payload.
        """
        message = Undeliverable(
            service=self._service,
            reason=reason,
            detail=detail,
            subject=delivery.subject,
            data=delivery.data,
            stream=delivery.stream,
            sequence=delivery.sequence,
            headers=dict(delivery.headers),
        )
        target, body = self._framer(message, time=rfc3339(self._clock.now_ms()))
        _log.warning("dead_letter", reason=reason, detail=detail, subject=delivery.subject)
        await self._bus.append(target, body)
        self._bus.observer.dead_letter(reason)
