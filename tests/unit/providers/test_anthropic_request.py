"""Claude's requests: is what is asked written as the Messages API takes it?"""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.emulator_anthropic_rules import problem

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Opaque,
    OutputFormat,
    OutputOptions,
    Part,
    RawPart,
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
from segue_providers.core.wires.anthropic_messages import concealed
from segue_providers.core.wires.anthropic_request import countable, translated
from segue_providers.core.wires.omissions import UnsupportedError

MODEL = "claude-opus-5"
OLD = "claude-haiku-4-5"
HEADERS = {"anthropic-version": "2026-10-21"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PDF = base64.b64encode(b"%PDF").decode()


def user(*parts: Part) -> ChatMessage:
    """Return what a user says."""
    return ChatMessage(role="user", parts=list(parts) or [Text(text="Hello")])


def assistant(*parts: Part) -> ChatMessage:
    """Return what a model said."""
    return ChatMessage(role="assistant", parts=list(parts))


def system(text: str) -> ChatMessage:
    """Return what the system says."""
    return ChatMessage(role="system", parts=[Text(text=text)])


def asking(*messages: ChatMessage, **options: Any) -> ChatRequest:
    """Return a request to a new model, of one greeting by default."""
    return ChatRequest(**{"messages": list(messages) or [user()], "model": MODEL, **options})


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Return a request's body, which the API must take."""
    body: dict[str, Any] = translated(request).body

    assert problem(body, HEADERS, count=False) == ""

    return body


def warned(request: ChatRequest) -> str:
    """Return what the caller is told, in one text."""
    body_of(request)
    return " ".join(translated(request).warnings)


def contents(*messages: ChatMessage, model: str = MODEL) -> list[Any]:
    """Return the contents of a conversation's turns."""
    return [turn["content"] for turn in body_of(asking(*messages, model=model))["messages"]]


def test_a_plain_question_is_a_plain_body() -> None:
    """Nothing is sent that was not asked for, but the limit that Claude demands."""
    assert body_of(asking()) == {
        "model": MODEL,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


def test_the_models_own_limit_is_the_default() -> None:
    """A known limit of output counts where the request sets none."""
    assert translated(asking(), max_output=64_000).body["max_tokens"] == 64_000
    short = asking(output=OutputOptions(max_tokens=5))
    assert translated(short, max_output=64_000).body["max_tokens"] == 5


def test_what_the_system_says_first_stands_apart() -> None:
    """Leading system and developer messages become the system's prompt."""
    told = ChatMessage(role="developer", parts=[Text(text="Be brief.")])
    body = body_of(asking(system("You help."), told, user()))

    assert [block["text"] for block in body["system"]] == ["You help.", "Be brief."]
    assert len(body["messages"]) == 1


def test_a_later_system_message_keeps_its_place() -> None:
    """Newer models hear the system in the middle of a conversation."""
    body = body_of(asking(user(), system("Now in French.")))

    assert [turn["role"] for turn in body["messages"]] == ["user", "system"]


@pytest.mark.parametrize("model", [OLD, MODEL])
def test_a_system_that_may_not_speak_is_heard_as_a_user(model: str) -> None:
    """Where the API refuses a system's message it is sent as a user's, with a warning."""
    said = [user(), assistant(Text(text="Hi")), system("Now in French."), user()]
    request = asking(*said, model=model)

    assert [turn["role"] for turn in body_of(request)["messages"]] == ["user", "assistant", "user"]
    assert "middle of the conversation" in warned(request)


def test_turns_of_one_role_become_one_with_results_first() -> None:
    """Results stand directly after their calls, whatever the user said meanwhile."""
    calls = [ToolCall(id="a", name="t"), ToolCall(id="b", name="t", args_json='{"x": 1}')]
    answers = [
        ChatMessage(role="user", parts=[Text(text="Wait")]),
        ChatMessage(role="tool", parts=[ToolResult(tool_call_id="a", name="t", content="1")]),
        ChatMessage(
            role="tool",
            parts=[ToolResult(tool_call_id="b", name="t", content="", is_error=True)],
        ),
    ]

    turns = contents(user(), assistant(*calls), *answers)

    assert turns[1] == [
        {"type": "tool_use", "id": "a", "name": "t", "input": {}},
        {"type": "tool_use", "id": "b", "name": "t", "input": {"x": 1}},
    ]
    assert turns[2] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        {"type": "text", "text": "Wait"},
    ]


@pytest.mark.parametrize("args", ["not json", "[1]", '"text"'])
def test_invalid_arguments_are_shown_to_claude_as_they_were(args: str) -> None:
    """A call that a model wrote wrongly stays in the conversation, as an object."""
    turns = contents(
        user(),
        assistant(ToolCall(id="a", name="t", args_json=args)),
        user(ToolResult(tool_call_id="a", name="t", content="invalid")),
    )

    assert turns[1][0]["input"] == {"INVALID_JSON": args}


def test_foreign_ids_of_calls_are_rewritten_alike() -> None:
    """A call and its result stay together when an id holds letters that Claude refuses."""
    turns = contents(
        user(),
        assistant(ToolCall(id="call:1|x", name="t"), ToolCall(id="", name="t")),
        user(
            ToolResult(tool_call_id="call:1|x", name="t", content="1"),
            ToolResult(tool_call_id="", name="t", content="2"),
        ),
    )

    assert turns[1][0]["id"] == turns[2][0]["tool_use_id"]
    assert turns[1][1]["id"] == turns[2][1]["tool_use_id"]


def test_signed_reasoning_is_given_back_unchanged() -> None:
    """Claude sees its own reasoning again, with the proof that it is its own."""
    from support.emulator_anthropic_rules import signature_of  # noqa: PLC0415 - only here

    signature = signature_of("I think")
    thought = Reasoning(text="I think", opaque=[concealed("signature", signature)])
    hidden = Reasoning(redacted=True, opaque=[concealed("redacted_thinking", "x7")])

    turns = contents(user(), assistant(thought, hidden, Text(text="So")), user())

    assert turns[1] == [
        {"type": "thinking", "thinking": "I think", "signature": signature},
        {"type": "redacted_thinking", "data": "x7"},
        {"type": "text", "text": "So"},
    ]


def test_reasoning_of_another_provider_is_left_out_with_a_warning() -> None:
    """What only another provider understands is not shown to Claude."""
    foreign = Opaque(provider="openai", kind="encrypted", data_b64="AA==")
    request = asking(
        user(), assistant(Reasoning(text="x", opaque=[foreign]), Text(text="So")), user()
    )

    assert [block["type"] for block in body_of(request)["messages"][1]["content"]] == ["text"]
    assert "Reasoning of another provider" in warned(request)


def test_reasoning_that_only_another_model_may_see_is_left_out() -> None:
    """Data bound to one model is not shown to another; unsigned reasoning to nobody."""
    bound = Opaque(provider="anthropic", kind="signature", data_b64="eA==", model="other")
    odd = Opaque(provider="anthropic", kind="item_id", data_b64="eA==")
    parts = [Reasoning(text="a", opaque=[bound]), Reasoning(text="b"), Reasoning(opaque=[odd])]
    request = asking(user(), assistant(*parts, Text(text="So")), user())

    assert len(body_of(request)["messages"][1]["content"]) == 1
    assert warned(request) == ""


def test_damaged_reasoning_is_refused() -> None:
    """Data that is no base64 is an error of the request, told as one."""
    broken = Opaque(provider="anthropic", kind="signature", data_b64="%%")

    with pytest.raises(UnsupportedError, match="signature data of a part is damaged"):
        translated(asking(user(), assistant(Reasoning(opaque=[broken])), user()))


def test_raw_parts_go_back_to_claude_alone() -> None:
    """A block of Claude's own is sent as it came; another provider's is not."""
    block = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    mine = RawPart(provider="anthropic", kind="server_tool_use", json=block)
    theirs = RawPart(provider="openai", kind="web_search_call", json={})
    request = asking(user(), assistant(mine, theirs), user())

    assert body_of(request)["messages"][1]["content"] == [block]
    assert "web_search_call" in warned(request)


def test_empty_and_refused_texts_are_handled() -> None:
    """Claude refuses white space, so it is not sent; a refusal is what was said."""
    turns = contents(user(), assistant(Text(text="  ")), assistant(Refusal(text="No.")), user())

    assert turns[1] == [{"type": "text", "text": "No."}]


def test_calls_of_other_servers_are_left_out() -> None:
    """A call that another provider's server made has no result here."""
    call = ToolCall(id="s", name="search", kind="server")
    request = asking(user(), assistant(call, Text(text="Found")), user())

    assert len(body_of(request)["messages"][1]["content"]) == 1
    assert "`search`" in warned(request)


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media(kind="image", mime="image/png", source=Source(data_b64="aGk=")),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
            },
        ),
        (
            Media(kind="image", mime="", source=Source(url="https://a.example/i")),
            {"type": "image", "source": {"type": "url", "url": "https://a.example/i"}},
        ),
        (
            Media(kind="document", mime="application/pdf", source=Source(data_b64=PDF), title="T"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                "title": "T",
            },
        ),
        (
            Media(kind="document", mime="text/markdown", source=Source(data_b64="aGk=")),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
            },
        ),
        (
            Media(kind="document", mime="", source=Source(provider_file="file_1")),
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
    ],
)
def test_pictures_and_documents_are_sent(media: Media, block: dict[str, Any]) -> None:
    """Each source that Claude can read is written in its way."""
    assert contents(user(media, Text(text="?")))[0][0] == block


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="audio", mime="audio/wav", source=Source(data_b64="aGk=")),
        Media(kind="image", mime="image/tiff", source=Source(data_b64="aGk=")),
        Media(kind="image", mime="image/png", source=Source(blob="ab")),
        Media(kind="image", mime="image/png", source=Source()),
        Media(kind="document", mime="text/plain", source=Source(data_b64="/w==")),
    ],
)
def test_media_that_cannot_be_sent_are_refused(media: Media) -> None:
    """An answer that ignores a picture would be worse than none."""
    with pytest.raises(UnsupportedError):
        translated(asking(user(media), on_unsupported="drop"))


