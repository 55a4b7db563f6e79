"""Ports: what does the gateway need of the bus?"""

from typing import Protocol, TypeVar

T = TypeVar("T")


class CommandBus(Protocol):
    """Where commands go."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        ...

    async def call(
        self, subject: str, request: object, result: type[T], *, timeout_s: float = ...
    ) -> T:
        """Send a command and return its typed result."""
        ...
