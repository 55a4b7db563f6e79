"""Is a conversation written so that Gemini understands all of it?"""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.chat import (
    ChatMessage,
    Media,
    Opaque,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from segue_providers.core.wires.gemini_contents import Json, contents_of, system_of
from segue_providers.core.wires.omissions import Omissions, UnsupportedError

MODEL = "gemini-3.8-flash"
SIGNATURE = base64.b64encode(b"signed").decode()
SIGNED = [Opaque(provider="gemini", kind="thought_signature", data_b64=SIGNATURE)]
FOREIGN = [Opaque(provider="anthropic", kind="signature", data_b64="eA==")]


def message(role: Role, *parts: Part) -> ChatMessage:
    """Return a message."""
    return ChatMessage(role=role, parts=list(parts))


def written(*messages: ChatMessage, model: str = MODEL) -> list[Json]:
    """Return turns that must not lack anything."""
    return contents_of(messages, Omissions("error"), model=model)


def part_of(part: Part) -> Json:
    """Return the only part of an assistant's only turn."""
    (turn,) = written(message("assistant", part), model="gemini-2.5-pro")
    parts = turn["parts"]
    assert isinstance(parts, list)
    (only,) = parts
    return dict(only)


def test_instructions_stand_apart_from_the_conversation() -> None:
    """System and developer messages are instructions, in order, and no turns."""
    talk = [
        message("system", Text(text="be brief"), Text(text="")),
        message("user", Text(text="hi")),
        message("developer", Text(text="be kind")),
    ]
    assert system_of(talk, Omissions("error")) == [{"text": "be brief"}, {"text": "be kind"}]
    assert written(*talk) == [{"role": "user", "parts": [{"text": "hi"}]}]


def test_an_instruction_that_is_no_text_is_left_out_with_a_warning() -> None:
    """Gemini takes only text as instruction."""
    omissions = Omissions("warn")
    picture = Media(kind="image", mime="image/png", source=Source(url="https://x/y.png"))
    assert system_of([message("system", picture)], omissions) == []
    assert len(omissions.warnings) == 1


@given(st.lists(st.text(min_size=1), min_size=1))
def test_text_arrives_as_it_is(texts: list[str]) -> None:
    """Messages of one speaker are one turn; no letter of them is lost."""
    turns = written(*(message("user", Text(text=text)) for text in texts))
    assert turns == [{"role": "user", "parts": [{"text": text} for text in texts]}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Refusal(text="no"), {"text": "no"}),
        (Text(text="a", opaque=SIGNED), {"text": "a", "thoughtSignature": SIGNATURE}),
        (Text(text="", opaque=SIGNED), {"text": "", "thoughtSignature": SIGNATURE}),
        (
            Reasoning(text="hm", opaque=SIGNED),
            {"text": "hm", "thought": True, "thoughtSignature": SIGNATURE},
        ),
        (
            Reasoning(summary=["a", "b"], opaque=SIGNED),
            {"text": "a\n\nb", "thought": True, "thoughtSignature": SIGNATURE},
        ),
        (
            ToolCall(id="c1", name="look", args_json='{"a_b": 1}', opaque=SIGNED),
            {
                "functionCall": {"id": "c1", "name": "look", "args": {"a_b": 1}},
                "thoughtSignature": SIGNATURE,
            },
        ),
        (
            Media(kind="image", mime="image/png", source=Source(data_b64="eA==")),
            {"inlineData": {"mimeType": "image/png", "data": "eA=="}},
        ),
        (
            Media(kind="video", mime="video/mp4", source=Source(url="https://x/v")),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/v"}},
        ),
        (
            Media(kind="document", mime="application/pdf", source=Source(provider_file="files/1")),
            {"fileData": {"mimeType": "application/pdf", "fileUri": "files/1"}},
        ),
        (
            RawPart(
                provider="gemini", kind="executableCode", json={"executableCode": {"code": "1"}}
            ),
            {"executableCode": {"code": "1"}},
        ),
    ],
)
def test_every_part_has_its_word(part: Part, expected: Json) -> None:
    """Each part is written with the signature it came with, and with no other."""
    assert part_of(part) == expected


