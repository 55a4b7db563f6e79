"""Parts of a conversation: what can a message to or from a model consist of?"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Opaque(Message, frozen=True, kw_only=True):
    """Data that only its provider understands; echoed to it, dropped with a warning elsewhere."""

    provider: str
    """The provider that made it."""
    kind: Literal["signature", "redacted_thinking", "thought_signature", "encrypted", "item_id"]
    """What it is to that provider."""
    data_b64: str
    """The data, base64."""
    model: str = ""
    """The model that made it, when only that model may see it again; empty for any."""


class Source(Message, frozen=True, kw_only=True):
    """Where media comes from; exactly one field is present."""

    data_b64: str | UnsetType = UNSET
    """The bytes themselves, base64."""
    url: str | UnsetType = UNSET
    """Where a provider can fetch it."""
    blob: str | UnsetType = UNSET
    """SHA-256 of a value in the bucket `PAYLOADS`, hexadecimal: the bytes as base64 text."""
    provider_file: str | UnsetType = UNSET
    """Id of a file that was uploaded to the provider."""


class _Part(Message, frozen=True, kw_only=True, tag_field="type"):
    """What every part may carry."""

    cache_ttl_s: int | UnsetType = UNSET
    """Ask the provider to cache up to and including this part, seconds."""
    opaque: list[Opaque] = []
    """Provider-only data that belongs to this part."""


class Text(_Part, frozen=True, kw_only=True, tag="text"):
    """Plain text."""

    text: str
    """The text."""
    citations: list[Any] = []
    """Citations as the provider gave them."""


class Media(_Part, frozen=True, kw_only=True, tag="media"):
    """An image, sound, video or document."""

    kind: Literal["image", "audio", "video", "document"]
    """What it is."""
    mime: str
    """Its media type, such as `image/png`."""
    source: Source
    """Where its bytes are."""
    title: str = ""
    """A document's title."""
    detail: str = ""
    """How closely an image is looked at, in the provider's word; empty for its default."""


class Reasoning(_Part, frozen=True, kw_only=True, tag="reasoning"):
    """The model's reasoning as far as it is shown."""

    text: str = ""
    """The reasoning, when it is shown in full."""
    summary: list[str] = []
    """Its summary, a paragraph each."""
    redacted: bool = False
    """Whether the provider withheld the text."""


class ToolCall(_Part, frozen=True, kw_only=True, tag="tool_call"):
    """The model asks for a tool."""

    id: str
    """The call's id; its result names it."""
    name: str
    """The tool."""
    args_json: str = "{}"
    """The arguments exactly as the model wrote them; may be invalid JSON."""
    kind: Literal["function", "custom", "server"] = "function"
    """`function` takes JSON, `custom` takes free text, `server` is run by the provider."""


class ToolResult(_Part, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered."""

    tool_call_id: str
    """The call that this answers."""
    name: str
    """The tool."""
    content: str
    """The result's text, JSON for structured results."""
    is_error: bool = False
    """Whether the tool failed; `content` then says why."""


class Refusal(_Part, frozen=True, kw_only=True, tag="refusal"):
    """The model declined."""

    text: str
    """What it said instead."""
    category: str = ""
    """The provider's class of the refusal."""


class RawPart(_Part, frozen=True, kw_only=True, tag="raw"):
    """A part that has no neutral form."""

    provider: str
    """The only provider that understands it."""
    kind: str
    """The provider's own name of the part."""
    json: Any = None
    """The part as the provider gave it."""


Part = Text | Media | Reasoning | ToolCall | ToolResult | Refusal | RawPart


class ChatMessage(Message, frozen=True, kw_only=True):
    """One message of a conversation."""

    role: Role
    """Who speaks."""
    parts: list[Part]
    """What is said, in order."""
    name: str = ""
    """Tells speakers of one role apart; empty when there is one."""
