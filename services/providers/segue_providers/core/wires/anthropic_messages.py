"""Claude's conversations: how is what was said so far written for the Messages API?

Turns of one role become one; results of tools come first in theirs, directly after their calls.
What another provider's model thought in secret is not shown to Claude.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, assert_never

import msgspec
from msgspec import UNSET

from segue_contracts.v1.chat import ChatMessage, ChatRequest
from segue_contracts.v1.parts import (
    Media,
    Opaque,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from segue_providers.core.wires.anthropic_models import VENDOR, version
from segue_providers.core.wires.anthropic_schema import Json
from segue_providers.core.wires.omissions import Omissions, UnsupportedError

_SYSTEM: Final = frozenset({"system", "developer"})
_SYSTEM_ANYWHERE: Final = (4, 8)
"""The first version that takes a system's message in the middle of a conversation."""
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ID: Final = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_SHORT_S: Final = 300
_MAX_MARKS: Final = 4
_UNREADABLE: Final = "INVALID_JSON"

Turn = tuple[str, list[Json]]


def conversation(
    request: ChatRequest, words: str, omissions: Omissions
) -> tuple[list[Json], list[Json]]:
    """Return the system's blocks and the messages.

    Args:
        request: What is asked.
        words: What the system shall say beside; empty for nothing.
        omissions: Takes what cannot be said.

    Raises:
        UnsupportedError: There is nothing to answer, or media that cannot be sent.
    """
    first = _first_spoken(request.messages)
    system = [
        block for one in request.messages[:first] for block in _blocks(one, request, omissions)
    ]
    if words:
        system.append({"type": "text", "text": words})
    messages = _merged(_turns(request, first, omissions))
    if not messages:
        raise UnsupportedError("Nobody but the system says anything; add a message of a user.")
    _settle_marks([*system, *(block for _, turn in messages for block in turn)], omissions)
    return system, [{"role": role, "content": turn} for role, turn in messages]


def _first_spoken(messages: Sequence[ChatMessage]) -> int:
    """Return where the conversation itself begins."""
    places = (at for at, one in enumerate(messages) if one.role not in _SYSTEM)
    return next(places, len(messages))


def _turns(request: ChatRequest, first: int, omissions: Omissions) -> Iterator[Turn]:
    before = ""
    for message in request.messages[first:]:
        role = _role(message, request.model, before, omissions)
        if blocks := list(_blocks(message, request, omissions)):
            yield role, blocks
            before = role


def _role(message: ChatMessage, model: str, before: str, omissions: Omissions) -> str:
    """Return who speaks; a system that may not speak here is heard as a user."""
    if message.role == "assistant":
        return "assistant"
    if message.role not in _SYSTEM:
        return "user"
    known = version(model)
    if before == "user" and (known is None or known >= _SYSTEM_ANYWHERE):
        return "system"
    omissions.tell("A system message in the middle of the conversation was sent as a user's.")
    return "user"


