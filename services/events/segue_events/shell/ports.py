"""Ports: what does the service need of the bus and the journal?"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_shared.journal import StoredMessage


class FeedBus(Protocol):
    """Where facts and deltas come from."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        ...

    async def subscribe(
        self, subject: str, handler: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        """Receive plain messages."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect; returns a function that ends it."""
        ...


class History(Protocol):
    """The journal as viewers need it."""

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return the newest message of each subject that fits a pattern, in stream order."""
        ...

    async def after(self, pattern: str, sequence: int, *, limit: int = ...) -> list[StoredMessage]:
        """Return up to `limit` messages that fit the pattern and come after `sequence`."""
        ...

    async def epoch(self) -> str:
        """Return the journal's identity."""
        ...

    async def first_sequence(self) -> int:
        """Return the oldest sequence still held."""
        ...

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        ...


OpenHistory = Callable[[], History]
"""Opens the journal anew, because one remembers the epoch it has read."""
