"""Is every neutral request written as responses take it?"""

from typing import Any

import pytest
from unit.providers.openai_support import CLOSED, LOCAL, REASONER, VENDOR, WEATHER, asking, said

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
    RouteOptions,
    Sampling,
    Source,
    StreamOptions,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.core.wires.openai_options import Json, opaque
from segue_providers.core.wires.openai_profile import Profile
from segue_providers.core.wires.openai_responses_request import counted, translate

PNG = Source(data_b64="aGk=")


def items(*given: ChatMessage) -> Any:
    """Return the items that are sent."""
    return translate(asking(*given), VENDOR).body["input"]


def body(request: ChatRequest, profile: Profile = VENDOR) -> Json:
    """Return a body that nothing was left out of."""
    wanted = translate(request, profile)
    assert wanted.warnings == ()

    return wanted.body


def own(kind: str = "item_id", **data: Any) -> list[Opaque]:
    """Return opaque data of the vendor's."""
    return [opaque(VENDOR, "encrypted" if kind == "encrypted" else "item_id", data)]


def test_a_plain_request_is_sent_plainly_and_stored_nowhere() -> None:
    """Nothing is asked for that the request does not ask."""
    assert body(asking(said(Text(text="be brief"), role="system"), said(Text(text="hello")))) == {
        "model": "gpt-4o",
        "input": [
            {
                "type": "message",
                "role": "system",
                "content": [{"type": "input_text", "text": "be brief"}],
            },
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "hello"}],
            },
        ],
        "store": False,
    }


def test_what_the_model_said_becomes_the_items_it_was() -> None:
    """Texts of one item are one again, with all that only the vendor understands of it."""
    first, second = own(id="msg_1", phase="commentary"), own(id="msg_2")
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    message = said(
        Reasoning(redacted=True, opaque=own("encrypted", **reasoning)),
        Text(text="a", opaque=first),
        Refusal(text="b", opaque=first),
        Text(text="c", opaque=second),
        ToolCall(id="c1", name="weather", args_json="{}", opaque=own(id="fc_1", namespace="n")),
        Text(text="d"),
        Text(text="e"),
        role="assistant",
    )

    def text(word: str) -> Json:
        return {"type": "output_text", "text": word, "annotations": []}

    assert items(message) == [
        reasoning,
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "phase": "commentary",
            "content": [text("a"), {"type": "refusal", "refusal": "b"}],
        },
        {"type": "message", "role": "assistant", "id": "msg_2", "content": [text("c")]},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "weather",
            "id": "fc_1",
            "namespace": "n",
            "arguments": "{}",
        },
        {"type": "message", "role": "assistant", "content": [text("d"), text("e")]},
    ]


