"""The frame of every event: how is a fact wrapped for the bus?

The frame is CloudEvents 1.0 in structured JSON mode (https://cloudevents.io, NATS binding 1.0.2).
Events are framed; commands and their replies are bare JSON bodies with trace context in headers.
"""

from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

T = TypeVar("T")

CONTENT_TYPE = "application/cloudevents+json"


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of every body on the bus: frozen, camelCase on the wire, unknown fields ignored."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One CloudEvents 1.0 event; `data` stays undecoded until its `type` is known."""

    id: str
    """Unique within `source`; durable events derive it from their place in the journal."""
    source: str
    """The producer, `segue/<service>` or a user's own URI reference."""
    type: str
    """The versioned type of `data`, such as `segue.run.step_completed.v1`."""
    time: str
    """RFC 3339 in UTC by the producer's clock; decisions use the broker's timestamp instead."""
    data: Raw
    """The body, one of the message types registered for `type`."""
    specversion: Literal["1.0"] = "1.0"
    """The CloudEvents version."""
    subject: str | UnsetType = UNSET
    """What the event is about: `<run>` or `<run>/<step>`."""
    traceparent: str | UnsetType = UNSET
    """W3C trace context of the producer (CloudEvents distributed tracing extension)."""
    causationid: str | UnsetType = UNSET
    """The `id` of the event that this one follows from."""
    startseq: int | UnsetType = UNSET
    """Stream sequence of the run's `started` event, so that a reader need not search for it."""


_encoder = msgspec.json.Encoder()
_event_decoder = msgspec.json.Decoder(Event)

# Bytes nested too deep to be read raise RecursionError; whoever sent them must not stop a reader.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class UndecodableError(ValueError):
    """The bytes are not an event, or its data does not fit its type."""


def encode(message: object) -> bytes:
    """Encode an event or a bare body as JSON bytes."""
    return _encoder.encode(message)


def raw(body: object) -> Raw:
    """Encode a body so that it can be placed into an event or another body undecoded."""
    return Raw(_encoder.encode(body))


def decode_event(data: bytes) -> Event:
    """Decode the frame only.

    Raises:
        UndecodableError: The bytes are no CloudEvents 1.0 JSON event.
    """
    try:
        return _event_decoder.decode(data)
    except _UNREADABLE as error:
        raise UndecodableError(f"not a CloudEvents 1.0 JSON event: {error}") from error


def decode_body(data: bytes | Raw, kind: type[T]) -> T:
    """Decode a body as `kind`.

    Raises:
        UndecodableError: The body does not fit the type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except _UNREADABLE as error:
        raise UndecodableError(f"not a {kind.__name__}: {error}") from error
