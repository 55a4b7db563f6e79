"""Are tokens estimated over everything that was said?"""

import pytest

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from segue_contracts.v1.values import UsageTotals
from segue_providers.core.usage import estimate, tokens, totals


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


def test_a_step_counts_totals() -> None:
    """Tokens, cost and calls are carried over."""
    usage = Usage(input_total=7, output_total=3)

    assert totals(usage, cost_usd="0.1", model_calls=1) == UsageTotals(
        input_tokens=7, output_tokens=3, cost_usd="0.1", model_calls=1
    )
