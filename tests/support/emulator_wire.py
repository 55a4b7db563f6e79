"""The emulator's wires: what must a module say of its provider's protocol?"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Operation = Literal["chat", "stream", "count", "models", "embed"]
"""What a request asks for; `chat` and `stream` are answered by `whole` and `frames`."""

SayKind = Literal["text", "reasoning", "tool_call"]
Ending = Literal["end", "max_tokens", "tool_use", "refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One HTTP request, its scenario cut off the path."""

    method: str
    path: str
    """Without scenario and query, such as `/v1/messages`."""
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any = None
    """The decoded JSON; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One part of the emulated answer."""

    kind: SayKind
    pieces: tuple[str, ...]
    """What a stream divides it into; for a tool call pieces of the arguments' JSON text."""
    id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """The part as a whole."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Neutral counts; a wire writes them in its provider's way."""

    fresh: int
    """Input that no cache covered."""
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    """All output, `reasoning` included."""
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the emulator answers, in words that no provider owns."""

    asked: Asked
    parts: tuple[Say, ...]
    ending: Ending
    usage: Tokens | None
    """None leaves usage out wherever the protocol could carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error reply in neutral words."""

    status: int
    kind: str = ""
    """What lies behind it, such as `quota`, `context`, `policy`; empty for the status's own."""
    message: str = ""
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole HTTP reply."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool the request offers."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What the scenario `agent` must know of a request."""

    tools: tuple[Offered, ...]
    results: tuple[tuple[str, str], ...]
    """Name of tool and content, for each result in the conversation."""
    user_text: str
    """All that users said, joined by line breaks."""


class Wire(Protocol):
    """One provider's protocol."""

    name: str
    """By which the log and the control plane know it."""
    preamble: int
    """Frames of a stream that come before anything is said."""

    def operation(self, asked: Asked) -> Operation | None:
        """Return what a request asks for; None when it is not this wire's."""
        ...

    def key(self, asked: Asked) -> str:
        """Return the key a request carries; empty for none."""
        ...

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Return the fault with which the provider refuses a request as wrong in itself."""
        ...

    def conversation(self, asked: Asked) -> Conversation:
        """Return what was asked of a model, for `chat` and `stream`."""
        ...

    def whole(self, script: Script) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        ...

    def frames(self, script: Script) -> list[bytes]:
        """Return the frames of a streamed answer, its terminal last."""
        ...

    def other(self, asked: Asked, operation: Operation) -> dict[str, Any]:
        """Return the body of the reply to `count`, `models` or `embed`."""
        ...

    def error(self, fault: Fault) -> Reply:
        """Return the reply to a request that failed."""
        ...

    def in_band_error(self, fault: Fault) -> bytes:
        """Return the frame that tells of an error within a stream."""
        ...

    def reply_headers(self) -> dict[str, str]:
        """Return the headers of every good reply, such as ids and limits."""
        ...
