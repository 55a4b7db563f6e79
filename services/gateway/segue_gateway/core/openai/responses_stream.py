"""Responses, streamed: which events tell an answer as it is written?"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from segue_contracts.v1.chat import ChatResponse, ToolCall
from segue_contracts.v1.deltas import Delta, PartDelta, PartEnd, PartStart
from segue_gateway.core.openai.chat_request import custom_tools
from segue_gateway.core.openai.faults import Fault
from segue_gateway.core.openai.responses_reply import (
    Asked,
    call_item,
    failed,
    frame_of,
    item_id,
    message_item,
    output_text,
    reasoning_item,
    whole,
)

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_IDS: Final = {"text": "msg", "reasoning": "rs", "function": "fc", "custom": "ctc"}


class _Open(msgspec.Struct):
    """An item that is being written."""

    kind: str
    """`text`, `reasoning`, `function` or `custom`."""
    place: int
    """Its place in the output."""
    call: str = ""
    name: str = ""
    said: str = ""


class ResponsesStream:
    """One answer as a stream of events.

    Args:
        asked: What was asked.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._custom = custom_tools(asked.request)
        self._open: dict[int, _Open] = {}
        self._items = 0
        self._events = 0
        self._begun = False

    def take(self, delta: Delta) -> Iterator[bytes]:
        """Yield the frames of what is new."""
        match delta:
            case PartStart():
                yield from self._begin()
                yield from self._opened(delta)
            case PartDelta(index=index, text=str() as text):
                yield from self._grown(self._open[index], text)
            case PartDelta(index=index, args=str() as text):
                yield from self._grown(self._open[index], text)
            case PartDelta(index=index, reasoning=str() as text):
                yield from self._reasoned(self._open[index], text)
            case PartEnd(index=index) if index in self._open:
                yield from self._closed(self._open.pop(index))
            case _:
                pass

    def end(self, response: ChatResponse) -> Iterator[bytes]:
        """Yield the frames of the end.

        Raises:
            FaultError: What the model wrote is no answer.
        """
        told = whole(response, self._asked)
        yield from self._begin()
        for index in sorted(self._open):
            yield from self._closed(self._open.pop(index))
        yield self._frame(f"response.{told['status']}", {"response": told})

    def fail(self, fault: Fault) -> Iterator[bytes]:
        """Yield the frames that say that there is no whole answer."""
        yield from self._begin()
        told = {"code": fault.code, "message": fault.message, "param": fault.param}
        yield self._frame("error", told)
        yield self._frame("response.failed", {"response": failed(self._asked, fault)})

    def _begin(self) -> Iterator[bytes]:
        if self._begun:
            return
        self._begun = True
        told = {"response": frame_of(self._asked, status="in_progress")}
        yield self._frame("response.created", told)
        yield self._frame("response.in_progress", told)

    def _opened(self, part: PartStart) -> Iterator[bytes]:
        custom = "custom" if part.name in self._custom else "function"
        kind = custom if part.kind == "tool_call" else part.kind
        item = _Open(kind, self._items, call=part.id, name=part.name)
        self._items += 1
        self._open[part.index] = item
        told = {"output_index": item.place, "item": self._item(item, done=False)}
        yield self._frame("response.output_item.added", told)
        if kind == "text":
            yield self._frame("response.content_part.added", self._part(item, output_text("")))

    def _grown(self, item: _Open, text: str) -> Iterator[bytes]:
        item.said += text
        told = self._at(item) | {"delta": text}
        if item.kind == "text":
            yield self._frame(
                "response.output_text.delta", told | {"content_index": 0, "logprobs": []}
            )
        else:
            yield self._frame(f"{_grows(item)}.delta", told)

    def _reasoned(self, item: _Open, text: str) -> Iterator[bytes]:
        if not self._asked.body.summarised:
            return
        if not item.said:
            part = {"part": {"type": "summary_text", "text": ""}, "summary_index": 0}
            yield self._frame("response.reasoning_summary_part.added", self._at(item) | part)
        item.said += text
        told = self._at(item) | {"delta": text, "summary_index": 0}
        yield self._frame("response.reasoning_summary_text.delta", told)

    def _closed(self, item: _Open) -> Iterator[bytes]:
        at = self._at(item)
        if item.kind == "text":
            told = at | {"text": item.said, "content_index": 0, "logprobs": []}
            yield self._frame("response.output_text.done", told)
            yield self._frame(
                "response.content_part.done", self._part(item, output_text(item.said))
            )
        elif item.kind == "reasoning":
            yield from self._summed_up(item)
        else:
            told = {"input" if item.kind == "custom" else "arguments": item.said}
            yield self._frame(f"{_grows(item)}.done", at | told | {"name": item.name})
        done = {"output_index": item.place, "item": self._item(item, done=True)}
        yield self._frame("response.output_item.done", done)

    def _summed_up(self, item: _Open) -> Iterator[bytes]:
        if not item.said:
            return
        at = self._at(item) | {"summary_index": 0}
        yield self._frame("response.reasoning_summary_text.done", at | {"text": item.said})
        part = {"type": "summary_text", "text": item.said}
        yield self._frame("response.reasoning_summary_part.done", at | {"part": part})

    def _item(self, item: _Open, *, done: bool) -> Json:
        status = "completed" if done else "in_progress"
        if item.kind == "text":
            content = [output_text(item.said)] if done else []
            return message_item(item.place, self._asked, content, status=status)
        if item.kind == "reasoning":
            return reasoning_item(item.place, self._asked, [item.said] if item.said else [])
        call = ToolCall(
            id=item.call,
            name=item.name,
            args_json=item.said,
            kind="custom" if item.kind == "custom" else "function",
        )
        return call_item(item.place, self._asked, call, status=status)

    def _at(self, item: _Open) -> Json:
        name = item_id(_IDS[item.kind], item.place, self._asked)
        return {"item_id": name, "output_index": item.place}

    def _part(self, item: _Open, part: Json) -> Json:
        return self._at(item) | {"content_index": 0, "part": part}

    def _frame(self, kind: str, told: Json) -> bytes:
        event = {"type": kind, "sequence_number": self._events} | told
        self._events += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(event) + b"\n\n"


def _grows(item: _Open) -> str:
    """Return how the events of a call's arguments are called."""
    what = "custom_tool_call_input" if item.kind == "custom" else "function_call_arguments"
    return f"response.{what}"
