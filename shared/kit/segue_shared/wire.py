"""The wire: when has the broker done what was written to it?"""

from typing import Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription

_TIMEOUT_S: Final = 10


async def settle(client: Client, *, timeout_s: int = _TIMEOUT_S) -> None:
    """Return once the broker has done all that was asked of it on this connection.

    nats-py writes the PING of a flush ahead of what waits in its buffer, so that only a second one
    comes after it.

    Args:
        client: The connection.
        timeout_s: How long each of the two answers may take.

    Raises:
        nats.errors.Error: The connection is closed, or an answer did not come.
    """
    await client.flush(timeout_s)
    await client.flush(timeout_s)


async def end(subscription: Subscription) -> None:
    """End a subscription without losing a message.

    nats-py's own drain lets its PING overtake the UNSUB, so that what the broker sends between the
    two is dropped; hence the UNSUB goes out first here, and the drain finds nothing new.

    Args:
        subscription: One whose callback has handled what came once this returns.

    Raises:
        nats.errors.Error: The connection is closed, or an answer did not come.
    """
    client: Client = subscription._conn  # noqa: SLF001 - no public way to send an UNSUB alone
    await client._send_unsubscribe(subscription._id)  # noqa: SLF001 - see above
    await settle(client)
    await subscription.drain()  # type: ignore[no-untyped-call] # nats-py leaves it bare
