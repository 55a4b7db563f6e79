"""Fingerprints: which requests are the same, and which answers may stand for another's?"""

import hashlib
from typing import Final, Literal

import msgspec
from msgspec import structs

from segue_contracts.v1.chat import (
    CacheOptions,
    ChatRequest,
    ChatResponse,
    Cost,
    Refusal,
    StopReason,
    StreamOptions,
    Timing,
    Usage,
)

_COMPLETE: Final[frozenset[StopReason]] = frozenset({"end", "stop_sequence", "tool_use"})

_encoder: Final = msgspec.json.Encoder(order="sorted")


def fingerprint(request: ChatRequest) -> str:
    """Return the hash of all of a request that changes its answer: SHA-256, hexadecimal.

    Who asks, until when, how it is delivered and who pays are left out.
    """
    asked = structs.replace(
        request,
        id="",
        run="",
        step="",
        attempt=0,
        deadline_ms=0,
        stream=StreamOptions(),
        cache=CacheOptions(),
        budget_usd="",
        allowances=[],
        metadata={},
        route=structs.replace(request.route, sticky_key=""),
    )
    return hashlib.sha256(_encoder.encode(asked)).hexdigest()


def cache_key(request: ChatRequest) -> str:
    """Return under what a request's answer is cached; empty when it wants no cache.

    A key of the caller's own stands for whatever it is used with.
    """
    if request.cache.mode == "auto":
        return f"request-{fingerprint(request)}"
    if request.cache.mode == "explicit" and request.cache.key:
        return f"key-{hashlib.sha256(request.cache.key.encode()).hexdigest()}"
    return ""


def may_be_shared(response: ChatResponse) -> bool:
    """Tell whether an answer is whole and no refusal, so that it may stand for another's."""
    refused = any(isinstance(part, Refusal) for part in response.message.parts)
    return response.stop.reason in _COMPLETE and not refused


def shared(
    response: ChatResponse, request: ChatRequest, how: Literal["exact", "coalesced"]
) -> ChatResponse:
    """Return somebody else's answer as the answer to a request, which costs nothing.

    Args:
        response: The answer.
        request: Whom it answers.
        how: Where it comes from.
    """
    return structs.replace(
        response,
        id=request.id,
        model_requested=request.model,
        usage=Usage(),
        cost=Cost(),
        timing=Timing(),
        attempts=[],
        rate_limit={},
        cached=how,
    )