@pytest.mark.parametrize(
    "part",
    [
        Text(text=""),
        Reasoning(text="hm"),
        RawPart(provider="gemini", kind="groundingMetadata", json={"webSearchQueries": ["x"]}),
        RawPart(provider="gemini", kind="odd", json="no object"),
    ],
)
def test_what_says_nothing_to_gemini_is_not_sent(part: Part) -> None:
    """Empty text is refused, thoughts count only with a signature, metadata is no content."""
    assert written(message("assistant", part)) == []


@pytest.mark.parametrize(
    "part",
    [
        RawPart(provider="openai", kind="web_search_call"),
        ToolCall(id="s", name="web_search", kind="server"),
        Reasoning(text="hm", opaque=FOREIGN),
    ],
)
def test_what_another_provider_understands_is_told_and_not_sent(part: Part) -> None:
    """Foreign data never refuses a conversation that moves here; the caller is warned."""
    omissions = Omissions("error")
    assert contents_of([message("assistant", part)], omissions, model=MODEL) == []
    assert len(omissions.warnings) == 1


def test_media_that_gemini_cannot_read_refuses_the_request() -> None:
    """An answer that ignores a picture would be worse than none."""
    blob = Media(kind="image", mime="image/png", source=Source(blob="ab" * 32))
    with pytest.raises(UnsupportedError, match="send its bytes or a URL"):
        written(message("user", blob))


def test_results_are_one_turn_in_the_order_of_their_calls() -> None:
    """Gemini matches results by place, since its own calls have no ids."""
    turns = written(
        message(
            "assistant",
            ToolCall(id="segue-1", name="a", opaque=SIGNED),
            ToolCall(id="segue-2", name="b"),
        ),
        message("tool", ToolResult(tool_call_id="segue-2", name="", content="two")),
        message("tool", ToolResult(tool_call_id="segue-1", name="a", content='{"n": 1}')),
        message("user", Text(text="and now?")),
    )
    assert turns[1:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "a", "response": {"n": 1}}},
                {"functionResponse": {"name": "b", "response": {"output": "two"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and now?"}]},
    ]


def test_a_failed_tool_says_so() -> None:
    """Gemini reads failures under `error`; ids of other providers go along."""
    turns = written(
        message("tool", ToolResult(tool_call_id="t9", name="a", content="no", is_error=True))
    )
    response = {"id": "t9", "name": "a", "response": {"error": "no"}}
    assert turns == [{"role": "user", "parts": [{"functionResponse": response}]}]


@pytest.mark.parametrize(
    ("args", "expected"),
    [("", {}), ("[1]", {"output": [1]}), ('{"a', {"output": '{"a'})],
)
def test_arguments_are_always_an_object(args: str, expected: Json) -> None:
    """What a model wrote that is no object is kept inside one."""
    call = part_of(ToolCall(id="", name="a", args_json=args))["functionCall"]
    assert call == {"name": "a", "args": expected}


def test_the_first_call_of_another_model_is_signed_for_it() -> None:
    """Gemini 3 refuses unsigned calls, so a run that moves here needs the vendor's own word."""
    (turn,) = written(
        message(
            "assistant",
            Text(text="well"),
            ToolCall(id="t1", name="a"),
            ToolCall(id="t2", name="b"),
        )
    )
    parts = turn["parts"]
    assert isinstance(parts, list)
    assert [part.get("thoughtSignature") for part in parts] == [
        None,
        "skip_thought_signature_validator",
        None,
    ]


def test_a_call_with_its_own_signature_keeps_it() -> None:
    """The signature goes back on exactly the part that had it."""
    (turn,) = written(message("assistant", ToolCall(id="t1", name="a", opaque=SIGNED)))
    assert turn["parts"] == [
        {"functionCall": {"id": "t1", "name": "a", "args": {}}, "thoughtSignature": SIGNATURE}
    ]
