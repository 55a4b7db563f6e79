"""Claude's answers: is what the Messages API says understood, streamed and whole?"""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.metering import CacheWrites
from segue_contracts.v1.parts import Part, RawPart, Reasoning, Text, ToolCall
from segue_providers.core.answer import Alive, AnswerEvent, Began, Metered, Opened, Stopped
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.anthropic_answer import Frame, Reader, stop_of, usage_of

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-opus-5",
        "content": [],
        "usage": {"input_tokens": 3, "output_tokens": 1, "service_tier": "priority"},
    },
}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 9},
}
STOP = {"type": "message_stop"}


def read(*frames: dict[str, Any], custom: frozenset[str] = frozenset()) -> list[AnswerEvent]:
    """Read frames as they come from the wire."""
    reader = Reader(Began(ids={"request": "req_1"}), custom=custom)
    decode = msgspec.json.Decoder(Frame).decode
    return [event for one in frames for event in reader.frame(decode(msgspec.json.encode(one)))]


def block(start: dict[str, Any], *deltas: dict[str, Any], index: int = 0) -> list[dict[str, Any]]:
    """Return the frames of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def parts(events: list[AnswerEvent]) -> list[Part]:
    """Assemble what was said."""
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return list(assembly.message().parts)


def text_block(*pieces: str) -> list[dict[str, Any]]:
    """Return the frames of a block of text."""
    deltas = ({"type": "text_delta", "text": piece} for piece in pieces)
    return block({"type": "text", "text": ""}, *deltas)


def test_an_answer_begins_with_who_answers() -> None:
    """Model, ids and tier are known before the first word."""
    began = read(START)[0]

    assert began == Began(
        model="claude-opus-5",
        ids={"request": "req_1", "response": "msg_1"},
        service_tier="priority",
    )


def test_text_grows_and_stops() -> None:
    """The pieces of a text are told as they come, and the end once it is proven."""
    events = read(START, *text_block("Hel", "lo"), END, STOP)

    assert parts(events) == [Text(text="Hello")]
    assert events[-1] == Stopped(stop=stop_of({"stop_reason": "end_turn"}))
    assert sum(isinstance(event, Stopped) for event in events) == 1


def test_a_stream_without_its_end_proves_nothing() -> None:
    """Without `message_stop` there is no proof, even when the reason was told."""
    assert not any(isinstance(event, Stopped) for event in read(START, *text_block("x"), END))


def test_a_text_may_begin_in_its_first_frame() -> None:
    """What stands in the opening frame is not lost."""
    events = read(*block({"type": "text", "text": "He"}, {"type": "text_delta", "text": "y"}))

    assert parts(events) == [Text(text="Hey")]


def test_citations_are_kept() -> None:
    """A text carries the citations that came beside it."""
    cited = {"type": "char_location", "cited_text": "x"}
    deltas: list[dict[str, Any]] = [
        {"type": "text_delta", "text": "a"},
        {"type": "citations_delta", "citation": cited},
    ]

    assert parts(read(*block({"type": "text", "text": ""}, *deltas))) == [
        Text(text="a", citations=[cited])
    ]


def test_reasoning_keeps_its_signature() -> None:
    """Thinking is shown, and signed for its way back."""
    events = read(
        *block(
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm"},
            {"type": "signature_delta", "signature": "c2ln"},
        )
    )

    (part,) = parts(events)
    assert isinstance(part, Reasoning)
    assert (part.text, part.redacted) == ("Hm", False)
    assert base64.b64decode(part.opaque[0].data_b64) == b"c2ln"


def test_withheld_reasoning_is_marked() -> None:
    """Thinking without text, and redacted thinking, are said to be withheld."""
    events = read(
        *block({"type": "thinking"}, {"type": "signature_delta", "signature": "s"}),
        *block({"type": "redacted_thinking", "data": "x7"}, index=1),
        *block({"type": "thinking"}, index=2),
    )

    said = parts(events)
    assert [part.redacted for part in said if isinstance(part, Reasoning)] == [True, True, True]
    assert [len(part.opaque) for part in said] == [1, 1, 0]
    assert said[1].opaque[0].kind == "redacted_thinking"


def test_arguments_are_kept_as_they_were_written() -> None:
    """The text of a tool call's arguments is not rewritten, valid or not."""
    start = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    pieces = ["", '{"a": "\\u00', 'e9"', " }"]
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    events = read(*block(start, *deltas))

    assert parts(events) == [ToolCall(id="t1", name="look", args_json='{"a": "\\u00e9" }')]
    assert events[0] == Opened(index=0, kind="tool_call", id="t1", name="look")


def test_a_call_without_arguments_has_the_empty_object() -> None:
    """A tool that takes nothing is given an object all the same."""
    events = read(*block({"type": "tool_use", "id": "t1", "name": "now", "input": {}}))

    assert parts(events) == [ToolCall(id="t1", name="now", args_json="{}")]


