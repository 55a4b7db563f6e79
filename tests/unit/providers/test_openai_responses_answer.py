"""Is every answer of responses read, and none taken for whole that was cut?"""

from typing import Any

import msgspec
import pytest
from unit.providers.openai_support import VENDOR, assembled

from segue_contracts.v1.chat import RawPart, Reasoning, Refusal, Stop, Text, ToolCall
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
    Whole,
)
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.openai_options import Json, opaque
from segue_providers.core.wires.openai_responses_answer import (
    ResponsesReader,
    failure_in,
    usage_of,
)

USED = {"input_tokens": 3, "output_tokens": 2}
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL: Json = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c1",
    "name": "weather",
    "arguments": "{}",
}
REASONING: Json = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"}


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response."""
    told = {"id": "resp", "model": "gpt-served", "status": status, "service_tier": "flex"}
    return {**told, "output": [*output], **more}


def event(kind: str, **more: Any) -> dict[str, Any]:
    """An event of a stream."""
    return {"type": f"response.{kind}", **more}


def events(*frames: Any) -> list[AnswerEvent]:
    """Read a stream."""
    reader = ResponsesReader(VENDOR, Began(ids={"request": "r"}))
    return [one for frame in frames for one in reader.read(frame)]


def at_once(body: Any) -> Assembly:
    """Read a reply that came at once, and put it together."""
    return assembled(ResponsesReader(VENDOR, Began()).whole(body))


def streamed(*frames: Any) -> Assembly:
    """Read a stream and put the answer together."""
    return assembled(events(*frames))


def stop(read: Assembly) -> Stop:
    """Return why a whole answer stopped."""
    assert read.stopped is not None

    return read.stopped.stop


def text(word: str, **kept: Any) -> Text:
    """Text of the item `msg_1`."""
    return Text(text=word, opaque=[opaque(VENDOR, "item_id", {"id": "msg_1", **kept})])


def test_a_stream_is_read_event_by_event() -> None:
    """Parts open, grow and close, and the last event tells usage, tier and end."""
    item = {**MESSAGE, "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}

    assert events(
        event("created", response=response(status="in_progress", service_tier="auto")),
        event("in_progress", response=response(status="in_progress")),
        event("output_item.added", output_index=0, item=item),
        event("content_part.added", output_index=0, content_index=0, part=part),
        event("output_text.delta", output_index=0, content_index=0, delta="Hel"),
        event("output_text.delta", output_index=0, content_index=0, delta="lo"),
        event("output_text.done", output_index=0, content_index=0, text="Hello"),
        event("output_item.done", output_index=0, item=MESSAGE),
        event("completed", response=response(MESSAGE, usage=USED)),
    ) == [
        Began(model="gpt-served", ids={"request": "r", "response": "resp"}, service_tier="auto"),
        Alive(),
        Alive(),
        Alive(),
        Opened(index=0, kind="text"),
        Grew(index=0, text="Hel"),
        Grew(index=0, text="lo"),
        Alive(),
        Closed(index=0, part=text("Hello")),
        Metered(usage=usage_of(USED)),
        Stopped(stop=Stop(reason="end", raw="completed"), service_tier="flex"),
    ]


def test_a_call_streams_its_arguments() -> None:
    """It is known by its call's id, and its item's goes back with it."""
    opening = {**CALL, "arguments": ""}
    read = events(
        event("output_item.added", output_index=2, item=opening),
        event("function_call_arguments.delta", output_index=2, delta="{"),
        event("function_call_arguments.delta", output_index=2, delta="}"),
        event("function_call_arguments.done", output_index=2, arguments="{}"),
        event("output_item.done", output_index=2, item=CALL),
    )

    own = [opaque(VENDOR, "item_id", {"id": "fc_1"})]
    assert read == [
        Opened(index=0, kind="tool_call", id="c1", name="weather"),
        Grew(index=0, text="{"),
        Grew(index=0, text="}"),
        Alive(),
        Closed(index=0, part=ToolCall(id="c1", name="weather", args_json="{}", opaque=own)),
    ]


def test_a_call_of_free_text_stays_one() -> None:
    """Its input is what a function's arguments are."""
    item = {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"}
    read = streamed(
        event("output_item.added", output_index=0, item={**item, "input": ""}),
        event("custom_tool_call_input.delta", output_index=0, delta="ls"),
        event("output_item.done", output_index=0, item=item),
        event("completed", response=response(item)),
    )

    assert read.message().parts == [
        ToolCall(id="c", name="shell", args_json="ls", kind="custom"),
    ]
    assert stop(read).reason == "tool_use"


def test_reasoning_is_kept_with_all_of_its_item() -> None:
    """Paragraphs of a summary are told apart while they grow."""
    item = {**REASONING, "status": "completed", "summary": [{"text": "a"}, {"text": "b"}]}
    read = events(
        event("output_item.added", output_index=0, item=REASONING),
        event("reasoning_summary_part.added", output_index=0, summary_index=0),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        event("reasoning_summary_part.added", output_index=0, summary_index=1),
        event("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="b"),
        event("output_item.done", output_index=0, item=item),
    )

    kept = {name: value for name, value in item.items() if name != "status"}
    assert read == [
        Opened(index=0, kind="reasoning"),
        Alive(),
        Grew(index=0, text="a"),
        Grew(index=0, text="\n\n"),
        Grew(index=0, text="b"),
        Closed(
            index=0,
            part=Reasoning(summary=["a", "b"], opaque=[opaque(VENDOR, "encrypted", kept)]),
        ),
    ]


def test_hidden_reasoning_is_no_word_of_the_answer() -> None:
    """Another provider may still step in after it."""
    item = event("output_item.done", output_index=0, item=REASONING)
    read = streamed(item)

    assert not read.spoken
    assert read.message().parts == [
        Reasoning(redacted=True, opaque=[opaque(VENDOR, "encrypted", REASONING)])
    ]


def test_reasoning_that_is_not_encrypted_goes_nowhere() -> None:
    """Without the data there is nothing to send back."""
    item = {"id": "rs", "type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}

    assert at_once(response(item)).message().parts == [Reasoning(text="hm")]


def test_items_of_the_providers_own_tools_come_raw() -> None:
    """What goes on in them is a sign of life."""
    item = {"id": "ws", "type": "web_search_call", "status": "completed"}
    read = events(
        event("output_item.added", output_index=0, item=item),
        event("web_search_call.searching", output_index=0),
        event("output_item.done", output_index=0, item=item),
    )

    raw = RawPart(provider="openai", kind="web_search_call", json=item)
    assert read == [Alive(), Alive(), Whole(index=0, part=raw)]


def test_a_server_that_announces_nothing_is_understood() -> None:
    """Parts open when they grow, and what was not told comes with the end."""
    read = events(
        event("output_text.delta", output_index=0, content_index=0, delta="Hello"),
        event("completed", response=response(MESSAGE, CALL)),
    )

    assert [type(one) for one in read] == [Opened, Grew, Began, Closed, Whole, Stopped]
    assert assembled(read).message().parts[0] == text("Hello")


def test_a_refusal_is_told_from_text() -> None:
    """It is the reason to stop when nothing else is said."""
    part = {"type": "refusal", "refusal": ""}
    item = {**MESSAGE, "content": [{**part, "refusal": "I won't"}]}
    read = streamed(
        event("content_part.added", output_index=0, content_index=0, part=part),
        event("refusal.delta", output_index=0, content_index=0, delta="I won't"),
        event("output_item.done", output_index=0, item=item),
        event("completed", response=response(item)),
    )

    assert read.message().parts == [
        Refusal(text="I won't", opaque=[opaque(VENDOR, "item_id", {"id": "msg_1"})])
    ]
    assert stop(read) == Stop(reason="refusal", raw="completed", explanation="I won't")


def test_parts_of_other_kinds_do_not_open() -> None:
    """Reasoning grows in its item."""
    part = {"type": "reasoning_text", "text": ""}

    assert events(event("content_part.added", part=part)) == [Alive()]


def test_empty_text_is_not_said() -> None:
    """A message without a word is none."""
    empty = {**MESSAGE, "content": [{"type": "output_text", "text": "", "annotations": []}]}

    assert at_once(response(empty)).message().parts == []


def test_citations_and_phases_are_kept() -> None:
    """Citations come as the provider gave them, the rest goes back to it."""
    cited = {"type": "url_citation", "url": "https://x"}
    content = [{"type": "output_text", "text": "a", "annotations": [cited]}]
    item = {**MESSAGE, "phase": "commentary", "content": content}
    part = at_once(response(item)).message().parts[0]

    assert part == msgspec.structs.replace(text("a", phase="commentary"), citations=[cited])


@pytest.mark.parametrize(
    ("why", "reason", "raw"),
    [
        ({"reason": "max_output_tokens"}, "max_tokens", "max_output_tokens"),
        ({"reason": "content_filter"}, "content_filter", "content_filter"),
        ({"reason": "steered"}, "other", "steered"),
        (None, "other", "incomplete"),
    ],
)
def test_an_incomplete_response_is_whole_and_says_why(why: Any, reason: str, raw: str) -> None:
    """It is the provider's own end."""
    cut = response(MESSAGE, status="incomplete", incomplete_details=why)
    read = streamed(event("incomplete", response=cut))

    assert stop(read) == Stop(reason=reason, raw=raw)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", "failed"])
def test_a_reply_that_is_not_complete_proves_nothing(status: str) -> None:
    """What was used is told all the same."""
    read = at_once(response(MESSAGE, status=status, usage=USED))

    assert read.stopped is None
    assert read.usage == usage_of(USED)


def test_a_reply_without_a_status_counts_as_complete() -> None:
    """Compatible servers leave it out."""
    assert stop(at_once({"output": [MESSAGE]})) == Stop(reason="end", raw="completed")
    assert at_once({}).stopped is None


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "slow"},
            ("rate_limit_exceeded", "rate_limit_exceeded", "slow"),
        ),
        (
            event("failed", response={"status": "failed", "error": {"code": "a", "message": "m"}}),
            ("a", "a", "m"),
        ),
        (
            {"status": "failed", "error": {"code": "a", "type": "t", "message": "m"}},
            ("a", "t", "m"),
        ),
        ({"status": "failed", "error": None}, (None, None, None)),
    ],
)
def test_failures_are_found_wherever_they_stand(frame: Any, told: tuple[Any, ...]) -> None:
    """The library does not raise them; a code is a type here."""
    failure = failure_in(frame)

    assert failure is not None
    assert (failure.get("code"), failure.get("type"), failure.get("message")) == told


