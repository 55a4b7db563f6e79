"""Ports: what does the gateway need of the bus?"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from nats.aio.msg import Msg

from segue_contracts.v1.values import Value

T = TypeVar("T")


class CommandBus(Protocol):
    """Where commands go."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        ...

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = ...,
        silence_s: float = ...,
    ) -> T:
        """Send a command and return its typed result."""
        ...


class Listening(Protocol):
    """A subscription."""

    async def unsubscribe(self) -> None:
        """End it."""
        ...


class ModelBus(CommandBus, Protocol):
    """Where models are asked, and where their answers are heard as they are written."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Publish a plain message."""
        ...

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> Listening:
        """Receive plain messages, all that are sent once this has returned."""
        ...


class PayloadStore(Protocol):
    """Where values are that are too large for a message."""

    async def wrap(self, value: object) -> Value:
        """Return a value to put into a message: inline when small, stored when large."""
        ...

    async def unwrap(self, value: Value) -> object:
        """Return the value itself."""
        ...
