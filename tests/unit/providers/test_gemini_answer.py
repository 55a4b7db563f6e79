"""Are the chunks of Gemini's answer understood?"""

import base64
from typing import Any

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
    Source,
    Stop,
    Text,
    ToolCall,
    Usage,
)
from segue_providers.core.answer import Alive, AnswerEvent, Began, Metered, Stopped
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.gemini_answer import Reader, usage_of
from segue_providers.core.wires.gemini_contents import contents_of
from segue_providers.core.wires.omissions import Omissions

RAW = b"\xff\xfe\xfbsigned"
SIGNATURE = base64.b64encode(RAW).decode()
URL_SAFE = base64.urlsafe_b64encode(RAW).decode()
SIGNED = [Opaque(provider="gemini", kind="thought_signature", data_b64=SIGNATURE)]


def chunk(*parts: dict[str, Any], finish: str = "", **more: object) -> dict[str, Any]:
    """Return a piece of an answer."""
    ends = {"finishReason": finish} if finish else {}
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, **ends}], "responseId": "r1", **more}


def read(*chunks: dict[str, Any]) -> list[AnswerEvent]:
    """Return all events of an answer."""
    reader = Reader("x")
    return [event for one in chunks for event in reader.read(one)]


def assembled(*chunks: dict[str, Any]) -> Assembly:
    """Return the answer that chunks amount to."""
    assembly = Assembly()
    for event in read(*chunks):
        assembly.take(event)
    return assembly


def stop(*chunks: dict[str, Any]) -> Stop:
    """Return why an answer ended."""
    stopped = assembled(*chunks).stopped
    assert stopped is not None
    return stopped.stop


def test_the_beginning_tells_who_answers() -> None:
    """Model, id, tier and warnings come once, first."""
    reader = Reader("x", warnings=("mind",))
    reader.service_tier = "flex"
    events = [*reader.read(chunk(modelVersion="gemini-x")), *reader.read(chunk())]
    assert events == [
        Began(model="gemini-x", ids={"response": "r1"}, service_tier="flex", warnings=("mind",))
    ]


def test_an_empty_piece_is_a_sign_of_life() -> None:
    """It says nothing of the answer, not even that it began."""
    assert read({}) == [Alive()]


@given(st.lists(st.text(), min_size=1))
def test_pieces_of_text_are_one_part(pieces: list[str]) -> None:
    """No letter is lost between chunks."""
    answer = assembled(*(chunk({"text": one}) for one in pieces), chunk(finish="STOP"))
    text = "".join(pieces)
    assert answer.message().parts == ([Text(text=text)] if text else [])


def test_thoughts_and_text_are_parts_of_their_own() -> None:
    """Thoughts are reasoning, wherever they come."""
    answer = assembled(
        chunk({"text": "a", "thought": True}),
        chunk({"text": "b", "thought": True}, {"text": "c"}),
        chunk({"text": "d"}, finish="STOP"),
    )
    assert answer.message().parts == [Reasoning(text="ab"), Text(text="cd")]


@pytest.mark.parametrize("text", ["end", ""])
def test_a_signature_stays_on_exactly_the_part_that_had_it(text: str) -> None:
    """Signed text is never joined with other text, even when it is empty."""
    answer = assembled(
        chunk({"text": "first"}),
        chunk({"text": text, "thoughtSignature": URL_SAFE}),
        chunk({"text": "last"}, finish="STOP"),
    )
    assert answer.message().parts == [
        Text(text="first"),
        Text(text=text, opaque=SIGNED),
        Text(text="last"),
    ]


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    """Ids differ within an answer, and by their prefix between answers."""
    call = {"functionCall": {"name": "look", "args": {"a_b": "ü"}}}
    answer = assembled(chunk(call, call, finish="STOP"))
    args = '{"a_b":"ü"}'
    assert answer.message().parts == [
        ToolCall(id="segue-x-1", name="look", args_json=args),
        ToolCall(id="segue-x-2", name="look", args_json=args),
    ]


