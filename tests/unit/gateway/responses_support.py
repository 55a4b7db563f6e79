"""Support: bodies and answers of the responses interface."""

import json
from typing import Any

import pytest

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Opaque,
    Part,
    Reasoning,
    Stop,
    StopReason,
    Usage,
)
from segue_gateway.core.openai.faults import Fault, FaultError
from segue_gateway.core.openai.responses_request import (
    ResponsesBody,
    responses_body,
    responses_request,
)

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SAY = {"type": "custom", "name": "say", "description": "Says."}
SIGNED = Opaque(provider="claude", kind="signature", data_b64="c2ln")
THOUGHT = Reasoning(text="hm", opaque=[SIGNED])


def body_of(**fields: Any) -> ResponsesBody:
    """Read a body."""
    return responses_body(json.dumps({"model": "claude", "input": "Hello!", **fields}).encode())


def asked(inbox: str = "", **fields: Any) -> ChatRequest:
    """Translate a body."""
    return responses_request(body_of(**fields), id="r1", inbox=inbox)


def refused(**fields: Any) -> Fault:
    """Translate a body that is refused."""
    with pytest.raises(FaultError) as caught:
        asked(**fields)
    return caught.value.fault


def response(*parts: Part, reason: StopReason = "end") -> ChatResponse:
    """Return an answer of the router."""
    return ChatResponse(
        provider="claude",
        model_served="sonnet",
        message=ChatMessage(role="assistant", parts=list(parts)),
        stop=Stop(reason=reason),
        usage=Usage(input_total=10, cache_read=4, output_total=5, output_reasoning=3),
    )