def test_a_conversation_of_the_system_alone_is_refused() -> None:
    """Nothing can be answered when nobody asked."""
    with pytest.raises(UnsupportedError, match="add a message of a user"):
        translated(asking(system("You help.")))


# Tools.


def test_tools_are_offered_in_claudes_words() -> None:
    """A function keeps its schema; one that takes nothing gets the empty one."""
    tools = [
        Tool(name="a", description="Does a", parameters=SCHEMA),
        Tool(name="b", description="", strict=True, parameters=SCHEMA),
        Tool(name="c", description=""),
    ]

    assert body_of(asking(tools=tools))["tools"] == [
        {"name": "a", "description": "Does a", "input_schema": SCHEMA},
        {"name": "b", "input_schema": {**SCHEMA, "additionalProperties": False}, "strict": True},
        {"name": "c", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_a_schema_that_cannot_be_enforced_is_only_offered() -> None:
    """The tool stays, the promise does not, and the caller is told."""
    request = asking(tools=[Tool(name="a", description="", strict=True)])

    assert "strict" not in body_of(request)["tools"][0]
    assert "tool `a` cannot be enforced" in warned(request)


def test_tools_of_free_text_are_wrapped() -> None:
    """Claude takes JSON only, so free text becomes its one field, there and back."""
    request = asking(
        user(),
        assistant(ToolCall(id="a", name="run", args_json="ls -l", kind="custom")),
        user(ToolResult(tool_call_id="a", name="run", content="x")),
        tools=[Tool(name="run", description="", kind="custom")],
    )

    body = body_of(request)

    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "ls -l"}
    assert translated(request).custom == {"run"}


def test_claudes_own_tools_are_passed_on_and_others_left_out() -> None:
    """A tool that Claude's servers run keeps its configuration."""
    mine = {"type": "web_search_20260318", "max_uses": 2, "vendor": "anthropic"}
    tools = [
        Tool(name="web_search", description="", kind="server", server=mine),
        Tool(name="theirs", description="", kind="server", server={"vendor": "openai"}),
    ]
    request = asking(tools=tools)

    assert body_of(request)["tools"] == [
        {"name": "web_search", "type": "web_search_20260318", "max_uses": 2}
    ]
    assert "`theirs`" in warned(request)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), None),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="none"), {"type": "none"}),
        (ToolChoice(mode="any"), {"type": "any"}),
        (ToolChoice(mode="tool", names=["a"]), {"type": "tool", "name": "a"}),
        (
            ToolChoice(mode="tool", names=["b"], parallel=False),
            {"type": "tool", "name": "b", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_the_choice_of_tools_is_written(choice: ToolChoice, expected: object) -> None:
    """Each way of choosing has Claude's form; the usual one is not sent."""
    tools = [Tool(name="a", description=""), Tool(name="b", description="")]

    assert body_of(asking(tools=tools, tool_choice=choice)).get("tool_choice") == expected


def test_one_of_several_tools_is_any_of_those_alone() -> None:
    """Claude cannot choose among some of its tools, so it is offered no others."""
    tools = [Tool(name=name, description="") for name in "abc"]
    body = body_of(asking(tools=tools, tool_choice=ToolChoice(mode="tool", names=["a", "c"])))

    assert [tool["name"] for tool in body["tools"]] == ["a", "c"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_choice_without_tools_is_not_sent() -> None:
    """Claude refuses a choice among nothing."""
    assert "tool_choice" not in body_of(asking(tool_choice=ToolChoice(mode="any")))


# The form of the answer.


def test_a_schema_of_the_answer_is_enforced() -> None:
    """Structured output uses the interface's own way."""
    form = OutputFormat(type="json_schema", json_schema=SCHEMA)

    assert body_of(asking(output=OutputOptions(format=form)))["output_config"] == {
        "format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}
    }


@pytest.mark.parametrize("strict", [True, False])
def test_an_open_schema_is_asked_for_in_words(strict: bool) -> None:  # noqa: FBT001 - a case
    """Where a schema cannot be enforced the model reads it, and a strict caller is warned."""
    form = OutputFormat(type="json_schema", json_schema={"type": "object"}, strict=strict)
    request = asking(output=OutputOptions(format=form))

    assert '{"type":"object"}' in body_of(request)["system"][0]["text"]
    assert ("cannot be enforced" in warned(request)) is strict


def test_free_json_is_asked_for_in_words() -> None:
    """Claude has no JSON mode, so it is told."""
    request = asking(
        system("You help."), user(), output=OutputOptions(format=OutputFormat(type="json"))
    )

    assert "JSON" in body_of(request)["system"][1]["text"]


def test_options_that_claude_lacks_are_left_out_with_warnings() -> None:
    """Each thing that is not sent is told once."""
    request = ChatRequest(
        model=MODEL,
        messages=[ChatMessage(role="user", name="ada", parts=[Text(text="Hi")])],
        sampling=Sampling(temperature=0.1, seed=1),
        output=OutputOptions(
            stop=[" ", "END"],
            modalities=["audio"],
            verbosity="low",
            format=OutputFormat(type="grammar"),
        ),
        service_tier="flex",
        provider_options={"anthropic": {"stream": True, "speed": "fast"}, "openai": {"x": 1}},
    )

    body = body_of(request)

    assert body["stop_sequences"] == ["END"]
    assert body["speed"] == "fast"
    assert "x" not in body
    assert len(translated(request).warnings) == 9


def test_a_request_for_all_or_nothing_is_refused() -> None:
    """With `error` an option that Claude lacks is an error that names it."""
    with pytest.raises(UnsupportedError, match=r"sampling\.temperature"):
        translated(asking(sampling=Sampling(temperature=0.1), on_unsupported="error"))


def test_warnings_can_be_unwanted() -> None:
    """With `drop` nothing is told."""
    assert translated(asking(sampling=Sampling(top_k=3), on_unsupported="drop")).warnings == ()


def test_tier_labels_stream_and_betas_are_passed_on() -> None:
    """What Claude knows goes where it wants it."""
    request = asking(
        service_tier="standard_only",
        metadata={"user_id": "u1", "team": "x"},
        stream=StreamOptions(on=True),
        provider_options={"anthropic": {"betas": ["a-1", "b-2"]}},
    )
    body = body_of(request)

    assert (body["service_tier"], body["metadata"], body["stream"]) == (
        "standard_only",
        {"user_id": "u1"},
        True,
    )
    assert translated(request).headers == {"anthropic-beta": "a-1,b-2"}


def test_counting_takes_no_limits() -> None:
    """Only what makes up the input is sent to be counted."""
    body = body_of(asking(system("S"), user(), stream=StreamOptions(on=True)))

    assert countable(body).keys() == {"model", "messages", "system"}


# Reasoning.


def thinking(model: str, *, tokens: int = 32_000, **options: Any) -> Any:
    """Return how a model is asked to reason."""
    request = asking(
        model=model,
        reasoning=ReasoningOptions(**options),
        output=OutputOptions(max_tokens=tokens),
    )
    return body_of(request).get("thinking")


def test_reasoning_is_left_to_the_model_by_default() -> None:
    """Nothing is sent where nothing is asked."""
    assert thinking(MODEL) is None
    assert thinking(OLD) is None


def test_newer_models_reason_as_they_see_fit() -> None:
    """Reasoning that is on is adaptive, and shown as asked."""
    assert thinking(MODEL, mode="on") == {"type": "adaptive", "display": "omitted"}
    assert thinking(MODEL, display="summary") == {"type": "adaptive", "display": "summarized"}


def test_older_models_reason_within_a_budget() -> None:
    """A budget is taken as it is, or made from the effort, and fits below the limit."""
    assert thinking(OLD, mode="on")["budget_tokens"] == 8_192
    assert thinking(OLD, effort="low")["budget_tokens"] == 2_048
    assert thinking(OLD, budget_tokens=3_000)["budget_tokens"] == 3_000
    assert thinking(OLD, mode="on", tokens=2_000)["budget_tokens"] == 1_999
    assert thinking(OLD, mode="on", tokens=1_000) is None


def test_a_budget_that_a_model_does_not_take_is_told() -> None:
    """Newer models reason all the same, without the budget."""
    request = asking(reasoning=ReasoningOptions(budget_tokens=2_000))

    assert body_of(request)["thinking"]["type"] == "adaptive"
    assert "takes no budget" in warned(request)


def test_efforts_are_passed_on() -> None:
    """An effort that Claude knows is sent; another is told."""
    assert body_of(asking(reasoning=ReasoningOptions(effort="high")))["output_config"] == {
        "effort": "high"
    }
    odd = asking(reasoning=ReasoningOptions(effort="minimal"))
    assert "`minimal`" in warned(odd)


def test_reasoning_is_switched_off_where_it_can_be() -> None:
    """A model that always reasons is left alone, and the caller told."""
    assert thinking(MODEL, mode="off") == {"type": "disabled"}
    request = asking(model="claude-fable-5", reasoning=ReasoningOptions(mode="off"))
    assert "cannot be told not to reason" in warned(request)


def test_a_forced_call_comes_without_reasoning() -> None:
    """Claude refuses both at once, so the call wins."""
    request = asking(
        tools=[Tool(name="a", description="")],
        tool_choice=ToolChoice(mode="any"),
        reasoning=ReasoningOptions(mode="on"),
    )

    assert "thinking" not in body_of(request)
    assert "made to call a tool" in warned(request)


# Marks in the prompt's cache.


def test_marks_are_written_with_their_lifetime() -> None:
    """Up to five minutes is the short one, anything longer an hour."""
    body = body_of(
        asking(
            ChatMessage(role="system", parts=[Text(text="S", cache_ttl_s=3_600)]),
            user(Text(text="a", cache_ttl_s=300), Text(text="b")),
        )
    )

    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert "cache_control" not in body["messages"][0]["content"][1]


def test_too_many_marks_lose_the_first_ones() -> None:
    """The last marks cover the longest prompts, so they are kept."""
    parts = [Text(text=str(number), cache_ttl_s=60) for number in range(6)]
    request = asking(user(*parts))
    marked = [block["text"] for block in body_of(request)["messages"][0]["content"][2:]]

    assert marked == ["2", "3", "4", "5"]
    assert "first ones" in warned(request)


def test_a_long_mark_after_a_short_one_is_shortened() -> None:
    """Claude refuses an hour after five minutes."""
    body = body_of(asking(user(Text(text="a", cache_ttl_s=60), Text(text="b", cache_ttl_s=3_600))))

    lifetimes = [block["cache_control"]["ttl"] for block in body["messages"][0]["content"]]
    assert lifetimes == ["5m", "5m"]


PARTS = st.one_of(
    st.builds(Text, text=st.text(), cache_ttl_s=st.integers(0, 4_000)),
    st.builds(Text, text=st.text()),
    st.builds(Refusal, text=st.text()),
    st.builds(Reasoning, text=st.text()),
    st.builds(RawPart, provider=st.just("openai"), kind=st.text(), json=st.none()),
)
MESSAGES = st.lists(
    st.builds(
        ChatMessage,
        role=st.sampled_from(["system", "developer", "user", "assistant"]),
        parts=st.lists(PARTS, max_size=4),
    ),
    max_size=6,
)


@given(said=MESSAGES, model=st.sampled_from([MODEL, OLD, "house-model"]))
def test_whatever_is_said_becomes_what_the_api_takes(said: list[ChatMessage], model: str) -> None:
    """Every conversation that a user begins and ends is taken, and no text of it is lost."""
    messages = [user(Text(text="first")), *said, user(Text(text="last"))]
    body = body_of(asking(*messages, model=model))

    sent = [
        block["text"]
        for turn in body["messages"]
        for block in turn["content"]
        if block["type"] == "text"
    ]
    told = [
        part.text
        for message in messages
        for part in message.parts
        if isinstance(part, Text | Refusal) and part.text.strip()
    ]
    assert sent == told
