"""OpenAI's responses: what do they say, event by event or at once?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import structs

from segue_contracts.v1.chat import (
    Opaque,
    RawPart,
    Reasoning,
    Refusal,
    Stop,
    StopReason,
    Text,
    ToolCall,
)
from segue_contracts.v1.metering import CacheWrites, Usage
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
from segue_providers.core.wires.openai_options import Json, opaque
from segue_providers.core.wires.openai_profile import Profile

_INCOMPLETE: Final[dict[str, StopReason]] = {
    "max_output_tokens": "max_tokens",
    "content_filter": "content_filter",
}
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
"""Items that call a tool of ours, and where each has what it gives the tool."""
_GROWING: Final[dict[str, PartKind]] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "tool_call",
    "response.custom_tool_call_input.delta": "tool_call",
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_FAILURES: Final = frozenset({"response.failed", "error"})
_NEUTRAL: Final = frozenset(
    {"type", "role", "content", "status", "call_id", "name", "arguments", "input"}
)
"""What of an item our own parts say."""


class _WriteDetails(msgspec.Struct, frozen=True):
    ttl_12h_tokens: int | None = None
    ttl_30m_tokens: int | None = None


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: _WriteDetails | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Searches(msgspec.Struct, frozen=True):
    num_requests: int = 0


class _ToolUsage(msgspec.Struct, frozen=True):
    web_search: _Searches | None = None


class _Incomplete(msgspec.Struct, frozen=True):
    reason: str | None = None


class _Response(msgspec.Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    output: list[Json] | None = None
    incomplete_details: _Incomplete | None = None
    usage: dict[str, Any] | None = None
    tool_usage: _ToolUsage | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    response: _Response | None = None
    item: Json | None = None
    part: Json | None = None
    delta: object = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0


Place = tuple[int, int]
"""Where a part is: its item, and its place in that; 0 for items that are one part."""


@dataclass(slots=True)
class ResponsesReader:
    """Reads one answer.

    Args:
        profile: Whose answer it is.
        began: What is known of the answer before its first event.
    """

    profile: Profile
    began: Began
    stopped: bool = False
    """Whether the provider's proof that the answer is whole was there."""
    _begun: bool = False
    _parts: int = 0
    _open: dict[Place, int] = field(default_factory=dict)
    _items: set[int] = field(default_factory=set)
    _called: bool = False
    _refused: str = ""
    _spoke: bool = False

    def read(self, frame: object) -> Iterator[AnswerEvent]:
        """Read an event of a stream; one that tells of a failure is for `failure_in`.

        Raises:
            msgspec.ValidationError: It is none.
        """
        event = msgspec.convert(frame, _Event)
        if event.response is not None and not self._begun:
            yield self._begin(event.response)
        if event.type in _ENDS and event.response is not None:
            yield from self._end(event.response)
        elif event.type in _FAILURES:
            yield from _metered(event.response)
        else:
            yield from self._continue(event)

    def whole(self, body: object) -> Iterator[AnswerEvent]:
        """Read a reply that came at once.

        Raises:
            msgspec.ValidationError: It is none.
        """
        response = msgspec.convert(body, _Response)
        yield self._begin(response)
        if response.status in {None, "completed", "incomplete"} and response.output is not None:
            yield from self._end(response)
        else:
            yield from _metered(response)

    def _begin(self, response: _Response) -> Began:
        self._begun = True
        ids = {**self.began.ids, "response": response.id} if response.id else self.began.ids
        model, tier = response.model or self.began.model, response.service_tier or ""
        return structs.replace(self.began, model=model, ids=ids, service_tier=tier)

    def _continue(self, event: _Event) -> Iterator[AnswerEvent]:
        place = (event.output_index, event.content_index)
        match event.type:
            case "response.output_item.added" if event.item is not None:
                yield from self._added(event.output_index, event.item)
            case "response.output_item.done" if event.item is not None:
                yield from self._finished(event.output_index, event.item)
            case "response.content_part.added" if event.part is not None:
                yield from self._part_added(place, event.part)
            case "response.reasoning_summary_part.added" if event.summary_index:
                yield from self._grow((event.output_index, 0), "reasoning", "\n\n")
            case growing if (kind := _GROWING.get(growing)) and isinstance(event.delta, str):
                alone = kind in {"reasoning", "tool_call"}
                at = (event.output_index, 0) if alone else place
                yield from self._grow(at, kind, event.delta)
            case _:
                yield Alive()

    def _added(self, index: int, item: Json) -> Iterator[AnswerEvent]:
        match item.get("type"):
            case "reasoning":
                yield self._opened((index, 0), "reasoning")
            case str(kind) if kind in _CALLS:
                told = {"id": str(item.get("call_id", "")), "name": str(item.get("name", ""))}
                yield self._opened((index, 0), "tool_call", **told)
            case _:
                yield Alive()

    def _part_added(self, place: Place, part: Json) -> Iterator[AnswerEvent]:
        match part.get("type"):
            case "output_text":
                yield self._opened(place, "text")
            case "refusal":
                yield self._opened(place, "refusal")
            case _:
                yield Alive()

    def _opened(self, place: Place, kind: PartKind, *, id: str = "", name: str = "") -> Opened:  # noqa: A002 - as in `Opened`
        self._open[place] = self._next()
        return Opened(index=self._open[place], kind=kind, id=id, name=name)

    def _grow(self, place: Place, kind: PartKind, text: str) -> Iterator[AnswerEvent]:
        # Some compatible servers do not announce a part before it grows.
        if place not in self._open:
            yield self._opened(place, kind)
        yield Grew(index=self._open[place], text=text)

    def _next(self) -> int:
        self._parts += 1
        return self._parts - 1

    def _finished(self, index: int, item: Json) -> Iterator[AnswerEvent]:
        """Close the parts of an item, and tell those that were not told."""
        self._items.add(index)
        for place, part in enumerate(_parts_of(item, self.profile)):
            self._note(part)
            number = self._open.pop((index, place), None)
            if number is not None:
                yield Closed(index=number, part=part)
            elif isinstance(part, Text) and not part.text:
                continue
            elif isinstance(part, Reasoning):
                # Reasoning is no word of the answer, so it must not look like one that came whole.
                number = self._next()
                yield Opened(index=number, kind="reasoning")
                yield Closed(index=number, part=part)
            else:
                yield Whole(index=self._next(), part=part)

    def _note(self, part: "_Told") -> None:
        self._called = self._called or isinstance(part, ToolCall)
        self._spoke = self._spoke or isinstance(part, Text)
        if isinstance(part, Refusal):
            self._refused += part.text

    def _end(self, response: _Response) -> Iterator[AnswerEvent]:
        for index, item in enumerate(response.output or ()):
            if index not in self._items:
                yield from self._finished(index, item)
        yield from _metered(response)
        self.stopped = True
        yield Stopped(stop=self._stop(response), service_tier=response.service_tier or "")

    def _stop(self, response: _Response) -> Stop:
        if response.status == "incomplete":
            why = response.incomplete_details or _Incomplete()
            raw = why.reason or "incomplete"
            return Stop(reason=_INCOMPLETE.get(raw, "other"), raw=raw)
        raw = response.status or "completed"
        if self._called:
            return Stop(reason="tool_use", raw=raw)
        if self._refused and not self._spoke:
            return Stop(reason="refusal", raw=raw, explanation=self._refused)
        return Stop(reason="end", raw=raw)