def test_a_call_keeps_its_id_and_signature() -> None:
    """What Gemini names is not renamed."""
    call = {"functionCall": {"id": "f1", "name": "look"}, "thoughtSignature": URL_SAFE}
    assert assembled(chunk(call, finish="STOP")).message().parts == [
        ToolCall(id="f1", name="look", opaque=SIGNED)
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"inlineData": {"mimeType": "image/png", "data": URL_SAFE}},
            Media(kind="image", mime="image/png", source=Source(data_b64=SIGNATURE)),
        ),
        (
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x"}},
            Media(kind="document", mime="application/pdf", source=Source(url="https://x")),
        ),
        (
            {"thought": True, "executableCode": {"code": "1"}},
            RawPart(
                provider="gemini",
                kind="executableCode",
                json={"thought": True, "executableCode": {"code": "1"}},
            ),
        ),
        ({"thought": True}, RawPart(provider="gemini", kind="", json={"thought": True})),
    ],
)
def test_other_parts_come_whole(part: dict[str, Any], expected: Part) -> None:
    """Media is media; what has no neutral form is kept as it is."""
    assert assembled(chunk(part, finish="STOP")).message().parts == [expected]


def test_an_answer_goes_back_as_it_came() -> None:
    """Reading and writing an answer loses no signature and moves none."""
    parts = [
        {"text": "well"},
        {"text": "so", "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "a", "args": {"n": 1}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "b", "args": {}}},
        {"executableCode": {"code": "1"}},
    ]
    message = assembled(chunk(*parts, finish="STOP")).message()
    told = ChatMessage(role="assistant", parts=message.parts)
    (turn,) = contents_of([told], Omissions("error"), model="gemini-3.8-flash")
    assert turn == {"role": "model", "parts": parts}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "max_tokens"),
        ("CONTINUATION", "pause"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "malformed"),
        ("MISSING_THOUGHT_SIGNATURE", "malformed"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_every_reason_to_stop_is_understood(raw: str, reason: str) -> None:
    """Gemini's own word is always kept."""
    found = stop(chunk({"text": "a"}, finish=raw))
    assert (found.reason, found.raw) == (reason, raw)


def test_stopping_after_a_call_means_the_tool_is_wanted() -> None:
    """Gemini has no reason of its own for that."""
    call = chunk({"functionCall": {"name": "a"}})
    assert stop(call, chunk(finish="STOP")).reason == "tool_use"
    assert stop(call, chunk(finish="MAX_TOKENS")).reason == "max_tokens"


def test_a_blocked_prompt_is_filtered() -> None:
    """There is no candidate then, and still an end."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "unsafe"}}
    assert stop(blocked) == Stop(
        reason="content_filter", raw="SAFETY", category="SAFETY", explanation="unsafe"
    )


def test_feedback_without_a_reason_ends_nothing() -> None:
    """Ratings of a prompt are no block."""
    assert assembled({"promptFeedback": {"safetyRatings": []}}).stopped is None


def test_what_ends_without_a_reason_is_not_whole() -> None:
    """Only Gemini's own word proves an answer whole."""
    reader = Reader("x")
    assert not any(isinstance(one, Stopped) for one in reader.read(chunk({"text": "a"})))
    assert not reader.whole
    assert isinstance(list(reader.read(chunk(finish="STOP")))[-1], Stopped)
    assert reader.whole


def test_where_it_searched_is_kept_and_counted() -> None:
    """Grounding stands beside the content, and its searches cost money."""
    end = chunk(finish="STOP", usageMetadata={"promptTokenCount": 1})
    grounding = {"webSearchQueries": ["a", "b"]}
    end["candidates"][0] |= {"groundingMetadata": grounding, "citationMetadata": {}}
    answer = assembled(chunk({"text": "x"}), end)
    assert answer.message().parts[1:] == [
        RawPart(provider="gemini", kind="groundingMetadata", json=grounding)
    ]
    assert answer.usage is not None
    assert answer.usage.server_tools == {"web_search": 2}


def test_usage_adds_up_as_gemini_counts() -> None:
    """Thoughts are beside the answer, tool results beside the prompt, cached tokens within it."""
    counts = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 3,
        "toolUsePromptTokenCount": 20,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 90},
            {"modality": "AUDIO", "tokenCount": 10},
        ],
        "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}, {"modality": "TEXT"}],
    }
    assert usage_of(counts) == Usage(
        input_total=120,
        input_uncached=60,
        cache_read=60,
        output_total=10,
        output_reasoning=3,
        input_by_modality={"text": 110, "audio": 10},
        output_by_modality={"image": 7},
        tool_prompt=20,
        raw=counts,
    )


def test_usage_is_cumulative() -> None:
    """The latest counts; what a later chunk leaves out did not change."""
    events = read(
        chunk({"text": "a"}, usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 1}),
        chunk({"text": "b"}, usageMetadata={"candidatesTokenCount": 5}),
    )
    told = [event.usage for event in events if isinstance(event, Metered)]
    assert [(one.input_total, one.output_total) for one in told] == [(9, 1), (9, 5)]
