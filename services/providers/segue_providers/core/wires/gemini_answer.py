"""Gemini answers: what do the chunks of Gemini's answer say?"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from segue_contracts.v1.chat import (
    Media,
    Opaque,
    RawPart,
    Source,
    Stop,
    StopReason,
    ToolCall,
    Usage,
)
from segue_contracts.v1.parts import Part
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
from segue_providers.core.wires.gemini_contents import BESIDE, UNNAMED, VENDOR

Chunk = Mapping[str, Any]
"""A response of the interface, whole or a piece of a stream, in its own JSON."""

_FILTERED: Final = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
)
_MALFORMED: Final = (
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
)
_REASONS: Final[dict[str, StopReason]] = {
    "STOP": "end",
    "MAX_TOKENS": "max_tokens",
    "CONTINUATION": "pause",
    **dict.fromkeys(_FILTERED, "content_filter"),
    **dict.fromkeys(_MALFORMED, "malformed"),
}
_MEDIA: Final[dict[str, Literal["image", "audio", "video"]]] = {
    "image": "image",
    "audio": "audio",
    "video": "video",
}
_URL_SAFE: Final = str.maketrans("-_", "+/")


class Reader:
    """Reads one answer, chunk by chunk.

    Args:
        call_prefix: Begins the ids of calls to which Gemini gives none; unlike that of any other
            answer in the conversation.
        warnings: What the caller shall know of the request.
    """

    def __init__(self, call_prefix: str, *, warnings: tuple[str, ...] = ()) -> None:
        self._call_prefix = f"{UNNAMED}{call_prefix}"
        self._warnings = warnings
        self._parts = 0
        self._calls = 0
        self._growing: PartKind | None = None
        self._began = False
        self._counts: dict[str, Any] = {}
        self._searches = 0
        self.service_tier = ""
        """The tier that serves, as the reply's headers say; set before the first chunk is read."""
        self.whole = False
        """Whether Gemini said that its answer is whole."""

    def read(self, chunk: Chunk) -> Iterator[AnswerEvent]:
        """Return what a chunk says; one that says nothing shows that Gemini is still there."""
        if not self._began and chunk:
            self._began = True
            yield self._beginning(chunk)
        candidate = _first(chunk.get("candidates"))
        yield from self._content(candidate)
        reason = str(candidate.get("finishReason") or "")
        blocked = {} if candidate else chunk.get("promptFeedback") or {}
        ends = bool(reason or blocked.get("blockReason"))
        if ends:
            yield from self._close()
            yield from self._beside(candidate)
        yield from self._metered(chunk)
        if ends:
            self.whole = True
            yield self._stopped(candidate, blocked)
        if not chunk:
            yield Alive()

    def _beginning(self, chunk: Chunk) -> Began:
        answered = str(chunk.get("responseId") or "")
        return Began(
            model=str(chunk.get("modelVersion") or ""),
            ids={"response": answered} if answered else {},
            service_tier=self.service_tier,
            warnings=self._warnings,
        )

    def _content(self, candidate: Chunk) -> Iterator[AnswerEvent]:
        content: Chunk = candidate.get("content") or {}
        for part in content.get("parts") or ():
            if "text" in part:
                yield from self._said(part)
            else:
                yield from self._close()
                yield Whole(index=self._next(), part=self._whole(part))

    def _said(self, part: Chunk) -> Iterator[AnswerEvent]:
        """Read text; what is signed stays a part of its own, since so it must be sent back."""
        kind: PartKind = "reasoning" if part.get("thought") else "text"
        signed = _opaque(part)
        if signed or self._growing not in {None, kind}:
            yield from self._close()
        if self._growing is None and (part["text"] or signed):
            self._growing = kind
            yield Opened(index=self._next(), kind=kind)
        if part["text"]:
            yield Grew(index=self._parts - 1, text=part["text"])
        if signed:
            yield from self._close(signed)

    def _close(self, opaque: tuple[Opaque, ...] = ()) -> Iterator[AnswerEvent]:
        if self._growing is not None:
            self._growing = None
            yield Closed(index=self._parts - 1, opaque=opaque)

    def _next(self) -> int:
        self._parts += 1
        return self._parts - 1

    def _whole(self, part: Chunk) -> Part:
        opaque = list(_opaque(part))
        match part:
            case {"functionCall": call}:
                return self._call(call, opaque)
            case {"inlineData": data}:
                bytes_ = str(data.get("data") or "").translate(_URL_SAFE)
                return _media(data, Source(data_b64=bytes_), opaque)
            case {"fileData": data}:
                return _media(data, Source(url=str(data.get("fileUri") or "")), opaque)
            case _:
                return RawPart(provider=VENDOR, kind=_kind(part), json=dict(part))

    def _call(self, call: Chunk, opaque: list[Opaque]) -> ToolCall:
        self._calls += 1
        return ToolCall(
            id=str(call.get("id") or "") or f"{self._call_prefix}-{self._calls}",
            name=str(call.get("name") or ""),
            args_json=msgspec.json.encode(call.get("args") or {}).decode(),
            opaque=opaque,
        )

    def _beside(self, candidate: Chunk) -> Iterator[AnswerEvent]:
        """Pass on what Gemini says about its answer, such as where it searched."""
        grounding: Chunk = candidate.get("groundingMetadata") or {}
        self._searches = len(grounding.get("webSearchQueries") or ())
        for kind in sorted(BESIDE & candidate.keys()):
            if candidate[kind]:
                part = RawPart(provider=VENDOR, kind=kind, json=candidate[kind])
                yield Whole(index=self._next(), part=part)

    def _metered(self, chunk: Chunk) -> Iterator[AnswerEvent]:
        """Read usage: it is cumulative, and a later chunk may leave out what did not change."""
        if counts := chunk.get("usageMetadata"):
            self._counts.update(counts)
            yield Metered(usage=usage_of(self._counts, searches=self._searches))

    def _stopped(self, candidate: Chunk, blocked: Chunk) -> Stopped:
        raw = str(candidate.get("finishReason") or blocked.get("blockReason") or "")
        reason = "content_filter" if blocked else _REASONS.get(raw, "other")
        if reason == "end" and self._calls:
            reason = "tool_use"
        explanation = candidate.get("finishMessage") or blocked.get("blockReasonMessage")
        return Stopped(
            stop=Stop(
                reason=reason,
                raw=raw,
                category=raw if reason == "content_filter" else "",
                explanation=str(explanation or ""),
            )
        )