def failure_in(frame: object) -> Json | None:
    """Return what a frame, or a whole reply, says of a failure; None when it says of none.

    Here the provider writes into `code` what it calls a type elsewhere, so both are told.
    """
    if not isinstance(frame, Mapping):
        return None
    error: object = None
    if frame.get("type") == "error":
        error = {**frame, "type": None}
    else:
        response = frame.get("response") if frame.get("type") == "response.failed" else frame
        if not isinstance(response, Mapping) or response.get("status") != "failed":
            return None
        error = response.get("error")
    told = {**error} if isinstance(error, Mapping) else {}
    return {**told, "type": told.get("type") or told.get("code")}


def usage_of(raw: dict[str, Any], tools: _ToolUsage | None = None) -> Usage:
    """Return usage in neutral counts; the provider's totals include what was cached and reasoned.

    Raises:
        msgspec.ValidationError: It is no usage.
    """
    used = msgspec.convert(raw, _Usage)
    into, out = used.input_tokens_details or _Details(), used.output_tokens_details or _Details()
    total, read = used.input_tokens or 0, into.cached_tokens or 0
    searches = tools.web_search.num_requests if tools and tools.web_search else 0
    return Usage(
        input_total=total,
        input_uncached=max(0, total - read - (into.cache_write_tokens or 0)),
        cache_read=read,
        cache_write=_writes(into),
        output_total=used.output_tokens or 0,
        output_reasoning=out.reasoning_tokens or 0,
        server_tools={"web_search": searches} if searches else {},
        raw=raw,
    )


