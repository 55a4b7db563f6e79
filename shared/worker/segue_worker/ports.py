"""Ports: what does a worker need from the bus, its stores, and the service it works for?"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1.values import Failure
from segue_shared.bus import Stored
from segue_shared.journal import StoredMessage
from segue_worker.ticket import Ticket

T = TypeVar("T")


class Superseded(msgspec.Struct, frozen=True):
    """Another worker has the attempt; nothing more may come from here."""


class Work(Protocol):
    """What a service does with its tasks."""

    async def outcome(self, ticket: Ticket) -> Message | Superseded:
        """Carry an attempt out, and note in `ticket.spent` what it has used so far.

        Raises:
            TransientError: Something is away; the task shall come again.
        """
        ...

    def failure(self, error: Exception) -> Failure:
        """Say to whoever reads the run what an error that `outcome` raised means."""
        ...


class EventBus(Protocol):
    """Publishing and asking."""

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish a plain message."""
        ...

    async def create(self, subject: str, data: bytes, *, guard: str = "") -> Stored:
        """Store an event unless one of its group exists."""
        ...

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Send a command and return its result."""
        ...


class JournalReader(Protocol):
    """Reading the journal of runs."""

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return the newest message of each subject that fits a pattern."""
        ...

    async def newest(self, subject: str) -> StoredMessage | None:
        """Return the newest message of all that fit a subject or pattern."""
        ...


class PayloadStore(Protocol):
    """Values of any size."""

    async def wrap(self, value: object) -> Value:
        """Return a value to put into a message."""
        ...

    async def unwrap(self, value: Value) -> object:
        """Return the value itself."""
        ...