def test_results_are_written_as_their_calls_were() -> None:
    """Free text in, free text out; failures in their text."""
    message = said(
        ToolCall(id="c1", name="weather", args_json="{}"),
        ToolCall(id="c2", name="shell", args_json="ls", kind="custom"),
        role="assistant",
    )
    results = said(
        ToolResult(tool_call_id="c1", name="weather", content="sunny"),
        ToolResult(tool_call_id="c2", name="shell", content="gone", is_error=True),
        Text(text="Go on."),
        role="tool",
    )

    assert items(message, results)[1:] == [
        {"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "Error: gone"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]},
    ]


def test_reasoning_goes_back_to_its_maker_alone() -> None:
    """Another provider's is left out with a warning, reasoning without data in silence."""
    other = Opaque(provider="anthropic", kind="signature", data_b64="eA==")
    message = said(Reasoning(text="a"), Reasoning(text="b", opaque=[other]), role="assistant")
    wanted = translate(asking(message), VENDOR)

    assert wanted.body["input"] == []
    assert wanted.warnings == (
        "Reasoning of `anthropic` means nothing to this provider; it was left out.",
    )


def test_damaged_data_refuses_the_request() -> None:
    """What is not what the provider gave is not sent."""
    damaged = Opaque(provider="openai", kind="encrypted", data_b64="####")

    with pytest.raises(UnsupportedError, match="damaged"):
        items(said(Reasoning(opaque=[damaged]), role="assistant"))


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            Media(kind="image", mime="image/png", source=PNG),
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="},
        ),
        (
            Media(kind="image", mime="a/b", source=Source(provider_file="f1"), detail="high"),
            {"type": "input_image", "detail": "high", "file_id": "f1"},
        ),
        (
            Media(kind="document", mime="a/b", source=PNG),
            {
                "type": "input_file",
                "file_data": "data:a/b;base64,aGk=",
                "filename": "document",
            },
        ),
        (
            Media(kind="document", mime="a/b", source=Source(url="https://x/y.pdf")),
            {"type": "input_file", "file_url": "https://x/y.pdf"},
        ),
        (
            Media(kind="document", mime="a/b", source=Source(provider_file="f1")),
            {"type": "input_file", "file_id": "f1"},
        ),
    ],
)
def test_media_are_written_as_the_interface_takes_them(part: Part, sent: Json) -> None:
    """Bytes, addresses and uploaded files have places of their own."""
    assert items(said(part)) == [{"type": "message", "role": "user", "content": [sent]}]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (said(Media(kind="audio", mime="audio/wav", source=PNG)), "images and documents"),
        (
            said(Media(kind="image", mime="image/png", source=PNG), role="assistant"),
            "none that a model made",
        ),
    ],
)
def test_media_that_cannot_be_sent_refuse_the_request(message: ChatMessage, reason: str) -> None:
    """An answer that overlooks a picture is worse than none."""
    with pytest.raises(UnsupportedError, match=reason):
        items(message)


def test_raw_items_go_back_to_their_maker_alone() -> None:
    """Others are left out with a warning."""
    call = {"type": "web_search_call", "id": "ws_1"}
    ours = RawPart(provider="openai", kind="web_search_call", json=call)
    others = RawPart(provider="google", kind="grounding", json={})
    wanted = translate(asking(said(ours, others, role="assistant")), VENDOR)

    assert wanted.body["input"] == [call]
    assert "`grounding` of `google`" in wanted.warnings[0]


def test_what_users_pass_on_of_models_is_sent_too() -> None:
    """A refusal is text in a user's mouth, a part of the provider's own itself, a call an item."""
    sound = {"type": "input_audio", "input_audio": {}}
    raw = RawPart(provider="openai", kind="input_audio", json=sound)
    call = ToolCall(id="c1", name="weather", args_json="{}")

    assert items(said(Refusal(text="no"), call, raw)) == [
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "no"}, sound],
        },
    ]


def test_a_message_of_nothing_is_not_sent() -> None:
    """The interface refuses messages without content, and results stand alone."""
    assert items(said(ToolResult(tool_call_id="1", name="x", content="a"), role="user")) == [
        {"type": "function_call_output", "call_id": "1", "output": "a"}
    ]


def test_tools_of_every_kind_are_offered() -> None:
    """Functions say whether they are enforced, since they would be otherwise."""
    strict = Tool(name="w", description="", parameters=WEATHER.parameters, strict=True)
    shell = Tool(name="shell", description="Runs a command.", kind="custom")
    search = Tool(name="web_search", description="", kind="server", server={"filters": 1})
    nothing = Tool(name="now", description="Tells the time.")

    assert body(asking(tools=[strict, shell, search, nothing]))["tools"] == [
        {"type": "function", "name": "w", "parameters": CLOSED, "strict": True},
        {"type": "custom", "name": "shell", "description": "Runs a command."},
        {"type": "web_search", "filters": 1},
        {
            "type": "function",
            "name": "now",
            "description": "Tells the time.",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(), None),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="any"), "required"),
        (ToolChoice(mode="tool", names=["unknown"]), "required"),
        (ToolChoice(mode="tool", names=["weather"]), {"type": "function", "name": "weather"}),
        (
            ToolChoice(mode="tool", names=["weather", "web_search"]),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}, {"type": "web_search"}],
            },
        ),
    ],
)
def test_a_choice_of_tools_is_written(choice: ToolChoice, sent: object) -> None:
    """One tool is named, several are allowed, and the default says nothing."""
    search = Tool(name="web_search", description="", kind="server")

    assert body(asking(tools=[WEATHER, search], tool_choice=choice)).get("tool_choice") == sent


