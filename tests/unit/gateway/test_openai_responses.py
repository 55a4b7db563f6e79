"""Responses: are bodies, answers and events translated whole, both ways?"""

from typing import Any

import pytest
from openai.types.responses import Response
from unit.gateway.responses_support import (
    LOOK,
    SAY,
    SIGNED,
    THOUGHT,
    asked,
    body_of,
    refused,
    response,
)

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    OutputFormat,
    Part,
    RawPart,
    Reasoning,
    ReasoningOptions,
    Refusal,
    Source,
    StopReason,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from segue_gateway.core.openai.faults import FaultError
from segue_gateway.core.openai.responses_reply import Asked, whole
from segue_gateway.core.openai.responses_request import (
    ENCRYPTED,
    sealed,
)


def test_a_plain_question_asks_for_nothing_else() -> None:
    """What is not in the body is left to the router."""
    message = ChatMessage(role="user", parts=[Text(text="Hello!")])

    assert asked() == ChatRequest(id="r1", model="claude", messages=[message])


def test_options_are_passed_on_under_our_names() -> None:
    """Instructions go first; a summary of the reasoning is shown when it is asked for."""
    request = asked(
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        text={
            "format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True},
            "verbosity": "low",
        },
        reasoning={"effort": "low", "summary": "auto"},
        metadata={"team": "x"},
        safety_identifier="u1",
        prompt_cache_key="k",
        service_tier="flex",
    )

    assert request.messages[0] == ChatMessage(role="system", parts=[Text(text="Be brief.")])
    assert (request.output.max_tokens, request.output.verbosity) == (9, "low")
    assert request.output.format == OutputFormat(
        type="json_schema", name="n", json_schema={"a": 1}, strict=True
    )
    assert request.reasoning == ReasoningOptions(mode="on", effort="low", display="summary")
    assert request.metadata == {"team": "x", "user_id": "u1"}
    assert (request.sampling.temperature, request.route.sticky_key) == (0.5, "k")


def test_tools_are_offered_and_chosen() -> None:
    """They are described flat here."""
    request = asked(tools=[LOOK, SAY], tool_choice={"type": "function", "name": "look"})

    assert request.tools == [
        Tool(name="look", description="", parameters={"type": "object"}),
        Tool(name="say", description="Says.", kind="custom"),
    ]
    assert request.tool_choice == ToolChoice(mode="tool", names=["look"])


def test_a_stream_includes_that_the_model_reasons() -> None:
    """Each part of the answer is an item, so that none may be missing."""
    stream = asked(inbox="_INBOX.1", stream=True).stream

    assert (stream.to, stream.include) == ("_INBOX.1", ["reasoning", "tool_args"])


