"""Responses, answered: how is a whole answer told?"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec
from msgspec import to_builtins

from segue_contracts.v1.chat import (
    ChatRequest,
    ChatResponse,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from segue_gateway.core.openai.faults import Fault
from segue_gateway.core.openai.figures import beside, check, id_of, model_of, responses_usage
from segue_gateway.core.openai.responses_request import ResponsesBody, sealed

Json = dict[str, Any]

_CODES: Final = frozenset({"rate_limit_exceeded"})
_CUT: Final = frozenset({"max_tokens", "context_window", "pause"})
_FILTERED: Final = frozenset({"refusal", "content_filter"})


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer repeats of its question."""

    request: ChatRequest
    """As the router was asked."""
    body: ResponsesBody
    """As the client asked."""
    created: int
    """When, Unix seconds."""


def whole(response: ChatResponse, asked: Asked) -> Json:
    """Return an answer as a response.

    Raises:
        FaultError: What the model wrote is no answer.
    """
    check(response)
    reason = _cut_by(response)
    told = frame_of(asked, status="incomplete" if reason else "completed")
    return told | {
        "model": model_of(response, asked.request),
        "output": items(response.message.parts, asked),
        "incomplete_details": {"reason": reason} if reason else None,
        "usage": responses_usage(response.usage),
        "service_tier": response.service_tier or "default",
        "segue": beside(response),
    }


def failed(asked: Asked, fault: Fault) -> Json:
    """Return the response of a stream that broke off."""
    # The interface knows few codes here; the event before this one tells ours.
    code = fault.code if fault.code in _CODES else "server_error"
    error = {"code": code, "message": fault.message}
    return frame_of(asked, status="failed") | {"error": error}


def frame_of(asked: Asked, *, status: str) -> Json:
    """Return a response without its answer."""
    body = asked.body
    return {
        "id": f"resp_{id_of(asked.request.id)}",
        "object": "response",
        "created_at": asked.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": to_builtins(body.reasoning) if body.reasoning else {},
        "store": False,
        "temperature": body.temperature,
        "text": to_builtins(body.text) if body.text else {"format": {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def items(parts: Sequence[Part], asked: Asked) -> list[Json]:
    """Return the items of an answer: what can be told of its parts, in order."""
    told = [part for part in parts if isinstance(part, Text | Refusal | Reasoning | ToolCall)]
    return [_item(part, place, asked) for place, part in enumerate(told)]


def _item(part: Text | Refusal | Reasoning | ToolCall, place: int, asked: Asked) -> Json:
    match part:
        case Text(text=text):
            return message_item(place, asked, [output_text(text)], status="completed")
        case Refusal(text=text):
            refusal = {"type": "refusal", "refusal": text}
            return message_item(place, asked, [refusal], status="completed")
        case Reasoning():
            return reasoning_item(place, asked, summary_of(part, asked)) | _sealed(part, asked)
        case ToolCall():
            item = call_item(place, asked, part, status="completed")
            kept = {"extra_content": {"segue": {"part": to_builtins(part)}}} if part.opaque else {}
            return item | kept
        case _:
            assert_never(part)


def _sealed(part: Reasoning, asked: Asked) -> Json:
    return {"encrypted_content": sealed(part)} if asked.body.carries_reasoning else {}


def summary_of(part: Reasoning, asked: Asked) -> list[str]:
    """Return what is shown of reasoning: nothing unless it was asked for."""
    if not asked.body.summarised:
        return []
    return part.summary or ([part.text] if part.text else [])


def item_id(kind: str, place: int, asked: Asked) -> str:
    """Return an item's id, the same in the stream and in the whole."""
    return f"{kind}_{id_of(asked.request.id)}{place:02d}"


def output_text(text: str) -> Json:
    """Return text as the content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(place: int, asked: Asked, content: list[Json], *, status: str) -> Json:
    """Return a message."""
    return {
        "id": item_id("msg", place, asked),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def reasoning_item(place: int, asked: Asked, summary: Sequence[str]) -> Json:
    """Return how the model reasoned."""
    told = [{"type": "summary_text", "text": text} for text in summary]
    return {"id": item_id("rs", place, asked), "type": "reasoning", "summary": told}


def call_item(place: int, asked: Asked, call: ToolCall, *, status: str) -> Json:
    """Return a call of a tool."""
    told = {"call_id": call.id, "name": call.name, "status": status}
    if call.kind == "custom":
        head = {"id": item_id("ctc", place, asked), "type": "custom_tool_call"}
        return head | told | {"input": call.args_json}
    head = {"id": item_id("fc", place, asked), "type": "function_call"}
    return head | told | {"arguments": call.args_json}


def _cut_by(response: ChatResponse) -> str:
    """Return why an answer is not the whole of what the model had to say; empty when it is."""
    reason = response.stop.reason
    if reason in _CUT:
        return "max_output_tokens"
    declined = any(isinstance(part, Refusal) for part in response.message.parts)
    return "content_filter" if reason in _FILTERED and not declined else ""
