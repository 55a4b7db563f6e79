"""Chat completions, asked: does everything in a body reach the router, or is it refused by name?"""

import json
from typing import Any

import pytest
from msgspec import UNSET, to_builtins

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Opaque,
    OutputFormat,
    Reasoning,
    ReasoningOptions,
    Refusal,
    Sampling,
    Source,
    StreamOptions,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from segue_gateway.core.openai.chat_request import chat_body, chat_request
from segue_gateway.core.openai.faults import Fault, FaultError

HELLO = {"role": "user", "content": "Hello!"}
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}
CUSTOM = {"type": "custom", "custom": {"name": "say", "format": {"type": "text"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


def asked(inbox: str = "", **fields: Any) -> ChatRequest:
    """Translate a body."""
    body = {"model": "claude", "messages": [HELLO], **fields}
    return chat_request(chat_body(json.dumps(body).encode()), id="r1", inbox=inbox)


def refused(**fields: Any) -> Fault:
    """Translate a body that is refused."""
    with pytest.raises(FaultError) as caught:
        asked(**fields)
    assert caught.value.fault.status == 400
    return caught.value.fault


def said(*messages: dict[str, Any]) -> list[ChatMessage]:
    """Translate messages."""
    return asked(messages=list(messages)).messages


def test_a_plain_question_asks_for_nothing_else() -> None:
    """What is not in the body is left to the router."""
    message = ChatMessage(role="user", parts=[Text(text="Hello!")])

    assert asked() == ChatRequest(id="r1", model="claude", messages=[message])


def test_null_is_as_good_as_absent() -> None:
    """Some clients write every field."""
    names = ("tools", "tool_choice", "stop", "seed", "user", "response_format", "logprobs", "n")

    assert asked(**dict.fromkeys(names)) == asked()


def test_options_are_passed_on_under_our_names() -> None:
    """Limits, sampling, labels, tier and the key of the prompt cache."""
    request = asked(
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1,
        frequency_penalty=-1,
        seed=7,
        stop="END",
        verbosity="low",
        metadata={"team": "x"},
        user="u1",
        service_tier="flex",
        prompt_cache_key="k",
        parallel_tool_calls=False,
    )

    assert (request.output.max_tokens, request.output.stop) == (9, ["END"])
    assert (request.output.verbosity, request.service_tier) == ("low", "flex")
    assert request.sampling == Sampling(
        temperature=0.5, top_p=0.9, presence_penalty=1, frequency_penalty=-1, seed=7
    )
    assert request.metadata == {"team": "x", "user_id": "u1"}
    assert request.route.sticky_key == "k"
    assert request.tool_choice == ToolChoice(parallel=False)


def test_the_older_name_of_the_limit_is_understood() -> None:
    """Compatible clients still write it; without either there is no limit."""
    assert asked(max_tokens=5).output.max_tokens == 5
    assert asked().output.max_tokens is UNSET


@pytest.mark.parametrize(
    ("effort", "options"),
    [
        ("none", ReasoningOptions(mode="off")),
        ("high", ReasoningOptions(mode="on", effort="high")),
        (None, ReasoningOptions()),
    ],
)
def test_an_effort_of_reasoning_is_passed_on(effort: str, options: ReasoningOptions) -> None:
    """No effort turns reasoning off."""
    assert asked(reasoning_effort=effort).reasoning == options


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, False), ({}, False), ({"include_usage": True}, True)],
)
def test_usage_is_streamed_when_that_is_asked_for(options: Any, *, wanted: bool) -> None:
    """As the last chunk."""
    body = {"model": "claude", "messages": [HELLO], "stream": True, "stream_options": options}

    assert chat_body(json.dumps(body).encode()).wants_usage is wanted


def test_a_stream_goes_to_the_inbox_with_credit() -> None:
    """A break is an error, since this interface cannot take back what it has said."""
    assert asked(inbox="_INBOX.1", stream=True).stream == StreamOptions(
        on=True, include=["tool_args"], on_break="fail", to="_INBOX.1", credit=64
    )


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, OutputFormat()),
        ({"type": "json_object"}, OutputFormat(type="json")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}},
            OutputFormat(type="json_schema", name="n", json_schema={"a": 1}, strict=False),
        ),
    ],
)
def test_the_form_of_the_answer_is_passed_on(form: Any, expected: OutputFormat) -> None:
    """A schema is enforced only when that is asked for."""
    assert asked(response_format=form).output.format == expected


def test_a_schema_that_is_missing_is_told() -> None:
    """So is a form that there is not."""
    assert refused(response_format={"type": "json_schema"}).param == "response_format"
    assert refused(response_format={"type": "xml"}).param == "response_format.type"