def _merged(turns: Iterator[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for role, blocks in turns:
        if merged and merged[-1][0] == role:
            merged[-1][1].extend(blocks)
        else:
            merged.append((role, blocks))
    for _, blocks in merged:
        blocks.sort(key=lambda block: block["type"] != "tool_result")
    return merged


def _blocks(message: ChatMessage, request: ChatRequest, omissions: Omissions) -> Iterator[Json]:
    for part in message.parts:
        block = _block(part, request, omissions)
        if not block:
            continue
        if part.cache_ttl_s is not UNSET and not isinstance(part, Reasoning):
            short = part.cache_ttl_s <= _LONGEST_SHORT_S
            block["cache_control"] = {"type": "ephemeral", "ttl": "5m" if short else "1h"}
        yield block


def _block(part: Part, request: ChatRequest, omissions: Omissions) -> Json:
    """Return a part as a block; an empty one where there is nothing to send."""
    match part:
        case Text(text=text) | Refusal(text=text):
            return {"type": "text", "text": text} if text.strip() else {}
        case Reasoning():
            return _reasoning(part, request.model, omissions)
        case ToolCall():
            return _call(part, omissions)
        case ToolResult():
            return _result(part)
        case Media():
            return _media(part)
        case RawPart(provider=provider, kind=kind, json=json):
            if provider == VENDOR and isinstance(json, dict):
                return dict(json)
            omissions.tell(
                f"A part `{kind}` of `{provider}` means nothing to Claude; it was left out."
            )
            return {}
        case _:
            assert_never(part)


# Reasoning.


def _reasoning(part: Reasoning, model: str, omissions: Omissions) -> Json:
    """Return reasoning as Claude signed it; anything else it would refuse."""
    for one in part.opaque:
        if one.provider == VENDOR and one.model in {"", model}:
            data = _revealed(one)
            if one.kind == "redacted_thinking":
                return {"type": "redacted_thinking", "data": data}
            if one.kind == "signature":
                return {"type": "thinking", "thinking": part.text, "signature": data}
    if any(one.provider != VENDOR for one in part.opaque):
        omissions.tell("Reasoning of another provider means nothing to Claude; it was left out.")
    return {}


def concealed(kind: Literal["signature", "redacted_thinking"], data: str) -> Opaque:
    """Wrap what only Claude understands."""
    return Opaque(provider=VENDOR, kind=kind, data_b64=base64.b64encode(data.encode()).decode())


def _revealed(opaque: Opaque) -> str:
    try:
        return base64.b64decode(opaque.data_b64, validate=True).decode()
    except ValueError as error:
        raise UnsupportedError(
            f"The {opaque.kind} data of a part is damaged; send it as the provider gave it."
        ) from error


# Tools.


def _call(part: ToolCall, omissions: Omissions) -> Json:
    if part.kind == "server":
        omissions.tell(f"A call of `{part.name}` by another provider's server was left out.")
        return {}
    return {
        "type": "tool_use",
        "id": _call_id(part.id),
        "name": part.name,
        "input": {"input": part.args_json} if part.kind == "custom" else _object(part.args_json),
    }


def _object(text: str) -> Json:
    """Return arguments as the object that Claude wants, even where a model wrote none."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {_UNREADABLE: text}


def _result(part: ToolResult) -> Json:
    result: Json = {"type": "tool_result", "tool_use_id": _call_id(part.tool_call_id)}
    if part.content:
        result["content"] = part.content
    return {**result, "is_error": True} if part.is_error else result


def _call_id(text: str) -> str:
    """Return an id in the letters that Claude allows, so that equal ids stay equal."""
    allowed = _ID.sub("_", text)
    if allowed == text and text:
        return text
    return f"{allowed}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


# Media.


def _media(part: Media) -> Json:
    """Return a picture or document.

    Raises:
        UnsupportedError: Claude cannot take it; an answer that ignores it would be worse than none.
    """
    if part.kind == "image" and (part.mime in _IMAGES or part.source.data_b64 is UNSET):
        return {"type": "image", "source": _source(part)}
    if part.kind == "document":
        title: Json = {"title": part.title} if part.title else {}
        return {"type": "document", "source": _source(part), **title}
    raise UnsupportedError(f"Claude takes no {part.kind} of type {part.mime}; send text instead.")


def _source(part: Media) -> Json:
    source = part.source
    if source.provider_file is not UNSET:
        return {"type": "file", "file_id": source.provider_file}
    if source.url is not UNSET:
        return {"type": "url", "url": source.url}
    if source.data_b64 is UNSET:
        raise UnsupportedError(
            f"A {part.kind} is not sent with the request; send its bytes or a URL."
        )
    if part.mime.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": _text(source.data_b64)}
    return {"type": "base64", "media_type": part.mime, "data": source.data_b64}


def _text(data_b64: str) -> str:
    try:
        return base64.b64decode(data_b64, validate=True).decode()
    except ValueError as error:
        raise UnsupportedError("A document's text is not UTF-8 in base64.") from error


# Marks in the prompt's cache.


def _settle_marks(blocks: list[Json], omissions: Omissions) -> None:
    """Keep Claude's rules: at most four marks, and none for an hour after one for five minutes."""
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[:-_MAX_MARKS]:
        del block["cache_control"]
    if len(marked) > _MAX_MARKS:
        omissions.leave_out(f"Claude takes {_MAX_MARKS} marks for its cache; the first ones")
    short = False
    for block in marked[-_MAX_MARKS:]:
        short = short or block["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
        if short:
            block["cache_control"] = {"type": "ephemeral", "ttl": "5m"}
