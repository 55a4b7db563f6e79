"""The wire: how is it listened on, when has the broker done what was written, what went wrong?"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_shared.connection import Connection, Sink
from segue_shared.errors import BusUnavailableError, InvalidMessageError, SegueError, TooLargeError

_TIMEOUT_S: Final = 10


async def listen(
    client: Client, subject: str, take: Callable[[Msg], None], *, queue: str = ""
) -> Subscription:
    """Have each message handed to a function, as soon as it is read where the client can do that.

    Args:
        client: The connection.
        subject: What is listened to.
        take: Must return at once; its errors are logged.
        queue: The group of which one member gets each message; everybody by default.

    Raises:
        nats.errors.Error: The connection is closed.
    """
    if isinstance(client, Connection):
        return await client.subscribe(subject, queue=queue, future=cast("Any", Sink(take)))

    async def handed(message: Msg) -> None:
        take(message)

    return await client.subscribe(
        subject, queue=queue, cb=handed, pending_msgs_limit=-1, pending_bytes_limit=-1
    )


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


async def end(subscriptions: Sequence[Subscription]) -> None:
    """End subscriptions of one connection without losing a message.

    nats-py's own drain lets its PING overtake the UNSUB, so that what the broker sends between the
    two is dropped; hence every UNSUB goes out first here, and the drains find nothing new.

    Args:
        subscriptions: What came for them has been handed over once this returns; they are ended
            also when this raises.

    Raises:
        nats.errors.Error: The connection is closed, or an answer did not come.
    """
    if not subscriptions:
        return
    client: Client = subscriptions[0]._conn  # noqa: SLF001 - no public way to send an UNSUB alone
    try:
        for subscription in subscriptions:
            await client._send_unsubscribe(subscription._id)  # noqa: SLF001 - see above
        await settle(client)
        await asyncio.gather(*(subscription.drain() for subscription in subscriptions))  # type: ignore[no-untyped-call] # nats-py leaves it bare
    finally:
        forget(subscriptions)


def forget(subscriptions: Iterable[Subscription]) -> None:
    """Drop subscriptions here, so that none is renewed when their connection comes back."""
    for subscription in subscriptions:
        subscription._conn._remove_sub(subscription._id)  # noqa: SLF001 - the public ways need a broker
