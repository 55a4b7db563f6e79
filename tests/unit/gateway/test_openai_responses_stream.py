"""Responses, streamed: do the events tell an answer from its beginning to its proven end?"""

import json
from collections.abc import Iterable
from typing import Any

from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from unit.gateway.responses_support import (
    LOOK,
    SAY,
    asked,
    body_of,
    response,
)

from segue_contracts.v1.chat import (
    Reasoning,
    Text,
    ToolCall,
)
from segue_contracts.v1.deltas import Delta, DeltaStart, PartDelta, PartEnd, PartStart
from segue_gateway.core.openai.faults import Fault
from segue_gateway.core.openai.responses_reply import Asked
from segue_gateway.core.openai.responses_stream import ResponsesStream

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
DELTAS: list[Delta] = [
    DeltaStart(request="r1", provider="claude"),
    PartStart(request="r1", index=0, kind="reasoning"),
    PartDelta(request="r1", index=0, reasoning="h"),
    PartDelta(request="r1", index=0, reasoning="m"),
    PartEnd(request="r1", index=0),
    PartStart(request="r1", index=1, kind="text"),
    PartDelta(request="r1", index=1, text="Hel"),
    PartDelta(request="r1", index=1, text="lo"),
    PartEnd(request="r1", index=1),
    PartEnd(request="r1", index=9),
    PartStart(request="r1", index=2, kind="tool_call", id="c1", name="look"),
    PartDelta(request="r1", index=2, args="{}"),
    PartEnd(request="r1", index=2),
    PartStart(request="r1", index=3, kind="tool_call", id="c2", name="say"),
    PartDelta(request="r1", index=3, args="hm"),
]
ANSWER = (
    Reasoning(text="hm"),
    Text(text="Hello"),
    ToolCall(id="c1", name="look"),
    ToolCall(id="c2", name="say", args_json="hm", kind="custom"),
)


def events(frames: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the events of frames, each checked against the library's own type."""
    found = []
    for frame in frames:
        head, data, *_ = frame.decode().split("\n")
        event = json.loads(data.removeprefix("data: "))
        EVENTS.validate_python(event)
        assert head == f"event: {event['type']}"
        found.append(event)
    return found


def streamed(**fields: Any) -> tuple[ResponsesStream, list[dict[str, Any]]]:
    """Stream the deltas."""
    fields = {"tools": [LOOK, SAY], **fields}
    stream = ResponsesStream(Asked(request=asked(**fields), body=body_of(**fields), created=9))
    return stream, events(frame for delta in DELTAS for frame in stream.take(delta))


def test_a_stream_tells_each_item_from_its_beginning_to_its_end() -> None:
    """The last one is ended with the whole."""
    stream, before = streamed(reasoning={"summary": "auto"})
    after = events(stream.end(response(*ANSWER)))

    assert [event["type"].removeprefix("response.") for event in before + after] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in before + after] == [*range(25)]


def test_the_items_of_a_stream_are_those_of_the_whole() -> None:
    """With the same ids, in the same places."""
    stream, before = streamed(reasoning={"summary": "auto"})
    after = events(stream.end(response(*ANSWER)))
    items = [one["item"] for one in before + after if one["type"].endswith("item.done")]

    assert items == after[-1]["response"]["output"]


def test_reasoning_that_is_not_asked_for_is_an_item_without_words() -> None:
    """So that places stay what they are."""
    _, before = streamed()

    assert not [event for event in before if "summary" in event["type"]]
    assert before[2]["item"]["type"] == "reasoning"


def test_an_answer_that_was_cut_ends_its_stream_as_incomplete() -> None:
    """The type of the last event says so."""
    stream, _ = streamed()

    assert events(stream.end(response(*ANSWER, reason="max_tokens")))[-1]["type"] == (
        "response.incomplete"
    )


def test_a_stream_that_fails_says_so_last() -> None:
    """Also when it had not begun."""
    stream = ResponsesStream(Asked(request=asked(), body=body_of(), created=9))
    found = events(stream.fail(Fault(status=502, message="cut off", code="truncated")))

    assert [event["type"] for event in found] == [
        "response.created",
        "response.in_progress",
        "error",
        "response.failed",
    ]
    assert (found[-2]["code"], found[-2]["message"]) == ("truncated", "cut off")
    assert found[-1]["response"]["error"] == {"code": "server_error", "message": "cut off"}
