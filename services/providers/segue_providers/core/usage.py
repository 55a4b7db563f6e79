"""Usage estimates: how many tokens is a text, when no provider counted them?"""

import math
from typing import Final

import msgspec

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from segue_contracts.v1.values import UsageTotals

CHARS_PER_TOKEN: Final = 3.6
"""English prose and code, averaged over the public tokenizers."""


def tokens(characters: int) -> int:
    """Estimate the tokens of a number of characters."""
    return math.ceil(characters / CHARS_PER_TOKEN)


def estimate(request: ChatRequest, answer: ChatMessage) -> Usage:
    """Estimate the usage of a call that no provider counted."""
    said = sum(map(_characters, request.messages))
    offered = sum(len(msgspec.json.encode(tool)) for tool in request.tools)
    asked = tokens(said + offered)
    return Usage(
        input_total=asked,
        input_uncached=asked,
        output_total=tokens(_characters(answer)),
        source="estimated",
    )


def totals(usage: Usage, *, cost_usd: str, model_calls: int) -> UsageTotals:
    """Return what a step counts of a call's usage.

    Args:
        usage: The call's usage.
        cost_usd: What it cost, a decimal string.
        model_calls: How many models were called.
    """
    return UsageTotals(
        input_tokens=usage.input_total,
        output_tokens=usage.output_total,
        cost_usd=cost_usd,
        model_calls=model_calls,
    )


def _characters(message: ChatMessage) -> int:
    return sum(map(_length, message.parts))


def _length(part: Part) -> int:
    match part:
        case Text(text=text) | Refusal(text=text):
            return len(text)
        case Reasoning(text=text, summary=summary):
            return len(text) + sum(map(len, summary))
        case ToolCall(name=name, args_json=args):
            return len(name) + len(args)
        case ToolResult(content=content):
            return len(content)
        case _:
            return 0
