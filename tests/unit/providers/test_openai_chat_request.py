"""Is every neutral request written as chat completions take it?"""

from typing import Any

import pytest
from unit.providers.openai_support import (
    CHATTER,
    CLOSED,
    LOCAL,
    VENDOR,
    WEATHER,
    asking,
    said,
)

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Opaque,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.core.wires.openai_chat_request import translate
from segue_providers.core.wires.openai_profile import Profile

PNG = Source(data_b64="aGk=")
OTHERS = Opaque(provider="anthropic", kind="signature", data_b64="eA==")


def messages(*given: ChatMessage, profile: Profile = VENDOR) -> Any:
    """Return messages as they are sent."""
    return translate(asking(*given), profile).body["messages"]


def body(request: ChatRequest, profile: Profile = VENDOR) -> dict[str, Any]:
    """Return a body that nothing was left out of."""
    wanted = translate(request, profile)
    assert wanted.warnings == ()

    return wanted.body


def test_a_plain_request_is_sent_plainly() -> None:
    """Texts stay texts, and nothing is asked for that the request does not ask."""
    request = asking(said(Text(text="be brief"), role="developer"), said(Text(text="hello")))

    assert body(request) == {
        "model": CHATTER,
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "hello"},
        ],
        "store": False,
    }


def test_compatible_servers_know_no_developer_and_no_lists_of_text() -> None:
    """A developer speaks as the system, and several texts are one."""
    assert messages(said(Text(text="a"), Text(text="b"), role="developer"), profile=LOCAL) == [
        {"role": "system", "content": "a\n\nb"}
    ]


def test_several_texts_stay_apart_for_the_vendor() -> None:
    """The vendor's interface takes lists of text."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert messages(said(Text(text="a"), Text(text="b"), name="J. Doe")) == [
        {"role": "user", "content": parts, "name": "J_Doe"}
    ]


def test_calls_and_their_results_are_paired() -> None:
    """Results come right behind the calls, in messages of their own, failures in their text."""
    calls = said(
        Text(text="I look."),
        ToolCall(id="c1", name="weather", args_json='{"city":"Bonn"}'),
        ToolCall(id="c2", name="shell", args_json="ls", kind="custom"),
        role="assistant",
    )
    results = said(
        Text(text="Go on."),
        ToolResult(tool_call_id="c1", name="weather", content="sunny"),
        ToolResult(tool_call_id="c2", name="shell", content="no such file", is_error=True),
        role="tool",
    )

    assert messages(calls, results) == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
                },
                {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no such file"},
        {"role": "user", "content": "Go on."},
    ]


def test_results_alone_are_messages_alone() -> None:
    """Nothing is added to them."""
    assert messages(said(ToolResult(tool_call_id="c", name="x", content="a"), role="tool")) == [
        {"role": "tool", "tool_call_id": "c", "content": "a"}
    ]


def test_what_the_model_refused_is_sent_back_as_a_refusal() -> None:
    """A refusal is no text."""
    assert messages(said(Refusal(text="no"), role="assistant")) == [
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    ]


def test_a_turn_of_reasoning_alone_is_no_message() -> None:
    """Chat completions take no reasoning back, and no empty message."""
    wanted = translate(asking(said(Reasoning(text="hm"), role="assistant")), VENDOR)

    assert wanted.body["messages"] == []
    assert wanted.warnings == ()


def test_the_reasoning_of_another_provider_is_left_out_with_a_warning() -> None:
    """Even a request that wants all or nothing is not refused for what no option asked for."""
    message = said(Reasoning(text="hm", opaque=[OTHERS]), Text(text="so"), role="assistant")
    wanted = translate(asking(message, on_unsupported="error"), VENDOR)

    assert wanted.body["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "so"}]}
    ]
    assert wanted.warnings == (
        "Reasoning of `anthropic` means nothing to this provider; it was left out.",
    )


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            Media(kind="image", mime="image/png", source=PNG, detail="low"),
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"},
            },
        ),
        (
            Media(kind="image", mime="image/png", source=Source(url="https://x/y.png")),
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        ),
        (
            Media(kind="audio", mime="audio/mpeg", source=PNG),
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        ),
        (
            Media(kind="document", mime="application/pdf", source=PNG, title="a.pdf"),
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
            },
        ),
        (
            Media(kind="document", mime="application/pdf", source=Source(provider_file="f1")),
            {"type": "file", "file": {"file_id": "f1"}},
        ),
        (RawPart(provider="openai", kind="x", json={"type": "x"}), {"type": "x"}),
    ],
)
def test_media_are_written_as_the_interface_takes_them(part: Part, sent: dict[str, Any]) -> None:
    """Bytes become a data URL, uploaded files their id, parts of the provider's own themselves."""
    assert messages(said(part)) == [{"role": "user", "content": [sent]}]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Media(kind="video", mime="video/mp4", source=PNG), "it takes none"),
        (Media(kind="audio", mime="audio/flac", source=PNG), "WAV or MP3"),
        (Media(kind="audio", mime="audio/wav", source=Source(url="https://x")), "as bytes"),
        (Media(kind="image", mime="image/png", source=Source(provider_file="f")), "as bytes"),
        (Media(kind="document", mime="a/b", source=Source(url="https://x")), "uploaded file"),
        (Media(kind="image", mime="image/png", source=Source(blob="0" * 64)), "not sent with"),
    ],
)
def test_media_that_cannot_be_sent_refuse_the_request(part: Part, reason: str) -> None:
    """An answer that overlooks a picture is worse than none, whatever `on_unsupported` says."""
    with pytest.raises(UnsupportedError, match=reason):
        translate(asking(said(part), on_unsupported="drop"), VENDOR)