def test_parallel_calls_are_forbidden_on_demand() -> None:
    """The default is left to the provider."""
    one = body(asking(tools=[WEATHER], tool_choice=ToolChoice(parallel=False)))

    assert one["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in body(asking(tool_choice=ToolChoice(parallel=False)))


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (OutputFormat(type="json"), {"type": "json_object"}),
        (
            OutputFormat(type="json_schema", name="city", json_schema=WEATHER.parameters),
            {"type": "json_schema", "name": "city", "schema": CLOSED, "strict": True},
        ),
    ],
)
def test_the_form_of_an_answer_is_written(form: OutputFormat, sent: Json) -> None:
    """A schema is enforced where it can be."""
    request = asking(output=OutputOptions(format=form, verbosity="low"))

    assert body(request)["text"] == {"verbosity": "low", "format": sent}


def test_every_option_of_the_vendor_is_passed_on() -> None:
    """Reasoning is asked for encrypted, since nothing is stored that could be referred to."""
    request = asking(
        model=REASONER,
        output=OutputOptions(max_tokens=99),
        reasoning=ReasoningOptions(effort="high", display="summary"),
        stream=StreamOptions(on=True),
        service_tier="flex",
        route=RouteOptions(sticky_key="alice"),
        metadata={"team": "a"},
        provider_options={"openai": {"truncation": "auto"}},
    )

    sent = body(request)

    assert sent.pop("input")
    assert sent == {
        "model": REASONER,
        "store": False,
        "max_output_tokens": 99,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "high", "summary": "auto"},
        "stream": True,
        "service_tier": "flex",
        "prompt_cache_key": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",
        "metadata": {"team": "a"},
        "truncation": "auto",
    }


def test_a_compatible_server_gets_what_all_of_them_know() -> None:
    """No labels, no key of a prompt cache, no encryption."""
    request = asking(
        model="llama3.2",
        sampling=Sampling(temperature=0.5),
        reasoning=ReasoningOptions(display="summary"),
        metadata={"team": "a"},
        route=RouteOptions(sticky_key="alice"),
    )

    sent = body(request, LOCAL)

    assert sent.pop("input")
    assert sent == {
        "model": "llama3.2",
        "store": False,
        "temperature": 0.5,
        "reasoning": {"summary": "auto"},
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": Sampling(seed=5)}, "`sampling.seed` is not known to this provider"),
        ({"output": OutputOptions(stop=["a"])}, "`output.stop` is not known here"),
        ({"output": OutputOptions(modalities=["audio"])}, "Output other than text"),
        ({"output": OutputOptions(format=OutputFormat(type="grammar"))}, "type `grammar`"),
        ({"reasoning": ReasoningOptions(display="full"), "model": REASONER}, "`full`"),
        ({"metadata": {f"{n}": "x" for n in range(17)}}, "label `16` exceeds"),
        ({"metadata": {"a": "x" * 513}}, "label `a` exceeds"),
        ({"provider_options": {"openai": {"background": True}}}, "`background` is the router's"),
    ],
)
def test_what_is_lacking_is_left_out_or_refused(options: dict[str, Any], words: str) -> None:
    """By default with a warning, and not at all with `error`."""
    assert words in translate(asking(**options), VENDOR).warnings[0]
    with pytest.raises(UnsupportedError, match="on_unsupported"):
        translate(asking(**options, on_unsupported="error"), VENDOR)


def test_names_of_speakers_are_lacking() -> None:
    """The interface tells speakers of one role not apart."""
    wanted = translate(asking(said(Text(text="a"), name="Ann")), VENDOR)

    assert "`name` of a message" in wanted.warnings[0]


def test_tokens_are_counted_of_what_is_input() -> None:
    """The endpoint that counts refuses what concerns the answer."""
    request = asking(output=OutputOptions(max_tokens=9), tools=[WEATHER])

    assert counted(body(request)).keys() == {"model", "input", "tools"}
