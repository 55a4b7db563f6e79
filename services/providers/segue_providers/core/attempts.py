"""Attempts: what follows from a provider's error, and what is told of all tries in the end?"""

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import CallAttempt, ChatRequest, ChatResponse, ErrorClass
from segue_providers.core.llm_task import NO_PROVIDER
from segue_providers.core.route import Decision

_LASTING: Final[frozenset[ErrorClass]] = frozenset(
    {"bad_request", "context_window", "content_policy", "cancelled", "timeout_total"}
)
"""Errors of the request itself: another provider would meet them too."""
_PASSING: Final[frozenset[ErrorClass]] = frozenset(
    {
        "rate_limited",
        "overloaded",
        "server_error",
        "timeout_connect",
        "timeout_first_token",
        "timeout_idle",
        "timeout_total",
        "transport",
        "truncated",
    }
)
"""Errors after which the same request may succeed later."""


def goes_on(error: ErrorClass) -> bool:
    """Tell whether the next provider is worth asking after an error."""
    return error not in _LASTING


def unanswerable(way_out: str) -> Refused:
    """Return the refusal of a request that nobody here can serve."""
    return Refused(code="provider_failed", message=way_out, details={"reason": NO_PROVIDER})


def all_failed(tries: Sequence[CallAttempt]) -> Refused:
    """Return the refusal of a request that every provider failed."""
    told = "; ".join(f"{one.provider} {_told(one)}" for one in tries)
    return Refused(
        code="provider_failed",
        message=f"no provider answered: {told}",
        retryable=any(one.error in _PASSING for one in tries),
        details={"error": str(tries[-1].error)},
    )


def settled(
    response: ChatResponse,
    request: ChatRequest,
    *,
    decision: Decision,
    tries: Sequence[CallAttempt],
    first_ms: float,
    total_ms: float,
) -> ChatResponse:
    """Complete a provider's answer with how it came about.

    Args:
        response: What the provider answered.
        request: What was asked.
        decision: How it was routed.
        tries: The providers that failed before, in order.
        first_ms: When the first of the answer was there, since the request.
        total_ms: How long everything took.
    """
    won = CallAttempt(
        number=0,
        provider=response.provider,
        model=response.model_served,
        total_ms=total_ms - sum(one.total_ms for one in tries),
        usage=response.usage,
        cost=response.cost,
    )
    every = (*decision.impossible, *tries, won)
    failed = [f"{one.provider} {_told(one)}; answered by {response.provider}" for one in tries]
    return structs.replace(
        response,
        id=request.id,
        model_requested=request.model,
        attempts=[structs.replace(one, number=n) for n, one in enumerate(every, start=1)],
        warnings=[*decision.warnings, *failed, *_unstreamed(request), *response.warnings],
        timing=structs.replace(response.timing, first_token_ms=first_ms, total_ms=total_ms),
    )


def _told(attempt: CallAttempt) -> str:
    return f"failed with {attempt.error} ({attempt.message})"


def _unstreamed(request: ChatRequest) -> list[str]:
    if request.stream.on and not (request.run and request.step):
        return ["nothing was streamed: deltas go to a step, and `run` or `step` is empty"]
    return []
