"""Chat completions, answered: is an answer told as OpenAI would, whole and in chunks?"""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from segue_contracts.v1.chat import (
    CacheWrites,
    CallAttempt,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Cost,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Stop,
    StopReason,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from segue_contracts.v1.deltas import Delta, DeltaStart, PartDelta, PartEnd, PartStart
from segue_gateway.core.openai.chat_reply import ChatStream, completion
from segue_gateway.core.openai.faults import Fault, FaultError
from segue_gateway.core.openai.figures import reply_headers

REQUEST = ChatRequest(
    id="r1",
    model="claude",
    tools=[Tool(name="look", description=""), Tool(name="say", description="", kind="custom")],
)
USAGE = Usage(
    input_total=10,
    cache_read=4,
    cache_write=CacheWrites(five_minutes=1, one_hour=2),
    output_total=5,
    output_reasoning=3,
)
LOOK = ToolCall(id="c1", name="look", args_json='{"at":1}')
SAY = ToolCall(id="c2", name="say", args_json="hm", kind="custom")
SIGNED = Opaque(provider="gemini", kind="thought_signature", data_b64="c2ln")


def response(*parts: Part, reason: StopReason = "end", **fields: Any) -> ChatResponse:
    """Return an answer of the router."""
    return ChatResponse(
        provider="claude",
        model_served="claude-sonnet-5-5",
        message=ChatMessage(role="assistant", parts=list(parts)),
        stop=Stop(reason=reason, raw="raw_word"),
        usage=USAGE,
        cost=Cost(usd="0.0123"),
        attempts=[CallAttempt(number=1, provider="claude")],
        **fields,
    )


def told(*parts: Part, reason: StopReason = "end") -> dict[str, Any]:
    """Tell an answer, and check it against the library's own type."""
    found = completion(response(*parts, reason=reason), REQUEST, created=9)
    ChatCompletion.model_validate(found)
    return found


def test_an_answer_is_told_with_usage_and_origin() -> None:
    """Tokens include cached ones, and what OpenAI does not tell stands beside it."""
    found = told(Text(text="Hel"), Text(text="lo"))

    assert found["choices"][0]["message"]["content"] == "Hello"
    assert (found["model"], found["created"]) == ("claude-sonnet-5-5", 9)
    assert found["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert found["segue"] == {
        "provider": "claude",
        "cost_usd": "0.0123",
        "cached": "none",
        "attempts": 1,
        "stop": {"reason": "end", "raw": "raw_word"},
        "warnings": [],
    }


def test_the_headers_tell_who_answered_and_what_it_cost() -> None:
    """For those who cannot look into the body."""
    assert reply_headers(response()) == {
        "X-Segue-Provider": "claude",
        "X-Segue-Cost-Usd": "0.0123",
    }


def test_calls_of_tools_are_told_by_their_kind() -> None:
    """A message of calls alone has no content."""
    message = told(LOOK, SAY, reason="tool_use")["choices"][0]["message"]

    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "say", "input": "hm"}},
    ]
    assert "extra_content" not in message


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("context_window", "length"),
        ("pause", "length"),
        ("refusal", "content_filter"),
        ("content_filter", "content_filter"),
        ("other", "stop"),
    ],
)
def test_each_reason_to_stop_has_its_word(reason: StopReason, finish: str) -> None:
    """An answer that was cut never looks whole."""
    assert told(Text(text="x"), reason=reason)["choices"][0]["finish_reason"] == finish


def test_a_refusal_in_words_is_told_as_one() -> None:
    """The model has said all that it will."""
    [choice] = told(Refusal(text="No."), reason="refusal")["choices"]

    assert (choice["message"]["refusal"], choice["finish_reason"]) == ("No.", "stop")


def test_a_malformed_answer_is_an_error() -> None:
    """It is no answer, whatever was written."""
    with pytest.raises(FaultError, match="malformed"):
        told(Text(text="x"), reason="malformed")