def test_raw_parts_of_another_provider_are_left_out_with_a_warning() -> None:
    """They mean nothing here."""
    raw = RawPart(provider="google", kind="grounding", json={})
    wanted = translate(asking(said(Text(text="a"), raw)), VENDOR)

    assert wanted.warnings == (
        "A part `grounding` of `google` means nothing here; it was left out.",
    )


def test_a_result_among_other_roles_parts_is_no_content() -> None:
    """Calls that a user is said to have made are not written as content."""
    assert messages(said(Text(text="a"), ToolCall(id="1", name="x"))) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(), {}),
        (ToolChoice(mode="none"), {"tool_choice": "none"}),
        (ToolChoice(mode="any"), {"tool_choice": "required"}),
        (ToolChoice(mode="tool"), {"tool_choice": "required"}),
        (
            ToolChoice(mode="tool", names=["weather"], parallel=False),
            {
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "parallel_tool_calls": False,
            },
        ),
        (
            ToolChoice(mode="tool", names=["weather", "shell"]),
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [
                            {"type": "function", "function": {"name": "weather"}},
                            {"type": "custom", "custom": {"name": "shell"}},
                        ],
                    },
                }
            },
        ),
    ],
)
def test_a_choice_of_tools_is_written(choice: ToolChoice, sent: dict[str, Any]) -> None:
    """One tool is named, several are allowed, and the default says nothing."""
    shell = Tool(name="shell", description="Runs a command.", kind="custom")
    written = body(asking(tools=[WEATHER, shell], tool_choice=choice))

    assert {name: written[name] for name in sent} == sent
    assert ("tool_choice" in written) is ("tool_choice" in sent)
    assert written["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells the weather.",
                "parameters": WEATHER.parameters,
            },
        },
        {"type": "custom", "custom": {"name": "shell", "description": "Runs a command."}},
    ]


def test_a_strict_tool_is_enforced() -> None:
    """Its schema is closed as the interface wants it."""
    strict = Tool(name="w", description="", parameters=WEATHER.parameters, strict=True)

    assert body(asking(tools=[strict]))["tools"] == [
        {"type": "function", "function": {"name": "w", "parameters": CLOSED, "strict": True}}
    ]


def test_a_tool_that_only_the_provider_could_run_is_left_out() -> None:
    """A choice among no tools is none."""
    search = Tool(name="web_search", description="", kind="server")
    wanted = translate(asking(tools=[search], tool_choice=ToolChoice(mode="any")), VENDOR)

    assert "tools" not in wanted.body
    assert "tool_choice" not in wanted.body
    assert "`web_search`" in wanted.warnings[0]
