"""Frames: how is an event written as a server-sent event?

The format is the HTML standard's (section 9.2). Only durable events carry an `id`, so that a delta
never moves a viewer's cursor.
"""

import zlib
from typing import Final

import msgspec

from segue_contracts.cursor import Cursor
from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.subjects import SubjectError, parse_run

PING: Final = b": ping\n\n"
"""A comment, so that nobody between us and the viewer takes the stream for dead."""

_ENDED: Final = ("ended",)
_LINE_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")


class Frame(msgspec.Struct, frozen=True):
    """One event as viewers receive it, encoded once for all of them."""

    data: bytes
    """The bytes to write; empty for a stored message that is no event and cannot be shown."""
    sequence: int = 0
    """Its place in the journal; 0 for what is not stored."""
    last: bool = False
    """Whether the run is over with it."""


def durable(subject: str, stored: bytes, *, sequence: int, epoch: str) -> Frame:
    """Write a stored event; it takes its place even when it cannot be shown.

    Args:
        subject: Its journal or fact subject.
        stored: The event exactly as stored.
        sequence: Its place in the journal.
        epoch: Which journal.
    """
    body = _event(stored)
    if not body:
        return Frame(b"", sequence)
    return Frame(
        b"id: %s\n%s" % (str(Cursor(epoch, sequence)).encode(), body), sequence, _ends(subject)
    )


def ephemeral(published: bytes) -> Frame:
    """Write a delta."""
    return Frame(_event(published))


def notice(name: str, reason: str) -> bytes:
    """Write an event of the stream itself, such as `bye`."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode({"reason": reason}))


def retry(base_ms: int, salt: str) -> bytes:
    """Tell viewers how long to wait before they come back, spread over twice the base.

    Args:
        base_ms: The shortest wait.
        salt: Anything that differs between viewers, so that they do not return all at once.
    """
    return b"retry: %d\n\n" % (base_ms + zlib.crc32(salt.encode()) % max(base_ms, 1))


def _event(data: bytes) -> bytes:
    """Return the `event` and `data` lines; nothing for what is no CloudEvents event."""
    try:
        kind = decode_event(data).type
    except UndecodableError:
        return b""
    if not kind.isprintable():
        return b""
    # JSON has raw line breaks only between its tokens, where a space means the same.
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data.translate(_LINE_BREAKS))


def _ends(subject: str) -> bool:
    try:
        return parse_run(subject).event == _ENDED
    except SubjectError:
        return False
