"""Usage estimates: how many tokens is a text, when no provider counted them?"""

import math
from typing import Final

import msgspec
from msgspec import UNSET

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)

CHARS_PER_TOKEN: Final = 3.6
"""English prose and code, averaged over the public tokenizers."""

_PER_MESSAGE: Final = 4
"""Tokens that mark where a message begins and ends, and whose it is."""
_MEDIA: Final = {"image": 1_600, "audio": 2_000, "video": 8_000, "document": 4_000}
"""Tokens of media whose size is not known; of an image also when it is."""
_BYTES_PER_TOKEN: Final = {"audio": 500, "video": 500, "document": 20}
"""Encoded bytes that make up one token, at usual qualities."""


def tokens(characters: int) -> int:
    """Estimate the tokens of a number of characters."""
    return math.ceil(characters / CHARS_PER_TOKEN)


def estimate(request: ChatRequest, answer: ChatMessage) -> Usage:
    """Estimate the usage of a call that no provider counted."""
    asked = tokens(_asked(request))
    return Usage(
        input_total=asked,
        input_uncached=asked,
        output_total=tokens(_characters(answer)),
        source="estimated",
    )


def expected_input(request: ChatRequest) -> int:
    """Estimate the tokens of input of a request before it is sent."""
    media = sum(
        _media_tokens(part)
        for message in request.messages
        for part in message.parts
        if isinstance(part, Media)
    )
    form = request.output.format.json_schema
    written = _asked(request) + (len(msgspec.json.encode(form)) if form else 0)
    marks = _PER_MESSAGE * len(request.messages)
    return tokens(written) + marks + media


def _asked(request: ChatRequest) -> int:
    """Return the characters of a request: of its conversation and its tools."""
    said = sum(map(_characters, request.messages))
    return said + sum(len(msgspec.json.encode(tool)) for tool in request.tools)


def _media_tokens(media: Media) -> int:
    data = media.source.data_b64
    per_token = _BYTES_PER_TOKEN.get(media.kind)
    if per_token is None or data is UNSET:
        return _MEDIA[media.kind]
    return math.ceil(len(data) * 3 / 4 / per_token)


def _characters(message: ChatMessage) -> int:
    return sum(map(_length, message.parts))


def _length(part: Part) -> int:
    match part:
        case Text(text=text) | Refusal(text=text):
            return len(text)
        case Reasoning(text=text, summary=summary):
            return len(text) + sum(map(len, summary))
        case ToolCall(name=name, args_json=args):
            return len(name) + len(args)
        case ToolResult(content=content):
            return len(content)
        case _:
            return 0
