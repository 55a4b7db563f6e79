"""Chat completions, answered: how is an answer told, whole or as it is written?"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UnsetType, to_builtins

from segue_contracts.v1.chat import ChatRequest, ChatResponse, Part, Reasoning, Refusal, ToolCall
from segue_contracts.v1.deltas import Delta, DeltaStart, PartDelta, PartStart
from segue_gateway.core.openai.chat_request import custom_tools
from segue_gateway.core.openai.content import plain
from segue_gateway.core.openai.faults import Fault
from segue_gateway.core.openai.figures import beside, chat_usage, finished, id_of, model_of

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"


def completion(response: ChatResponse, request: ChatRequest, *, created: int) -> Json:
    """Return an answer as a chat completion.

    Args:
        response: The answer.
        request: What was asked.
        created: When, Unix seconds.

    Raises:
        FaultError: What the model wrote is no answer.
    """
    parts = response.message.parts
    choice = {
        "index": 0,
        "message": _message(parts),
        "finish_reason": finished(response, refused=_refused(parts)),
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{id_of(request.id)}",
        "object": "chat.completion",
        "created": created,
        "model": model_of(response, request),
        "choices": [choice],
        "usage": chat_usage(response.usage),
        "service_tier": response.service_tier or None,
        "system_fingerprint": None,
        "segue": beside(response),
    }


def _message(parts: Sequence[Part]) -> Json:
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    message: Json = {
        "role": "assistant",
        "content": plain(parts) or None,
        "refusal": refusal or None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = calls
    return message | _carried(parts)


def _refused(parts: Sequence[Part]) -> bool:
    return any(isinstance(part, Refusal) for part in parts)


def _call(part: ToolCall) -> Json:
    if part.kind == "custom":
        custom = {"name": part.name, "input": part.args_json}
        return {"id": part.id, "type": "custom", "custom": custom}
    function = {"name": part.name, "arguments": part.args_json}
    return {"id": part.id, "type": "function", "function": function}


def _carried(parts: Sequence[Part]) -> Json:
    """Return what a client must send back for the model to go on where it was.

    Signatures and encrypted reasoning have no place in this interface, and some models refuse to
    go on without them.
    """
    if not any(part.opaque or isinstance(part, Reasoning) for part in parts):
        return {}
    return {"extra_content": {"segue": {"parts": to_builtins(list(parts))}}}


class ChatStream:
    """One answer as a stream of chunks.

    Args:
        request: What was asked.
        created: When, Unix seconds.
        usage: Whether the stream ends with what was used.
    """

    def __init__(self, request: ChatRequest, *, created: int, usage: bool) -> None:
        self._request = request
        self._created = created
        self._usage = usage
        self._custom = custom_tools(request)
        self._model = request.model
        self._calls: dict[int, tuple[int, str]] = {}
        self._begun = False

    def take(self, delta: Delta) -> Iterator[bytes]:
        """Yield the frames of what is new."""
        match delta:
            case DeltaStart(model=model):
                self._model = model or self._model
            case PartStart(index=index, kind="tool_call", id=call, name=name):
                yield from self._opened(index, call, name)
            case PartDelta(index=index, args=str() as text):
                yield from self._said({"tool_calls": [self._more(index, text)]})
            case PartDelta(text=str() as text):
                yield from self._said({"content": text})
            case _:
                pass

    def end(self, response: ChatResponse) -> Iterator[bytes]:
        """Yield the frames of the end.

        Raises:
            FaultError: What the model wrote is no answer.
        """
        parts = response.message.parts
        reason, carried = finished(response, refused=_refused(parts)), _carried(parts)
        if carried or not self._begun:
            yield from self._said(carried)
        last = self._chunk({}, reason=reason)
        if self._usage:
            yield _frame(last)
            last = self._chunk() | {"usage": chat_usage(response.usage)}
        yield _frame(last | {"segue": beside(response)})
        yield _DONE

    def fail(self, fault: Fault) -> Iterator[bytes]:
        """Yield the frames that say that there is no whole answer."""
        yield _frame({"error": fault.told()})

    def _opened(self, index: int, call: str, name: str) -> Iterator[bytes]:
        kind = "custom" if name in self._custom else "function"
        place = len(self._calls)
        self._calls[index] = (place, kind)
        empty = {"name": name, "input" if kind == "custom" else "arguments": ""}
        opened = {"index": place, "id": call, "type": kind, kind: empty}
        yield from self._said({"tool_calls": [opened]})

    def _more(self, index: int, text: str) -> Json:
        place, kind = self._calls[index]
        return {"index": place, kind: {"input" if kind == "custom" else "arguments": text}}

    def _said(self, delta: Json) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            yield _frame(self._chunk({"role": "assistant", "content": ""}))
        if delta:
            yield _frame(self._chunk(delta))

    def _chunk(self, delta: Json | UnsetType = msgspec.UNSET, *, reason: str | None = None) -> Json:
        """Return a chunk; without a delta it has no choice."""
        choices = (
            []
            if isinstance(delta, UnsetType)
            else [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]
        )
        chunk: Json = {
            "id": f"chatcmpl-{id_of(self._request.id)}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        return chunk | {"usage": None} if self._usage else chunk


def _frame(body: Json) -> bytes:
    return b"data: " + _encode(body) + b"\n\n"