def test_what_the_model_needs_again_is_carried_along() -> None:
    """Signatures have no place in this interface, so the parts go beside it."""
    signed = ToolCall(id="c1", name="look", opaque=[SIGNED])
    message = told(Reasoning(text="hm"), signed)["choices"][0]["message"]
    [reasoning, call] = message["extra_content"]["segue"]["parts"]

    assert (reasoning["type"], reasoning["text"]) == ("reasoning", "hm")
    assert call["opaque"][0]["dataB64"] == "c2ln"


DELTAS: list[Delta] = [
    DeltaStart(request="r1", provider="claude", model="claude-sonnet-5-5"),
    PartStart(request="r1", index=0, kind="text"),
    PartDelta(request="r1", index=0, text="Hello"),
    PartEnd(request="r1", index=0),
    PartStart(request="r1", index=2, kind="tool_call", id="c1", name="look"),
    PartDelta(request="r1", index=2, args='{"at"'),
    PartDelta(request="r1", index=2, args=":1}"),
    PartStart(request="r1", index=3, kind="tool_call", id="c2", name="say"),
    PartDelta(request="r1", index=3, args="hm"),
]


def chunks(frames: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the chunks of frames, each checked against the library's own type."""
    found = []
    for frame in frames:
        assert frame.startswith(b"data: ")
        assert frame.endswith(b"\n\n")
        if frame != b"data: [DONE]\n\n":
            found.append(json.loads(frame[6:]))
            # The library has no type for chunks of free text, though it reads them.
            if b'"custom"' not in frame:
                ChatCompletionChunk.model_validate(found[-1])
    return found


def streamed(deltas: Iterable[Delta], *, usage: bool = False) -> tuple[ChatStream, list[bytes]]:
    """Stream deltas."""
    stream = ChatStream(REQUEST, created=9, usage=usage)
    return stream, [frame for delta in deltas for frame in stream.take(delta)]


def test_a_stream_tells_text_and_calls_as_they_come() -> None:
    """Calls are counted for themselves, with id and name first."""
    _, frames = streamed(DELTAS)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(frames)]

    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "c2", "type": "custom", "custom": {"name": "say", "input": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "custom": {"input": "hm"}}]},
    ]
    assert {chunk["model"] for chunk in chunks(frames)} == {"claude-sonnet-5-5"}


def test_a_stream_ends_with_its_reason_and_mark() -> None:
    """Without a wish for usage, the chunk with the reason tells who answered."""
    stream, _ = streamed(DELTAS)
    frames = list(stream.end(response(Text(text="Hello"), LOOK, SAY, reason="tool_use")))
    [last] = chunks(frames)

    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert last["segue"]["cost_usd"] == "0.0123"
    assert "usage" not in last
    assert frames[-1] == b"data: [DONE]\n\n"


def test_a_stream_ends_with_usage_when_that_is_asked_for() -> None:
    """In a chunk without a choice; the chunks before say that theirs is still to come."""
    stream, frames = streamed(DELTAS, usage=True)
    before, last = chunks(stream.end(response(Text(text="Hello"))))

    assert all(chunk["usage"] is None for chunk in [*chunks(frames), before])
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 15)
    assert last["segue"]["provider"] == "claude"


def test_a_stream_carries_along_what_the_model_needs_again() -> None:
    """It is known only at the end."""
    stream, _ = streamed(DELTAS)
    first, _ = chunks(stream.end(response(Text(text="x", opaque=[SIGNED]))))

    assert "parts" in first["choices"][0]["delta"]["extra_content"]["segue"]


def test_an_empty_answer_is_streamed_too() -> None:
    """It begins and ends as any other."""
    stream, _ = streamed([])
    first, last = chunks(stream.end(response()))

    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"][0]["finish_reason"] == "stop"


def test_a_stream_that_fails_ends_without_the_mark() -> None:
    """The error is the last thing that is told."""
    stream, _ = streamed(DELTAS)
    [frame] = stream.fail(Fault(status=502, message="cut off", type="server_error", code="x"))

    assert json.loads(frame[6:]) == {
        "error": {"message": "cut off", "type": "server_error", "param": None, "code": "x"}
    }