def test_content_becomes_parts() -> None:
    """Text, images, sounds and files, by bytes, address or upload."""
    pieces = [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": "https://x/y.PNG?z", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:;base64,JVBE", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]

    assert said({"role": "user", "content": pieces})[0].parts == [
        Text(text="See:"),
        Media(kind="image", mime="image/png", source=Source(url="https://x/y.PNG?z"), detail="low"),
        Media(kind="image", mime="image/gif", source=Source(data_b64="R0lG")),
        Media(kind="audio", mime="audio/wav", source=Source(data_b64="UklG")),
        Media(
            kind="document",
            mime="application/pdf",
            source=Source(data_b64="JVBE"),
            title="a.pdf",
        ),
        Media(kind="document", mime="application/pdf", source=Source(provider_file="file-1")),
    ]


def test_content_that_cannot_be_read_is_told_with_its_place() -> None:
    """The client learns which piece it is."""
    image = {"type": "image_url", "image_url": {"url": "ftp://x"}}
    broken = {"type": "image_url", "image_url": {"url": "data:image/png,abc"}}
    sound = {"type": "input_audio", "input_audio": {"data": "x", "format": "ogg"}}
    place = "messages[0].content[0]"

    for piece in (image, broken):
        fault = refused(messages=[{"role": "user", "content": [piece]}])
        assert fault.param == f"{place}.image_url.url"
    fault = refused(messages=[{"role": "user", "content": [sound]}])
    assert fault.param == f"{place}.input_audio.format"


def test_a_conversation_with_tools_is_read_whole() -> None:
    """Results have the name of the tool that was called."""
    messages = said(
        {"role": "developer", "content": "Be brief.", "name": "ops"},
        HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "seen"}]},
        {"role": "assistant", "content": "Well.", "refusal": "No."},
    )

    assert messages == [
        ChatMessage(role="developer", parts=[Text(text="Be brief.")], name="ops"),
        ChatMessage(role="user", parts=[Text(text="Hello!")]),
        ChatMessage(
            role="assistant", parts=[ToolCall(id="c1", name="look", args_json='{"at": 1}')]
        ),
        ChatMessage(
            role="tool", parts=[ToolResult(tool_call_id="c1", name="look", content="seen")]
        ),
        ChatMessage(role="assistant", parts=[Text(text="Well."), Refusal(text="No.")]),
    ]


def test_a_call_of_a_custom_tool_is_free_text() -> None:
    """Its input is no JSON."""
    call = {"id": "c2", "type": "custom", "custom": {"name": "say", "input": "hm"}}
    [message] = said({"role": "assistant", "tool_calls": [call]})

    assert message.parts == [ToolCall(id="c2", name="say", args_json="hm", kind="custom")]


SIGNED = Opaque(provider="gemini", kind="thought_signature", data_b64="c2ln")
KEPT = [
    Reasoning(text="hm"),
    ToolCall(id="c1", name="look", args_json='{"at": 1}', opaque=[SIGNED]),
]


def carried(parts: list[Any]) -> dict[str, Any]:
    """Return parts as an answer of ours carried them."""
    return {"segue": {"parts": to_builtins(parts)}}


def test_what_an_answer_carried_along_comes_back_whole() -> None:
    """Signatures that the interface has no place for survive the way through the client."""
    message = {"role": "assistant", "tool_calls": [CALL], "extra_content": carried(KEPT)}

    assert said(message)[0].parts == KEPT


def test_what_was_changed_on_the_way_is_taken_as_it_is() -> None:
    """A signature does not fit other words."""
    message = {"role": "assistant", "content": "Other.", "extra_content": carried(KEPT)}

    assert said(message)[0].parts == [Text(text="Other.")]


def test_tools_are_offered() -> None:
    """Functions with their schema, custom tools with free text."""
    request = asked(tools=[TOOL, CUSTOM], tool_choice="required")

    assert request.tools == [
        Tool(name="look", description="Looks.", parameters={"type": "object"}),
        Tool(name="say", description="", kind="custom"),
    ]
    assert request.tool_choice == ToolChoice(mode="any")


def test_a_tool_may_be_demanded_by_name() -> None:
    """One, or one of several."""
    one = {"type": "function", "function": {"name": "look"}}
    several = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [one]}}

    for choice in (one, several):
        request = asked(tools=[TOOL, CUSTOM], tool_choice=choice)
        assert request.tool_choice == ToolChoice(mode="tool", names=["look"])


def test_tools_that_are_only_allowed_are_the_ones_offered() -> None:
    """The model still decides whether it calls one."""
    one = {"type": "custom", "custom": {"name": "say"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [one]}}
    request = asked(tools=[TOOL, CUSTOM], tool_choice=choice)

    assert [tool.name for tool in request.tools] == ["say"]
    assert request.tool_choice == ToolChoice()


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"stream_options": {"x": 1}, "stream": True}, "stream_options.x", "unknown_parameter"),
        ({"model": 1}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "function"}]}, "messages[0].role", "unsupported_parameter"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "invalid_value"),
        (
            {"tools": [{"type": "custom", "custom": {"name": "x", "format": {"type": "grammar"}}}]},
            "tools[0].format",
            "unsupported_parameter",
        ),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type", "unsupported_parameter"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]},
            "messages[0].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c1"}]}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_field(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    """Nothing is left out in silence."""
    fault = refused(**fields)

    assert (fault.param, fault.code) == (param, code)


def test_a_result_is_text_only() -> None:
    """No model takes an image as what a tool answered, in this interface."""
    image = {"type": "image_url", "image_url": {"url": "https://x/y"}}
    call = {"role": "assistant", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": [image]}

    assert refused(messages=[call, result]).param == "messages[1].content[0]"


@pytest.mark.parametrize("data", [b"{", b'{"model": "\xff"}', b'{"audio": {"a":' + b"[" * 100_000])
def test_what_is_no_json_is_told(data: bytes) -> None:
    """Broken, foreign or too deep."""
    with pytest.raises(FaultError) as caught:
        chat_body(data)

    assert caught.value.fault.code == "invalid_json"


def test_a_body_that_is_no_object_is_told() -> None:
    """There is no field to name."""
    with pytest.raises(FaultError) as caught:
        chat_body(b"[]")

    assert (caught.value.fault.param, caught.value.fault.code) == (None, "invalid_value")
