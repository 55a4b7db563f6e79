"""OpenAI's chat completions: what do they say, chunk by chunk or at once?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from segue_contracts.v1.chat import Stop, StopReason, Text, ToolCall
from segue_contracts.v1.metering import CacheWrites, Usage
from segue_providers.core.answer import (
    Alive,
    AnswerEvent,
    Began,
    Closed,
    Grew,
    Metered,
    Opened,
    Stopped,
)
from segue_providers.core.wires.openai_profile import Profile

_REASONS: Final[dict[str, StopReason]] = {
    "": "end",
    "stop": "end",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
}

Voice = Literal["text", "reasoning", "refusal"]
"""Parts of which one at a time grows."""


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Called(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    input: str | None = None


class _CallPiece(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Called | None = None
    custom: _Called | None = None


class _Said(msgspec.Struct, frozen=True):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    # Compatible servers show reasoning under either name.
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: list[_CallPiece] | None = None
    annotations: list[Any] | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int | None = None
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    stop_reason: object = None


class _Chunk(msgspec.Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class _Call:
    """A call of a tool, as far as it was told."""

    part: int
    id: str
    name: str
    custom: bool
    pieces: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Voiced:
    """What is being said now."""

    part: int
    kind: Voice
    pieces: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class ChatReader:
    """Reads one answer; a whole reply is read as a stream of one chunk.

    Args:
        profile: Whose answer it is.
        began: What is known of the answer before its first chunk.
        calls_before: Calls in the conversation so far; ids that are made up do not repeat theirs.
    """

    profile: Profile
    began: Began
    calls_before: int = 0
    _heard: bool = False
    _begun: bool = False
    _finish: str = ""
    _sequence: str = ""
    _parts: int = 0
    _refused: str = ""
    _voiced: _Voiced | None = None
    _calls: list[_Call] = field(default_factory=list)
    _by_index: dict[int, _Call] = field(default_factory=dict)

    def read(self, frame: object) -> Iterator[AnswerEvent]:
        """Read a chunk, or a whole reply.

        Raises:
            msgspec.ValidationError: It is none.
        """
        chunk = msgspec.convert(frame, _Chunk)
        quiet = self._begun
        if not self._begun:
            self._begun = True
            yield _begun(self.began, chunk)
        if chunk.usage:
            quiet = False
            yield Metered(usage=usage_of(chunk.usage))
        for choice in chunk.choices or ():
            if not choice.index:
                for event in self._take(choice):
                    quiet = False
                    yield event
        if quiet:
            yield Alive()

    def ended(self, *, done: bool) -> Iterator[AnswerEvent]:
        """Read the end of the reply; it proves the answer only together with a reason to stop.

        Args:
            done: Whether the provider said that nothing follows. Some compatible servers prove an
                answer by this alone; the vendor always tells a reason.
        """
        if not self._finish and not (done and self._heard and not self.profile.vendor):
            return
        yield from self._hush()
        for call in self._calls:
            yield Closed(index=call.part, part=_whole(call))
        yield Stopped(stop=self._stop())

    def _take(self, choice: _Choice) -> Iterator[AnswerEvent]:
        self._heard = True
        said = choice.delta or choice.message or _Said()
        yield from self._say("reasoning", _thought(said))
        yield from self._say("text", _text(said.content))
        yield from self._say("refusal", said.refusal or "")
        for piece in said.tool_calls or ():
            yield from self._called(piece)
        if said.annotations and self._voiced is not None:
            self._voiced.citations.extend(said.annotations)
        self._finish = choice.finish_reason or self._finish
        if isinstance(choice.stop_reason, str):
            self._sequence = choice.stop_reason

    def _say(self, kind: Voice, text: str) -> Iterator[AnswerEvent]:
        if not text:
            return
        if self._voiced is None or self._voiced.kind != kind:
            yield from self._hush()
            self._voiced = _Voiced(part=self._next(), kind=kind)
            yield Opened(index=self._voiced.part, kind=kind)
        self._voiced.pieces.append(text)
        if kind == "refusal":
            self._refused += text
        yield Grew(index=self._voiced.part, text=text)

    def _hush(self) -> Iterator[AnswerEvent]:
        """Close what is being said, for something else follows."""
        voiced, self._voiced = self._voiced, None
        if voiced is None:
            return
        cited = voiced.kind == "text" and voiced.citations
        text = "".join(voiced.pieces)
        whole = Text(text=text, citations=voiced.citations) if cited else None
        yield Closed(index=voiced.part, part=whole)

    def _called(self, piece: _CallPiece) -> Iterator[AnswerEvent]:
        called = piece.custom or piece.function or _Called()
        call = self._known(piece, called)
        if call is None:
            yield from self._hush()
            call = self._new(piece, called)
            yield Opened(index=call.part, kind="tool_call", id=call.id, name=call.name)
        if text := _arguments(called):
            call.pieces.append(text)
            yield Grew(index=call.part, text=text)

    def _known(self, piece: _CallPiece, called: _Called) -> _Call | None:
        """Return the call that a piece continues; servers without indices tell whole calls."""
        if piece.index is None:
            return None if called.name or not self._calls else self._calls[-1]
        call = self._by_index.get(piece.index)
        another = call is not None and piece.id and piece.id != call.id and called.name
        return None if another else call

    def _new(self, piece: _CallPiece, called: _Called) -> _Call:
        made_up = f"call_{self.calls_before + len(self._calls) + 1}"
        call = _Call(
            part=self._next(),
            id=piece.id or made_up,
            name=called.name or "",
            custom=piece.custom is not None,
        )
        self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        return call

    def _next(self) -> int:
        self._parts += 1
        return self._parts - 1

    def _stop(self) -> Stop:
        reason = _REASONS.get(self._finish, "other")
        if reason == "end":
            # A forced call, and any call at some servers, ends with a plain `stop`.
            if self._calls:
                reason = "tool_use"
            elif self._refused:
                reason = "refusal"
            elif self._sequence:
                reason = "stop_sequence"
        said = self._refused if reason == "refusal" else ""
        return Stop(reason=reason, raw=self._finish, sequence=self._sequence, explanation=said)


def usage_of(raw: dict[str, Any]) -> Usage:
    """Return usage in neutral counts; the provider's totals include what was cached and reasoned.

    Raises:
        msgspec.ValidationError: It is no usage.
    """
    used = msgspec.convert(raw, _Usage)
    into, out = (
        used.prompt_tokens_details or _Details(),
        used.completion_tokens_details or _Details(),
    )
    total, read, written = used.prompt_tokens or 0, into.cached_tokens or 0, into.cache_write_tokens
    return Usage(
        input_total=total,
        input_uncached=max(0, total - read - (written or 0)),
        cache_read=read,
        cache_write=CacheWrites(other=written or 0),
        output_total=used.completion_tokens or 0,
        output_reasoning=out.reasoning_tokens or 0,
        input_by_modality=_modalities(into),
        output_by_modality=_modalities(out),
        raw=raw,
    )


def _modalities(details: _Details) -> dict[str, int]:
    counts = {"audio": details.audio_tokens, "image": details.image_tokens}
    return {name: count for name, count in counts.items() if count}


def _begun(began: Began, chunk: _Chunk) -> Began:
    ids = {**began.ids, "response": chunk.id} if chunk.id else began.ids
    tier = chunk.service_tier or ""
    return structs.replace(began, model=chunk.model or began.model, ids=ids, service_tier=tier)


def _text(content: str | Sequence[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(piece["text"]) for piece in content if piece.get("type") == "text")


def _thought(said: _Said) -> str:
    shown = said.reasoning_content or said.reasoning
    return shown if isinstance(shown, str) else ""


def _arguments(called: _Called) -> str:
    written = called.arguments if called.input is None else called.input
    if isinstance(written, dict):
        return msgspec.json.encode(written).decode()
    return written or ""


def _whole(call: _Call) -> ToolCall | None:
    """Return a call of free text as a part; what grew is taken for a function's otherwise."""
    if not call.custom:
        return None
    text = "".join(call.pieces)
    return ToolCall(id=call.id, name=call.name, args_json=text, kind="custom")
