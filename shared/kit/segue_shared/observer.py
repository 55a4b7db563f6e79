"""The observer: who is told of what a service's connections and loops do?"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, Protocol

from segue_shared.delivery import Delivery

PublishResult = Literal["stored", "refused", "unknown", "sent", "failed"]
"""What became of a publish.

A stream has `stored` or `refused` it, or that is `unknown` and it is repeated; a reply was `sent`
or has `failed`.
"""


class Observer(Protocol):
    """What counts; it is called for every message, so it must be quick and never fail."""

    def message(self, subject: str, *, delivered: int = 1) -> AbstractContextManager[object]:
        """Return a block as long as which a message is being handled.

        Args:
            subject: Where it was published.
            delivered: How often it has been handed out, this time included.
        """
        ...

    def batch(self, deliveries: Sequence[Delivery]) -> AbstractContextManager[object]:
        """Return a block as long as which all of several messages are being handled."""
        ...

    def published(self, subject: str, result: PublishResult) -> None:
        """Hear of a publish and what became of it."""
        ...

    def dead_letter(self, reason: str) -> None:
        """Hear of a message that nobody could handle."""
        ...

    def violation(self) -> None:
        """Hear that the broker refused a user a subject."""
        ...


class Unobserved:
    """Counts nothing."""

    def message(self, subject: str, *, delivered: int = 1) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol hands it in
        """Return a block that does nothing."""
        return nullcontext()

    def batch(self, deliveries: Sequence[Delivery]) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol hands it in
        """Return a block that does nothing."""
        return nullcontext()

    def published(self, subject: str, result: PublishResult) -> None:
        """Drop it."""

    def dead_letter(self, reason: str) -> None:
        """Drop it."""

    def violation(self) -> None:
        """Drop it."""


UNOBSERVED: Final = Unobserved()
"""The observer of whoever names none."""