@pytest.mark.parametrize(
    ("written", "expected"),
    [('{"input": "ls -l"}', "ls -l"), ("{bro", "{bro"), ('{"other": "x"}', '{"other": "x"}')],
)
def test_free_text_is_unwrapped(written: str, expected: str) -> None:
    """A tool of free text gets its text; what cannot be unwrapped stays as it is."""
    start = {"type": "tool_use", "id": "t1", "name": "run", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": written}
    events = read(*block(start, delta), custom=frozenset({"run"}))

    assert parts(events) == [ToolCall(id="t1", name="run", args_json=expected, kind="custom")]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [([], {}), (['{"q": ', '"x"}'], {"q": "x"}), (["{bro"], "{bro")],
)
def test_blocks_without_a_neutral_form_are_kept_raw(deltas: list[str], expected: object) -> None:
    """What Claude's own tools do is kept for its way back."""
    start = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    frames = ({"type": "input_json_delta", "partial_json": one} for one in deltas)
    events = read(*block(start, *frames))

    assert parts(events) == [
        RawPart(provider="anthropic", kind="server_tool_use", json={**start, "input": expected})
    ]
    assert events[0] == Alive()


def test_pings_and_unknown_events_are_signs_of_life() -> None:
    """A stream that only pings is alive, and says nothing."""
    assert read({"type": "ping"}, {"type": "novelty", "index": 4}) == [Alive(), Alive()]


def test_usage_is_overwritten_and_never_added() -> None:
    """Counts are cumulative; those that a later frame lacks keep their value."""
    events = read(START, END, {"type": "message_delta", "delta": {}})
    counts = [event.usage for event in events if isinstance(event, Metered)]

    assert [(usage.input_total, usage.output_total) for usage in counts] == [(3, 1), (3, 9)]


def test_an_answer_without_usage_tells_none() -> None:
    """Where nothing was counted nothing is invented."""
    start = {"type": "message_start", "message": {"id": "m", "model": "x", "usage": None}}

    assert not any(isinstance(event, Metered) for event in read(start, STOP))


def test_the_caches_writes_are_told_by_lifetime() -> None:
    """Input is what no cache covered, what was read, and what was written."""
    raw = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 12},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    usage = usage_of(raw)

    assert (usage.input_total, usage.input_uncached, usage.cache_read) == (180, 10, 100)
    assert usage.cache_write == CacheWrites(five_minutes=40, one_hour=20, other=10)
    assert (usage.output_total, usage.output_reasoning) == (30, 12)
    assert usage.server_tools == {"web_search": 2}
    assert usage.raw == raw


def test_a_split_without_its_sum_counts() -> None:
    """The lifetimes are enough to know what was written."""
    usage = usage_of({"cache_creation": {"ephemeral_5m_input_tokens": 5}})

    assert usage.input_total == 5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "end"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_use"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_window"),
        ("novelty", "other"),
    ],
)
def test_reasons_to_stop_are_neutral(raw: str, reason: str) -> None:
    """Each reason has its neutral name and keeps its own."""
    stop = stop_of({"stop_reason": raw})

    assert (stop.reason, stop.raw) == (reason, raw)


def test_a_refusal_says_why() -> None:
    """Category and explanation are kept, as is the sequence that was met."""
    details = {"category": "bio", "explanation": "Because."}
    stop = stop_of({"stop_reason": "refusal", "stop_details": details, "stop_sequence": "END"})

    assert (stop.category, stop.explanation, stop.sequence) == ("bio", "Because.", "END")


def test_a_whole_answer_with_odd_content_is_survived() -> None:
    """A server that is only like Claude's may send what nobody expects."""
    events = list(Reader(Began()).message({"content": "text", "stop_reason": "end_turn"}))

    assert parts(events) == []
    assert isinstance(events[-1], Stopped)


def whole(content: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole message."""
    return {"id": "m", "model": "x", "content": content, "stop_reason": "end_turn"}


def streamed(content: list[dict[str, Any]], cut: int) -> list[dict[str, Any]]:
    """Return the same message as a stream, each text cut in two."""
    frames: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "model": "x"}}]
    for index, one in enumerate(content):
        name = {"text": "text", "thinking": "thinking"}.get(one["type"], "")
        text = one.get(name, "")
        deltas = [{"type": f"{name}_delta", name: piece} for piece in (text[:cut], text[cut:])]
        if one["type"] == "thinking":
            deltas.append({"type": "signature_delta", "signature": one["signature"]})
        if one["type"] == "tool_use":
            args = msgspec.json.encode(one["input"]).decode()
            deltas = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in (args[:cut], args[cut:])
            ]
        start = {**one, **({name: ""} if name else {}), "signature": ""}
        start = {**start, "input": {}} if one["type"] == "tool_use" else start
        frames += block(start if one["type"] != "redacted_thinking" else one, *deltas, index=index)
    return [*frames, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, STOP]


BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}),
    st.fixed_dictionaries(
        {"type": st.just("thinking"), "thinking": st.text(), "signature": st.text(min_size=1)}
    ),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": st.text()}),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_use"),
            "id": st.text(min_size=1),
            "name": st.text(min_size=1),
            "input": st.dictionaries(st.text(), st.text() | st.integers(-9, 9), max_size=3),
        }
    ),
)


@given(content=st.lists(BLOCKS, max_size=4), cut=st.integers(0, 9))
def test_a_streamed_answer_is_the_whole_one(content: list[dict[str, Any]], cut: int) -> None:
    """However it is divided, a stream says what the same message says at once."""
    at_once = list(Reader(Began()).message(whole(content)))

    assert parts(read(*streamed(content, cut))) == parts(at_once)