def _writes(details: _Details) -> CacheWrites:
    written, told = details.cache_write_tokens or 0, details.cache_write_tokens_details
    half_hour = (told.ttl_30m_tokens or 0) if told else 0
    half_day = (told.ttl_12h_tokens or 0) if told else 0
    rest = max(0, written - half_hour - half_day)
    return CacheWrites(thirty_minutes=half_hour, twelve_hours=half_day, other=rest)


def _metered(response: _Response | None) -> Iterator[AnswerEvent]:
    if response is not None and response.usage:
        yield Metered(usage=usage_of(response.usage, response.tool_usage))


_Told = Text | Refusal | Reasoning | ToolCall | RawPart


def _parts_of(item: Json, profile: Profile) -> Iterator[_Told]:
    kind = str(item.get("type", ""))
    if kind == "message":
        yield from _texts(item, profile)
    elif kind == "reasoning":
        yield _reasoning(item, profile)
    elif kind in _CALLS:
        yield _call(item, kind, profile)
    else:
        yield RawPart(provider=profile.name, kind=kind, json=item)


def _texts(item: Json, profile: Profile) -> Iterator[_Told]:
    own = _own(item, profile)
    for piece in _list(item, "content"):
        if piece.get("type") == "refusal":
            yield Refusal(text=str(piece.get("refusal", "")), opaque=own)
        else:
            cited = _list(piece, "annotations")
            yield Text(text=str(piece.get("text", "")), citations=[*cited], opaque=own)


def _reasoning(item: Json, profile: Profile) -> Reasoning:
    """Return reasoning with all of its item, which the provider wants back as it was."""
    kept: Json = {name: value for name, value in item.items() if name != "status"}
    encrypted = [opaque(profile, "encrypted", kept)] if item.get("encrypted_content") else []
    text = "".join(str(piece.get("text", "")) for piece in _list(item, "content"))
    summary = [str(piece.get("text", "")) for piece in _list(item, "summary")]
    hidden = not text and not summary
    return Reasoning(text=text, summary=summary, redacted=hidden, opaque=encrypted)


def _call(item: Json, kind: str, profile: Profile) -> ToolCall:
    return ToolCall(
        id=str(item.get("call_id", "")),
        name=str(item.get("name", "")),
        args_json=str(item.get(_CALLS[kind]) or ""),
        kind="custom" if kind == "custom_tool_call" else "function",
        opaque=_own(item, profile),
    )


def _own(item: Json, profile: Profile) -> list[Opaque]:
    """Return what of an item only its provider understands."""
    own = {name: v for name, v in item.items() if name not in _NEUTRAL and v is not None}
    return [opaque(profile, "item_id", own)] if own else []


def _list(item: Json, name: str) -> list[Json]:
    value = item.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
