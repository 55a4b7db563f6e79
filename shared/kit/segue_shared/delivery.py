"""Deliveries: what does a message from a consumer say of itself, and how is it settled?"""

from collections.abc import Mapping
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

_SHORT_FORM: Final = 9
_NANO_PER_MILLI: Final = 1_000_000


class Delivery(msgspec.Struct, frozen=True):
    """A message that a durable consumer handed out."""

    subject: str
    """Where it was published."""
    data: bytes
    """Its content."""
    sequence: int
    """Its place in the stream."""
    time_ms: int
    """When the broker stored it, Unix milliseconds."""
    delivered: int
    """How often it has been handed out, this time included."""
    reply: str
    """Where it is settled."""
    headers: Mapping[str, str]
    """Its headers."""
    stream: str = ""
    """The stream it came from."""
    number: int = 0
    """How many deliveries the consumer has made since it began or was reset, this one included."""


def delivery_of(message: Msg) -> Delivery:
    """Read a delivery's place from its acknowledgement subject, in either of its two forms.

    The short form is `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<n>.<time>.<pending>`;
    the long one has the domain and the account's hash after `$JS.ACK` (ADR-15).
    """
    tokens = message.reply.split(".")
    base = 4 if len(tokens) == _SHORT_FORM else 6
    return Delivery(
        message.subject,
        message.data,
        int(tokens[base + 1]),
        int(tokens[base + 3]) // _NANO_PER_MILLI,
        int(tokens[base]),
        message.reply,
        {} if message.headers is None else message.headers,
        tokens[base - 2],
        int(tokens[base + 2]),
    )


async def ack(client: Client, delivery: Delivery) -> None:
    """Settle: it is done."""
    await client.publish(delivery.reply, b"+ACK")


async def nak(client: Client, delivery: Delivery, delay_s: float) -> None:
    """Give back: deliver it again after a delay."""
    body = b'-NAK {"delay": %d}' % int(delay_s * 1_000_000_000)
    await client.publish(delivery.reply, body)


async def terminate(client: Client, delivery: Delivery) -> None:
    """Settle: never deliver it again."""
    await client.publish(delivery.reply, b"+TERM")


async def in_progress(client: Client, reply: str) -> None:
    """Ask for more time."""
    await client.publish(reply, b"+WPI")