@pytest.mark.parametrize(
    "frame", [event("completed", response=response()), response(), event("failed"), "text", None]
)
def test_nothing_else_is_a_failure(frame: Any) -> None:
    """An answer that is whole, or no answer at all, says of none."""
    assert failure_in(frame) is None


def test_what_a_failed_response_used_is_told() -> None:
    """It is charged like any other."""
    failed = event("failed", response=response(status="failed", usage=USED))

    assert [type(one) for one in events(failed)] == [Began, Metered]
    assert events({"type": "error", "code": "x", "message": "y"}) == []


def test_usage_is_normalised() -> None:
    """Totals include what was cached and reasoned, and the provider's object is kept."""
    raw = {
        "input_tokens": 225,
        "input_tokens_details": {
            "cached_tokens": 100,
            "cache_write_tokens": 100,
            "cache_write_tokens_details": {"ttl_30m_tokens": 40, "ttl_12h_tokens": 50},
        },
        "output_tokens": 22,
        "output_tokens_details": {"reasoning_tokens": 7},
    }
    body = response(MESSAGE, usage=raw, tool_usage={"web_search": {"num_requests": 2}})

    assert at_once(body).usage == Usage(
        input_total=225,
        input_uncached=25,
        cache_read=100,
        cache_write=CacheWrites(thirty_minutes=40, twelve_hours=50, other=10),
        output_total=22,
        output_reasoning=7,
        server_tools={"web_search": 2},
        raw=raw,
    )


@pytest.mark.parametrize("frame", ["<html>", {"type": 3}, event("completed", response="no")])
def test_what_is_no_event_is_refused(frame: Any) -> None:
    """Nothing is guessed of it."""
    with pytest.raises(msgspec.ValidationError):
        events(frame)
