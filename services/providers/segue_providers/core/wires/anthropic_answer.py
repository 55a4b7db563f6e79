"""Claude's answers: what does the Messages API say, in our own words?"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from segue_contracts.v1.chat import Stop, StopReason
from segue_contracts.v1.metering import CacheWrites, Usage
from segue_contracts.v1.parts import Part, RawPart, Reasoning, Text, ToolCall
from segue_providers.core.answer import (
    Alive,
    AnswerEvent,
    Began,
    Closed,
    Grew,
    Metered,
    Opened,
    PartKind,
    Stopped,
    Whole,
)
from segue_providers.core.wires.anthropic_messages import concealed
from segue_providers.core.wires.anthropic_models import VENDOR

_STOPS: Final[Mapping[str, StopReason]] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
_KINDS: Final[Mapping[str, PartKind]] = {
    "text": "text",
    "thinking": "reasoning",
    "tool_use": "tool_call",
}
_GROWING: Final = ("text", "thinking", "partial_json")

Object = dict[str, Any]


class Frame(msgspec.Struct, frozen=True):
    """One event of a stream; fields that its type lacks are empty."""

    type: str
    index: int = 0
    message: Object = {}
    content_block: Object = {}
    delta: Object = {}
    usage: Object | None = None
    error: Object = {}


class _Block(msgspec.Struct):
    """A block that is being written."""

    start: Object
    pieces: list[str] = []
    signature: str = ""
    citations: list[Any] = []


class Reader:
    """Reads one answer, streamed or whole.

    Args:
        began: What is known when the reply's headers are there.
        custom: Names of tools that take free text, which Claude wraps in JSON.
    """

    def __init__(self, began: Began, *, custom: frozenset[str] = frozenset()) -> None:
        self._began = began
        self._custom = custom
        self._blocks: dict[int, _Block] = {}
        self._usage: Object = {}
        self._stop: Object = {}

    def frame(self, frame: Frame) -> Iterator[AnswerEvent]:
        """Read the next event of a stream; events of an unknown type are signs of life."""
        match frame.type:
            case "message_start":
                yield from self._start(frame.message)
            case "content_block_start":
                yield from self._open(frame.index, frame.content_block)
            case "content_block_delta":
                yield from self._grow(frame.index, frame.delta)
            case "content_block_stop":
                yield from self._close(frame.index)
            case "message_delta":
                self._stop = {**self._stop, **_present(frame.delta)}
                yield from self._metered(frame.usage)
            case "message_stop":
                yield Stopped(stop=stop_of(self._stop))
            case _:
                yield Alive()

    def message(self, message: Object) -> Iterator[AnswerEvent]:
        """Read a whole answer."""
        yield from self._start(message)
        for index, block in enumerate(_objects(message.get("content"))):
            part = self._part(_Block(start=block, signature=_text(block, "signature")))
            yield Whole(index=index, part=part)
        yield Stopped(stop=stop_of(message))

    def _start(self, message: Object) -> Iterator[AnswerEvent]:
        usage = _object(message, "usage")
        yield msgspec.structs.replace(
            self._began,
            model=_text(message, "model"),
            ids={**self._began.ids, "response": _text(message, "id")},
            service_tier=_text(usage, "service_tier"),
        )
        yield from self._metered(usage)

    def _metered(self, usage: Object | None) -> Iterator[AnswerEvent]:
        """Overwrite, never add: every count is that of the answer so far."""
        if usage:
            self._usage = {**self._usage, **_present(usage)}
            yield Metered(usage=usage_of(self._usage))

    def _open(self, index: int, start: Object) -> Iterator[AnswerEvent]:
        self._blocks[index] = _Block(start=start)
        kind = _KINDS.get(_text(start, "type"))
        if kind is None:
            yield Alive()
            return
        yield Opened(index=index, kind=kind, id=_text(start, "id"), name=_text(start, "name"))
        if begun := _text(start, "text") or _text(start, "thinking"):
            yield from self._grow(index, {"text": begun})

    def _grow(self, index: int, delta: Object) -> Iterator[AnswerEvent]:
        block = self._blocks[index]
        block.signature += _text(delta, "signature")
        if "citation" in delta:
            block.citations.append(delta["citation"])
        text = next((_text(delta, name) for name in _GROWING if name in delta), "")
        block.pieces.append(text)
        if text and _text(block.start, "type") in _KINDS:
            yield Grew(index=index, text=text)
        else:
            yield Alive()

    def _close(self, index: int) -> Iterator[AnswerEvent]:
        block = self._blocks.pop(index)
        part = self._part(block)
        if _text(block.start, "type") in _KINDS:
            yield Closed(index=index, part=part)
        else:
            yield Whole(index=index, part=part)

    def _part(self, block: _Block) -> Part:
        start, written = block.start, "".join(block.pieces)
        match _text(start, "type"):
            case "text":
                cited = block.citations or _list(start, "citations")
                return Text(text=written or _text(start, "text"), citations=cited)
            case "thinking":
                text = written or _text(start, "thinking")
                signed = [concealed("signature", block.signature)] if block.signature else []
                return Reasoning(text=text, redacted=not text, opaque=signed)
            case "redacted_thinking":
                hidden = concealed("redacted_thinking", _text(start, "data"))
                return Reasoning(redacted=True, opaque=[hidden])
            case "tool_use":
                return self._call(start, written)
            case kind:
                return RawPart(provider=VENDOR, kind=kind, json=_with_input(start, written))

    def _call(self, start: Object, written: str) -> ToolCall:
        args = written or msgspec.json.encode(start.get("input") or {}).decode()
        call = ToolCall(id=_text(start, "id"), name=_text(start, "name"), args_json=args)
        if call.name not in self._custom:
            return call
        return msgspec.structs.replace(call, kind="custom", args_json=_free_text(args))


def stop_of(message: Object) -> Stop:
    """Return why a message stopped."""
    raw, details = _text(message, "stop_reason"), _object(message, "stop_details")
    return Stop(
        reason=_STOPS.get(raw, "other"),
        raw=raw,
        sequence=_text(message, "stop_sequence"),
        category=_text(details, "category"),
        explanation=_text(details, "explanation"),
    )


def usage_of(raw: Object) -> Usage:
    """Return usage in neutral counts; writes to the cache of no known lifetime are `other`."""
    split = _object(raw, "cache_creation")
    short = _count(split, "ephemeral_5m_input_tokens")
    long = _count(split, "ephemeral_1h_input_tokens")
    written = max(_count(raw, "cache_creation_input_tokens"), short + long)
    fresh, read = _count(raw, "input_tokens"), _count(raw, "cache_read_input_tokens")
    return Usage(
        input_total=fresh + read + written,
        input_uncached=fresh,
        cache_read=read,
        cache_write=CacheWrites(five_minutes=short, one_hour=long, other=written - short - long),
        output_total=_count(raw, "output_tokens"),
        output_reasoning=_count(_object(raw, "output_tokens_details"), "thinking_tokens"),
        server_tools=_server_tools(_object(raw, "server_tool_use")),
        raw=raw,
    )


def _server_tools(counts: Object) -> dict[str, int]:
    return {
        name.removesuffix("_requests"): count
        for name in counts
        if (count := _count(counts, name)) > 0
    }


def _with_input(start: Object, written: str) -> Object:
    """Return a block with what was written of its input."""
    if not written:
        return start
    try:
        return {**start, "input": msgspec.json.decode(written)}
    except msgspec.DecodeError:
        return {**start, "input": written}


def _free_text(args: str) -> str:
    """Unwrap the text that a tool of free text was given."""
    try:
        value = msgspec.json.decode(args, type=dict[str, str])
    except msgspec.DecodeError:
        return args
    return value.get("input", args)


# Reading what a provider sent, whatever it sent.


def _text(owner: Object, name: str) -> str:
    value = owner.get(name)
    return value if isinstance(value, str) else ""


def _count(owner: Object, name: str) -> int:
    value = owner.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _object(owner: Object, name: str) -> Object:
    value = owner.get(name)
    return value if isinstance(value, dict) else {}


def _list(owner: Object, name: str) -> list[Any]:
    value = owner.get(name)
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _present(values: Object) -> Object:
    return {name: value for name, value in values.items() if value is not None}
