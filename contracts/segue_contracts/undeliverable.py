"""What nobody could handle: which facts does a dead letter keep?"""

from collections.abc import Mapping

import msgspec


class Undeliverable(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be handled, before it is framed."""

    service: str
    """Who could not handle it."""
    reason: str
    """Typed reason, one subject token, such as `undecodable`."""
    detail: str
    """One sentence; never the payload."""
    subject: str
    """Where the message was."""
    data: bytes
    """The message as it was."""
    stream: str = ""
    """The stream it is in; empty for a plain message."""
    sequence: int = 0
    """Its stream sequence; 0 for a plain message."""
    headers: Mapping[str, str] = {}
    """Its headers, credentials still among them."""