def test_items_become_messages() -> None:
    """What the model said at once is one message, and so are the results."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed(THOUGHT)},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "say", "input": "hm"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "said"},
        {"role": "user", "content": "Go on."},
    ]

    assert asked(input=items).messages == [
        ChatMessage(role="user", parts=[Text(text="Look.")]),
        ChatMessage(
            role="assistant",
            parts=[
                THOUGHT,
                Text(text="A"),
                ToolCall(id="c1", name="look", args_json="{}"),
                ToolCall(id="c2", name="say", args_json="hm", kind="custom"),
            ],
        ),
        ChatMessage(
            role="tool",
            parts=[
                ToolResult(tool_call_id="c1", name="look", content="seen"),
                ToolResult(tool_call_id="c2", name="say", content="said"),
            ],
        ),
        ChatMessage(role="user", parts=[Text(text="Go on.")]),
    ]


def test_content_becomes_parts() -> None:
    """Images and files by address, bytes or upload, and what the model declined."""
    pieces = [
        {"type": "input_image", "image_url": "https://x/y.webp", "detail": "high"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "refusal", "refusal": "No."},
    ]

    assert asked(input=[{"role": "user", "content": pieces}]).messages[0].parts == [
        Media(
            kind="image", mime="image/webp", source=Source(url="https://x/y.webp"), detail="high"
        ),
        Media(kind="image", mime="image/jpeg", source=Source(provider_file="file-1")),
        Media(kind="document", mime="application/pdf", source=Source(url="https://x/y.pdf")),
        Refusal(text="No."),
    ]


def test_reasoning_that_carries_nothing_is_left_out() -> None:
    """Its summary is for people."""
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}

    assert asked(input=[reasoning]).messages == []


def test_a_call_that_carries_a_signature_comes_back_whole() -> None:
    """Unless it is not the call that carried it."""
    call = ToolCall(id="c1", name="look", opaque=[SIGNED])
    asked_for = Asked(request=asked(), body=body_of(), created=9)
    [item] = whole(response(call), asked_for)["output"]
    changed = item | {"call_id": "c9"}

    assert asked(input=[item]).messages[0].parts == [call]
    assert asked(input=[changed]).messages[0].parts == [ToolCall(id="c9", name="look")]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"colour": "red"}, "colour"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c1", "output": "x"}]},
            "input[0].call_id",
        ),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "not ours"}]},
            "input[0].encrypted_content",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_field(fields: dict[str, Any], param: str) -> None:
    """Nothing is left out in silence."""
    assert refused(**fields).param == param


def told(*parts: Part, reason: StopReason = "end", **fields: Any) -> dict[str, Any]:
    """Tell an answer, and check it against the library's own type."""
    found = whole(
        response(*parts, reason=reason),
        Asked(request=asked(**fields), body=body_of(**fields), created=9),
    )
    Response.model_validate(found)
    return found


def test_an_answer_is_told_as_items() -> None:
    """What cannot be told is left out, and the places are without a hole."""
    call = ToolCall(id="c1", name="look")
    say = ToolCall(id="c2", name="say", args_json="hm", kind="custom")
    raw = RawPart(provider="claude", kind="x")
    found = told(raw, Text(text="Hello"), call, say, tools=[LOOK, SAY])

    assert [item["type"] for item in found["output"]] == [
        "message",
        "function_call",
        "custom_tool_call",
    ]
    assert [item["id"][-2:] for item in found["output"]] == ["00", "01", "02"]
    assert found["status"] == "completed"
    assert found["usage"]["total_tokens"] == 15
    assert found["segue"]["provider"] == "claude"


def test_reasoning_is_shown_and_carried_as_far_as_that_is_asked_for() -> None:
    """Neither by default."""
    [plain] = told(THOUGHT)["output"]
    [full] = told(THOUGHT, reasoning={"summary": "auto"}, include=[ENCRYPTED])["output"]
    [paragraphs] = told(Reasoning(summary=["a", "b"]), reasoning={"summary": "auto"})["output"]
    [hidden] = told(Reasoning(redacted=True), reasoning={"summary": "auto"})["output"]

    assert (plain["summary"], "encrypted_content" in plain) == ([], False)
    assert full["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert full["encrypted_content"] == sealed(THOUGHT)
    assert [one["text"] for one in paragraphs["summary"]] == ["a", "b"]
    assert hidden["summary"] == []


@pytest.mark.parametrize(
    ("parts", "reason", "status", "why"),
    [
        ([Text(text="x")], "max_tokens", "incomplete", {"reason": "max_output_tokens"}),
        ([Text(text="x")], "content_filter", "incomplete", {"reason": "content_filter"}),
        ([Refusal(text="No.")], "refusal", "completed", None),
        ([Text(text="x")], "tool_use", "completed", None),
    ],
)
def test_an_answer_that_was_cut_is_incomplete(
    parts: list[Part], reason: StopReason, status: str, why: object
) -> None:
    """A refusal in words is whole."""
    found = told(*parts, reason=reason)

    assert (found["status"], found["incomplete_details"]) == (status, why)


def test_a_malformed_answer_is_an_error() -> None:
    """It is no answer, whatever was written."""
    with pytest.raises(FaultError, match="malformed"):
        told(Text(text="x"), reason="malformed")
