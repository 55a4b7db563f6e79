"""Values and claim checks: how is something small carried, and something large pointed at?"""

from typing import Any, Final

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message

INLINE_LIMIT: Final = 64 * 1024
"""Bytes of JSON above which a value travels by reference."""


class PayloadRef(Message, frozen=True, kw_only=True):
    """A claim check: the JSON of a value, stored in the object bucket `PAYLOADS` under its hash."""

    sha256: str
    """Hash of the JSON bytes, hexadecimal; it is the object's name."""
    size: int
    """Length of the JSON in bytes."""


class Value(Message, frozen=True, kw_only=True):
    """Any JSON value, inline or by reference; exactly one of the two fields is present."""

    inline: Any | UnsetType = UNSET
    """The value itself, at most 64 KiB of JSON."""
    ref: PayloadRef | UnsetType = UNSET
    """Where the value is when it is larger."""
