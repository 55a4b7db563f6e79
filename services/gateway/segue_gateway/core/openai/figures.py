"""Figures: how are usage, cost and the end of an answer told in OpenAI's words?"""

from collections.abc import Mapping
from typing import Any, Final

from segue_contracts.v1.chat import ChatRequest, ChatResponse, StopReason, Usage
from segue_contracts.v1.subjects import short_hash
from segue_gateway.core.openai.faults import FaultError, broken

Json = dict[str, Any]

_FINISHED: Final[Mapping[StopReason, str]] = {
    "end": "stop",
    "stop_sequence": "stop",
    "other": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "context_window": "length",
    "pause": "length",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}
"""Every reason but `malformed`, which is no answer."""


def id_of(request: str) -> str:
    """Return the part of an answer's ids that its request decides."""
    return short_hash(request)


def chat_usage(usage: Usage) -> Json:
    """Return usage as chat completions tell it."""
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": written(usage),
        },
        "completion_tokens_details": {"reasoning_tokens": usage.output_reasoning},
    }


def responses_usage(usage: Usage) -> Json:
    """Return usage as responses tell it."""
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": written(usage),
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.output_reasoning},
        "total_tokens": usage.input_total + usage.output_total,
    }


def written(usage: Usage) -> int:
    """Return the tokens that were written to a prompt cache, however long they are kept."""
    kept = usage.cache_write
    return kept.five_minutes + kept.thirty_minutes + kept.one_hour + kept.twelve_hours + kept.other


def finished(response: ChatResponse, *, refused: bool) -> str:
    """Return the finish reason.

    Args:
        response: The answer.
        refused: Whether it says in its own words that it declines.

    Raises:
        FaultError: What the model wrote is no answer.
    """
    check(response)
    if refused and response.stop.reason == "refusal":
        return "stop"
    return _FINISHED[response.stop.reason]


def check(response: ChatResponse) -> None:
    """Check that what the model wrote is an answer.

    Raises:
        FaultError: It is not.
    """
    if response.stop.reason == "malformed":
        raise _malformed(response)


def _malformed(response: ChatResponse) -> FaultError:
    why = response.stop.explanation or response.stop.raw
    return broken("malformed_answer", f"{response.provider} wrote a malformed answer ({why})")


def beside(response: ChatResponse) -> Json:
    """Return what is told of an answer beyond what OpenAI tells."""
    stop = response.stop
    return {
        "provider": response.provider,
        "cost_usd": response.cost.usd,
        "cached": response.cached,
        "attempts": len(response.attempts),
        "stop": {"reason": stop.reason, "raw": stop.raw},
        "warnings": response.warnings,
    }


def reply_headers(response: ChatResponse) -> dict[str, str]:
    """Return the headers of an answer."""
    return {"X-Segue-Provider": response.provider, "X-Segue-Cost-Usd": response.cost.usd}


def model_of(response: ChatResponse, request: ChatRequest) -> str:
    """Return the model that answered, in the provider's word where it said one."""
    return response.model_served or request.model
