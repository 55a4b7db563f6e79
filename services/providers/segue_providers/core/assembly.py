"""Assembly: what has a provider said so far, and what of it may be shown?

One assembly stands for one try. It says when the first word of an answer is there, which is the
moment after which another provider cannot step in unnoticed, and whether the answer is whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import structs

from segue_contracts.v1.chat import ChatMessage, StreamOptions
from segue_contracts.v1.deltas import (
    Delta,
    DeltaStart,
    PartDelta,
    PartEnd,
    PartStart,
    UsageDelta,
)
from segue_contracts.v1.metering import Usage
from segue_contracts.v1.parts import Opaque, Part, Reasoning, Refusal, Text, ToolCall
from segue_providers.core.answer import (
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


class MalformedAnswerError(ValueError):
    """An adapter's events contradict each other; the message says how."""


@dataclass(slots=True)
class _Growing:
    """A part that is not complete yet."""

    kind: PartKind
    id: str
    name: str
    pieces: list[str] = field(default_factory=list)
    whole: Part | None = None
    closed: bool = False


@dataclass(slots=True)
class Assembly:
    """The answer of one try, as far as it has come."""

    began: Began = field(default_factory=Began)
    """What the provider said when it accepted the request."""
    stopped: Stopped | None = None
    """The provider's proof that the answer is whole."""
    usage: Usage | None = None
    """The latest usage it told; None when it told none."""
    spoken: bool = False
    """Whether the first word of the answer is there."""
    characters: int = 0
    """Characters of output so far, for an estimate when usage is never told."""
    _parts: dict[int, _Growing] = field(default_factory=dict)

    def take(self, event: AnswerEvent) -> None:
        """Take what the provider says next.

        Raises:
            MalformedAnswerError: It cannot be, after what it said before.
        """
        match event:
            case Began():
                self.began = event
            case Opened(index=index, kind=kind, id=name, name=tool):
                self._add(index, _Growing(kind, name, tool))
            case Grew(index=index, text=text):
                self._open(index).pieces.append(text)
                self.characters += len(text)
                self.spoken = self.spoken or bool(text)
            case Closed(index=index, opaque=opaque, part=part):
                self._close(index, opaque, part)
            case Whole(index=index, part=part):
                self._add(index, _Growing(kind_of(part), "", "", whole=part, closed=True))
                self.characters += length_of(part)
                self.spoken = True
            case Metered(usage=usage):
                self.usage = usage
            case Stopped():
                self.stopped = event
            case _:
                pass

    @property
    def service_tier(self) -> str:
        """The tier that served; some providers tell it at the end only."""
        stopped = self.stopped
        return (stopped.service_tier if stopped else "") or self.began.service_tier

    def message(self) -> ChatMessage:
        """Return the answer so far; parts that are still open are taken as they are."""
        parts = [_part_of(self._parts[index]) for index in sorted(self._parts)]
        return ChatMessage(role="assistant", parts=parts)

    def kind(self, index: int) -> PartKind:
        """Return what a part is."""
        return self._parts[index].kind

    def _add(self, index: int, part: _Growing) -> None:
        if index in self._parts:
            raise MalformedAnswerError(f"part {index} begins twice")
        self._parts[index] = part

    def _open(self, index: int) -> _Growing:
        part = self._parts.get(index)
        if part is None or part.closed:
            raise MalformedAnswerError(f"part {index} grows, and is not open")
        return part

    def _close(self, index: int, opaque: tuple[Opaque, ...], part: Part | None) -> None:
        growing = self._open(index)
        whole = part or _part_of(growing)
        growing.whole = structs.replace(whole, opaque=[*whole.opaque, *opaque])
        growing.closed = True
        self.spoken = self.spoken or growing.kind == "tool_call"


def kind_of(part: Part) -> PartKind:
    """Return how a part is shown."""
    match part:
        case ToolCall():
            return "tool_call"
        case Reasoning():
            return "reasoning"
        case Refusal():
            return "refusal"
        case _:
            return "text"


def length_of(part: Part) -> int:
    """Return the characters of a part that a model wrote."""
    match part:
        case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
            return len(text)
        case ToolCall(name=name, args_json=args):
            return len(name) + len(args)
        case _:
            return 0


def _part_of(growing: _Growing) -> Part:
    if growing.whole is not None:
        return growing.whole
    text = "".join(growing.pieces)
    match growing.kind:
        case "tool_call":
            return ToolCall(id=growing.id, name=growing.name, args_json=text or "{}")
        case "reasoning":
            return Reasoning(text=text)
        case "refusal":
            return Refusal(text=text)
        case _:
            return Text(text=text)


# What of it is shown.


def deltas_of(
    event: AnswerEvent, assembly: Assembly, *, provider: str, stream: StreamOptions
) -> Iterable[Delta]:
    """Return what watchers are shown of an event that the assembly has taken.

    Args:
        event: What the provider said.
        assembly: The answer so far, the event included.
        provider: The provider's configured name.
        stream: What watchers want beyond text.
    """
    match event:
        case Began(model=model):
            return (DeltaStart(request="", provider=provider, model=model),)
        case Opened(index=index, kind=kind, id=name, name=tool) if _wanted(kind, stream):
            return (_start(index, kind, name, tool),)
        case Grew(index=index, text=text):
            return _grown(index, text, assembly.kind(index), stream)
        case Closed(index=index) if _wanted(assembly.kind(index), stream):
            return (PartEnd(request="", index=index),)
        case Whole(index=index, part=part) if _wanted(kind_of(part), stream):
            return _all_of(index, part, stream)
        case Metered(usage=usage) if "usage" in stream.include:
            return (UsageDelta(request="", usage=usage),)
        case _:
            return ()


def _wanted(kind: PartKind, stream: StreamOptions) -> bool:
    return kind != "reasoning" or "reasoning" in stream.include


def _start(index: int, kind: PartKind, name: str, tool: str) -> PartStart:
    shown = "text" if kind == "refusal" else kind
    return PartStart(request="", index=index, kind=shown, id=name, name=tool)


def _grown(index: int, text: str, kind: PartKind, stream: StreamOptions) -> Iterable[Delta]:
    if not text:
        return ()
    match kind:
        case "tool_call" if "tool_args" in stream.include:
            return (PartDelta(request="", index=index, args=text),)
        case "reasoning" if "reasoning" in stream.include:
            return (PartDelta(request="", index=index, reasoning=text),)
        case "text" | "refusal":
            return (PartDelta(request="", index=index, text=text),)
        case _:
            return ()


def _all_of(index: int, part: Part, stream: StreamOptions) -> Iterable[Delta]:
    match part:
        case ToolCall(id=name, name=tool, args_json=text):
            start = _start(index, "tool_call", name, tool)
        case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
            start = _start(index, kind_of(part), "", "")
        case _:
            return ()
    return (start, *_grown(index, text, kind_of(part), stream), PartEnd(request="", index=index))
