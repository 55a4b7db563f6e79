"""Making events: how does a body become a framed event with its place and its cause?"""

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Event, Message, encode, raw
from segue_contracts.v1.registry import TYPE_OF


def make_event(  # noqa: PLR0913 - the frame has that many fields
    body: Message,
    *,
    id: str,  # noqa: A002 - CloudEvents' own name
    source: str,
    subject: str,
    time: str,
    causation: str = "",
    startseq: int = 0,
    traceparent: str = "",
) -> Event:
    """Frame a body.

    Args:
        body: A registered event body.
        id: Unique within the source; for durable events their place in the journal.
        source: The producer, `segue/<service>`.
        subject: What it is about, `<run>` or `<run>/<step>`.
        time: RFC 3339 in UTC.
        causation: Id of the event it follows from.
        startseq: Stream sequence of the run's `started` event.
        traceparent: W3C trace context.
    """
    return Event(
        id=id,
        source=source,
        type=TYPE_OF[type(body)],
        subject=subject,
        time=time,
        data=raw(body),
        causationid=causation or UNSET,
        startseq=startseq or UNSET,
        traceparent=traceparent or UNSET,
    )


def frame(  # noqa: PLR0913 - the frame has that many fields
    body: Message,
    *,
    subject: str,
    source: str,
    about: str,
    time: str,
    causation: str = "",
    startseq: int = 0,
    traceparent: str = "",
) -> bytes:
    """Encode a framed durable event whose id is its journal subject.

    Args:
        body: A registered event body.
        subject: The NATS subject it is published on; duplicates share it, hence the id.
        source: The producer, `segue/<service>`.
        about: What it is about, `<run>` or `<run>/<step>`.
        time: RFC 3339 in UTC.
        causation: Id of the event it follows from.
        startseq: Stream sequence of the run's `started` event.
        traceparent: W3C trace context.
    """
    event = make_event(
        body,
        id=subject,
        source=source,
        subject=about,
        time=time,
        causation=causation,
        startseq=startseq,
        traceparent=traceparent,
    )
    return encode(event)


def start_sequence(event: Event, own: int = 0) -> int:
    """Return the sequence of the run's `started` event as the event tells it, else `own`."""
    return own if isinstance(event.startseq, UnsetType) else event.startseq
