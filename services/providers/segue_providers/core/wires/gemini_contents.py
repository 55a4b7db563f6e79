"""Gemini contents: how is a conversation written in Gemini's words?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, Literal, assert_never

import msgspec
from msgspec import UNSET

from segue_contracts.v1.chat import (
    ChatMessage,
    Media,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from segue_providers.core.wires.omissions import Omissions, UnsupportedError

Json = dict[str, object]
Speaker = Literal["user", "model", "tool"]

VENDOR: Final = "gemini"
"""The vendor's name in opaque data, raw parts and provider options."""
UNNAMED: Final = "segue-"
"""Begins the ids of calls to which Gemini gave none; it is never shown them."""
BESIDE: Final = frozenset({"groundingMetadata", "citationMetadata", "urlContextMetadata"})
"""Raw parts that stand beside an answer's content and are no part of a conversation."""

_SYSTEM: Final = frozenset({"system", "developer"})
_FOREIGN: Final = "skip_thought_signature_validator"
"""The vendor's signature for calls of other models; without any it refuses the conversation."""
_UNSIGNED: Final = re.compile(r"(models/)?gemini-[12]\b")
"""Models that ask for no signatures."""


def system_of(messages: Sequence[ChatMessage], omissions: Omissions) -> list[Json]:
    """Return the instructions, which Gemini takes apart from the conversation."""
    texts = list[Json]()
    for part in (part for one in messages if one.role in _SYSTEM for part in one.parts):
        if isinstance(part, Text):
            texts.extend([{"text": part.text}] if part.text else [])
        else:
            omissions.leave_out("Gemini takes only text as instruction")
    return texts


def contents_of(messages: Sequence[ChatMessage], omissions: Omissions, *, model: str) -> list[Json]:
    """Return the turns of a conversation; the results of a turn's calls are one turn.

    Raises:
        UnsupportedError: Media is not where Gemini can read it, or a signature is damaged.
    """
    calls = {part.id: part.name for part in _all(messages) if isinstance(part, ToolCall)}
    places = {name: place for place, name in enumerate(calls)}
    signed = _UNSIGNED.match(model) is None
    contents = list[Json]()
    for speaker, group in groupby(_spoken(messages), key=lambda entry: entry[0]):
        parts = [part for _, part in group]
        if speaker == "tool":
            parts.sort(key=lambda part: places.get(_answered(part), len(places)))
        written = [one for part in parts if (one := _part(part, calls, omissions)) is not None]
        if speaker == "model" and signed:
            _sign_first_call(written)
        if written:
            role = "user" if speaker == "tool" else speaker
            contents.append({"role": role, "parts": written})
    return contents


def _all(messages: Sequence[ChatMessage]) -> Iterator[Part]:
    return (part for message in messages for part in message.parts)


def _spoken(messages: Sequence[ChatMessage]) -> Iterator[tuple[Speaker, Part]]:
    for message in messages:
        if message.role not in _SYSTEM:
            speaker: Speaker = "model" if message.role == "assistant" else "user"
            for part in message.parts:
                yield "tool" if isinstance(part, ToolResult) else speaker, part


def _answered(part: Part) -> str:
    return part.tool_call_id if isinstance(part, ToolResult) else ""


def _sign_first_call(parts: Sequence[Json]) -> None:
    """Give the first call of a turn the signature of foreign calls when it has none."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", _FOREIGN)


def _part(part: Part, calls: Mapping[str, str], omissions: Omissions) -> Json | None:
    signature = _signature(part, omissions)
    written = _written(part, calls, omissions, signed=bool(signature))
    return (
        written if written is None or not signature else {**written, "thoughtSignature": signature}
    )


def _written(
    part: Part, calls: Mapping[str, str], omissions: Omissions, *, signed: bool
) -> Json | None:
    match part:
        case Text(text=text) | Refusal(text=text):
            return {"text": text} if text or signed else None
        case Reasoning(text=text, summary=summary):
            return {"text": text or "\n\n".join(summary), "thought": True} if signed else None
        case Media():
            return _media(part)
        case ToolCall():
            return _call(part, omissions)
        case ToolResult():
            return _result(part, calls)
        case RawPart():
            return _raw(part, omissions)
        case _:
            assert_never(part)


def _signature(part: Part, omissions: Omissions) -> str:
    """Return the signature that Gemini gave with a part; empty for none."""
    for one in part.opaque:
        if one.provider == VENDOR and one.kind == "thought_signature":
            return one.data_b64
        omissions.tell(f"What only `{one.provider}` understands was not shown to Gemini.")
    return ""


def _media(media: Media) -> Json:
    source = media.source
    if source.data_b64 is not UNSET:
        return {"inlineData": {"mimeType": media.mime, "data": source.data_b64}}
    for uri in (source.provider_file, source.url):
        if uri is not UNSET:
            return {"fileData": {"mimeType": media.mime, "fileUri": uri}}
    raise UnsupportedError(
        f"A part of kind {media.kind} is nowhere Gemini can read it; send its bytes or a URL."
    )


def _call(call: ToolCall, omissions: Omissions) -> Json | None:
    if call.kind == "server":
        omissions.tell(
            f"The call `{call.name}`, which another provider ran, was not shown to Gemini."
        )
        return None
    return {"functionCall": {**_id(call.id), "name": call.name, "args": _object(call.args_json)}}


def _result(result: ToolResult, calls: Mapping[str, str]) -> Json:
    name = result.name or calls.get(result.tool_call_id, "")
    response = {"error": result.content} if result.is_error else _object(result.content)
    return {"functionResponse": {**_id(result.tool_call_id), "name": name, "response": response}}


def _id(name: str) -> Json:
    return {} if not name or name.startswith(UNNAMED) else {"id": name}


def _object(text: str) -> Json:
    """Return a text as the JSON object that Gemini wants; what is none is put into one."""
    try:
        value = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        value = text
    return value if isinstance(value, dict) else {"output": value}


def _raw(part: RawPart, omissions: Omissions) -> Json | None:
    if part.provider != VENDOR:
        omissions.tell(f"What only `{part.provider}` understands was not shown to Gemini.")
        return None
    return part.json if part.kind not in BESIDE and isinstance(part.json, dict) else None
