"""The writer: how does a body become a stored event?"""

from collections.abc import Sequence

from segue_contracts.envelope import Message
from segue_contracts.v1.events import frame
from segue_orchestrator.core.messages import SOURCE
from segue_shared.bus import Bus, Creation, Stored
from segue_shared.clock import Clock, rfc3339


class Writer:
    """Frames events and stores each unless its group has one."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    def framed(
        self, subject: str, body: Message, *, about: str, startseq: int = 0, causation: str = ""
    ) -> bytes:
        """Return the bytes of an event."""
        return frame(
            body,
            subject=subject,
            source=SOURCE,
            about=about,
            time=rfc3339(self._clock.now_ms()),
            startseq=startseq,
            causation=causation,
        )

    async def create(
        self, subject: str, body: Message, *, about: str, guard: str = "", startseq: int = 0
    ) -> Stored:
        """Store an event unless its group has one; see `Bus.create`."""
        data = self.framed(subject, body, about=about, startseq=startseq)
        return await self._bus.create(subject, data, guard=guard)

    async def create_all(self, creations: Sequence[Creation]) -> None:
        """Store events together; returns once each is known to be stored."""
        await self._bus.create_all(creations)

    async def say(self, subject: str, body: Message, *, about: str) -> None:
        """Publish a hint: nobody may be listening."""
        await self._bus.publish(subject, self.framed(subject, body, about=about))
