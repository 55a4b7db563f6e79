"""An answer in the making: what does a provider say, in words that no provider owns?

An adapter turns its provider's stream, or its single reply, into these. Only `Stopped` proves that
an answer is whole: whatever ends without it was cut, whatever the connection says.
"""

from typing import Literal

import msgspec

from segue_contracts.v1.chat import Stop, Usage
from segue_contracts.v1.parts import Opaque, Part

PartKind = Literal["text", "reasoning", "tool_call", "refusal"]


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """The provider accepted the request; nothing of an answer is there yet."""

    model: str = ""
    """The model that serves, in the provider's word."""
    ids: dict[str, str] = {}
    """The provider's own ids of request and response."""
    rate_limit: dict[str, str] = {}
    """What it said of its limits, by header."""
    service_tier: str = ""
    """The tier that serves; empty when it did not say."""
    warnings: tuple[str, ...] = ()
    """What of the request was not passed on."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the answer begins."""

    index: int
    """Its place in the answer, counted from 0 in the order of `Opened` and `Whole`."""
    kind: PartKind
    """What it is."""
    id: str = ""
    """A tool call's id."""
    name: str = ""
    """The tool called."""


class Grew(msgspec.Struct, frozen=True, kw_only=True):
    """More of an open part: of its text, or of a tool call's arguments."""

    index: int
    """The part."""
    text: str
    """What is new, as it came."""


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A part is complete."""

    index: int
    """The part."""
    opaque: tuple[Opaque, ...] = ()
    """What only the provider understands of it."""
    part: Part | None = None
    """The part as a whole, where the provider repeats it; what grew otherwise."""


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A part that came at once."""

    index: int
    """Its place in the answer."""
    part: Part
    """The part."""


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """Usage so far. It is cumulative, so the latest counts."""

    usage: Usage
    """Tokens, with the provider's own object in `raw`."""


class Alive(msgspec.Struct, frozen=True):
    """The provider is still there and says nothing, as by a ping."""


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's own proof that the answer is whole; nothing but usage may follow."""

    stop: Stop
    """Why it stopped."""
    service_tier: str = ""
    """The tier that served, where only the end tells; empty when `Began` told."""


AnswerEvent = Began | Opened | Grew | Closed | Whole | Metered | Alive | Stopped
