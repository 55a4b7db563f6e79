"""Are tokens estimated over everything that was said?"""

import pytest

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    OutputFormat,
    OutputOptions,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from segue_providers.core.usage import estimate, expected_input, tokens


@pytest.mark.parametrize(("characters", "expected"), [(0, 0), (1, 1), (36, 10), (37, 11)])
def test_tokens_are_rounded_up(characters: int, expected: int) -> None:
    """A token has 3.6 characters."""
    assert tokens(characters) == expected


@pytest.mark.parametrize(
    ("part", "characters"),
    [
        (Text(text="x" * 36), 36),
        (Refusal(text="x" * 36), 36),
        (Reasoning(text="x" * 18, summary=["x" * 9, "x" * 9]), 36),
        (ToolCall(id="1", name="x" * 6, args_json="x" * 30), 36),
        (ToolResult(tool_call_id="1", name="n", content="x" * 36), 36),
        (RawPart(provider="p", kind="k"), 0),
    ],
)
def test_every_kind_of_part_counts(part: Part, characters: int) -> None:
    """What a model would read or write is counted, on both sides."""
    message = ChatMessage(role="user", parts=[part])
    usage = estimate(ChatRequest(messages=[message, message]), message)

    assert usage.input_total == usage.input_uncached == tokens(2 * characters)
    assert usage.output_total == tokens(characters)
    assert usage.source == "estimated"


def test_offered_tools_are_read_too() -> None:
    """A tool's description and schema are part of the input."""
    request = ChatRequest(messages=[], tools=[Tool(name="n", description="x" * 100)])

    assert estimate(request, ChatMessage(role="assistant", parts=[])).input_total > tokens(100)


def test_input_is_expected_with_all_that_is_sent() -> None:
    """36 letters are 10 tokens, a schema of 36 bytes 10 more, a message 4."""
    form = OutputFormat(type="json_schema", json_schema={"a": "x" * 28})
    request = ChatRequest(
        messages=[ChatMessage(role="user", parts=[Text(text="x" * 36)])],
        output=OutputOptions(format=form),
    )
    assert expected_input(request) == 24


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        (Media(kind="image", mime="image/png", source=Source(data_b64="x" * 4_000)), 1_600),
        (Media(kind="audio", mime="audio/wav", source=Source(data_b64="x" * 4_000)), 6),
        (Media(kind="document", mime="text/csv", source=Source(data_b64="x" * 4_000)), 150),
        (Media(kind="video", mime="video/mp4", source=Source(url="https://x")), 8_000),
    ],
)
def test_media_is_expected_by_its_kind_and_size(media: Media, expected: int) -> None:
    """What a model makes of text says nothing about pictures."""
    request = ChatRequest(messages=[ChatMessage(role="user", parts=[media])])
    assert expected_input(request) == expected + 4