def usage_of(counts: Chunk, *, searches: int = 0) -> Usage:
    """Return Gemini's `usageMetadata` and its searches of the web in the neutral form.

    Gemini counts thoughts beside the answer, and tool results it fetched beside the prompt.
    """
    fetched = _count(counts, "toolUsePromptTokenCount")
    asked = _count(counts, "promptTokenCount") + fetched
    cached = _count(counts, "cachedContentTokenCount")
    thoughts = _count(counts, "thoughtsTokenCount")
    inputs = _details(counts, "promptTokensDetails")
    inputs += _details(counts, "toolUsePromptTokensDetails")
    return Usage(
        input_total=asked,
        input_uncached=max(0, asked - cached),
        cache_read=cached,
        output_total=_count(counts, "candidatesTokenCount") + thoughts,
        output_reasoning=thoughts,
        input_by_modality=_by_modality(inputs),
        output_by_modality=_by_modality(_details(counts, "candidatesTokensDetails")),
        tool_prompt=fetched,
        server_tools={"web_search": searches} if searches else {},
        raw=dict(counts),
    )


def _count(counts: Chunk, name: str) -> int:
    return int(counts.get(name) or 0)


def _details(counts: Chunk, name: str) -> tuple[Chunk, ...]:
    return tuple(counts.get(name) or ())


def _by_modality(details: tuple[Chunk, ...]) -> dict[str, int]:
    tokens = dict[str, int]()
    for one in details:
        name = str(one.get("modality") or "").lower()
        tokens[name] = tokens.get(name, 0) + _count(one, "tokenCount")
    return {name: count for name, count in tokens.items() if count}


def _first(candidates: Any) -> Chunk:
    """Return the one candidate that is asked for; empty for none."""
    return candidates[0] if candidates else {}


def _opaque(part: Chunk) -> tuple[Opaque, ...]:
    signature = str(part.get("thoughtSignature") or "").translate(_URL_SAFE)
    if not signature:
        return ()
    return (Opaque(provider=VENDOR, kind="thought_signature", data_b64=signature),)


def _media(data: Chunk, source: Source, opaque: list[Opaque]) -> Media:
    mime = str(data.get("mimeType") or "")
    family = _MEDIA.get(mime.partition("/")[0])
    return Media(kind=family or "document", mime=mime, source=source, opaque=opaque)


def _kind(part: Chunk) -> str:
    return next((name for name in part if name not in {"thought", "thoughtSignature"}), "")
