"""The record of a running stack: what does `.segue/stack.json` tell other commands?"""

import msgspec


class StackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What runs where."""

    pid: int
    """The process that supervises the stack."""
    nats_url: str
    """The broker."""
    gateway_url: str = ""
    """The HTTP API."""
    events_url: str = ""
    """The live streams."""
    pids: dict[str, int] = {}
    """Process ids by service."""
    urls: dict[str, str] = {}
    """Health addresses by service."""
    durability: str = ""
    """The durability profile, in words."""


class RecordError(ValueError):
    """The file is no stack record."""


def write_record(record: StackRecord) -> bytes:
    """Return the record's file content."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_record(data: bytes) -> StackRecord:
    """Read the record's file content.

    Raises:
        RecordError: It is something else.
    """
    try:
        return msgspec.json.decode(data, type=StackRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"not a stack record: {error}") from error
