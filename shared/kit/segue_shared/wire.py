"""The wire: how is it listened on, when has the broker done what was written, what went wrong?"""

from collections.abc import Callable
from typing import Any, Final, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_shared.connection import Connection, Sink
from segue_shared.errors import BusUnavailableError, InvalidMessageError, SegueError, TooLargeError

_TIMEOUT_S: Final = 10


async def listen(client: Client, subject: str, take: Callable[[Msg], None]) -> Subscription:
    """Have each message handed to a function, as soon as it is read where the client can do that.

    Args:
        client: The connection.
        subject: What is listened to.
        take: Must return at once; its errors are logged.

    Raises:
        nats.errors.Error: The connection is closed.
    """
    if isinstance(client, Connection):
        return await client.subscribe(subject, future=cast("Any", Sink(take)))

    async def handed(message: Msg) -> None:
        take(message)

    return await client.subscribe(subject, cb=handed, pending_msgs_limit=-1, pending_bytes_limit=-1)


def translated(error: nats.errors.Error, subject: str) -> SegueError:
    """Return our error for one of the client library's."""
    if isinstance(error, nats.errors.MaxPayloadError):
        return TooLargeError(f"a message for {subject} exceeds the broker's max_payload")
    if isinstance(error, (nats.errors.BadSubjectError, nats.errors.BadHeaderError)):
        return InvalidMessageError(f"{subject!r}: no such message can be sent: {error}")
    return BusUnavailableError(f"{subject}: {error}")


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
