"""Attempts: what is told of all tries of a call in the end?"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import UnsetType, structs

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import (
    CallAttempt,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    ErrorClass,
    Stop,
)
from segue_contracts.v1.values import UsageTotals
from segue_providers.core.assembly import Assembly
from segue_providers.core.catalogue import Target
from segue_providers.core.ledger import plain
from segue_providers.core.llm_task import NO_PROVIDER
from segue_providers.core.offline import NAME
from segue_providers.core.retrying import PASSING
from segue_providers.core.routing import Decision


def unanswerable(decision: Decision) -> Refused:
    """Return the refusal of a request that nobody here can serve."""
    return Refused(
        code="provider_failed",
        message=decision.way_out,
        retryable=decision.retry_at_ms > 0,
        details={"reason": NO_PROVIDER},
    )


def all_failed(
    tries: Sequence[CallAttempt],
    error: ErrorClass,
    message: str,
    *,
    retry_after_s: float | None = None,
) -> Refused:
    """Return the refusal of a request that nobody answered.

    Args:
        tries: All tries, in order; none when nobody could even be asked.
        error: The class of the error that ended the call.
        message: What it says.
        retry_after_s: Seconds after which it may be asked again; None when nobody said.
    """
    told = [f"{one.provider} {_told(one)}" for one in tries]
    if not tries or tries[-1].error != error:
        told.append(message)
    errors = {error, *(one.error for one in tries)}
    used = spent(tries)
    return Refused(
        code="budget_exceeded" if error == "budget_exceeded" else "provider_failed",
        message=f"no provider answered: {'; '.join(told)}",
        retryable=bool(errors & PASSING),
        details={
            "error": error,
            "costUsd": used.cost_usd,
            "inputTokens": str(used.input_tokens),
            "outputTokens": str(used.output_tokens),
            "modelCalls": str(used.model_calls),
            **({} if retry_after_s is None else {"retryAfterMs": str(round(retry_after_s * 1000))}),
        },
    )


def spent(tries: Sequence[CallAttempt]) -> UsageTotals:
    """Return what tries used in all, those that failed too."""
    return UsageTotals(
        input_tokens=sum(one.usage.input_total for one in tries),
        output_tokens=sum(one.usage.output_total for one in tries),
        cost_usd=plain(sum((Decimal(one.cost.usd) for one in tries), Decimal(0))),
        model_calls=sum(one.usage.output_total > 0 and one.provider != NAME for one in tries),
    )


def spent_of(refused: Refused) -> UsageTotals:
    """Return what the tries used of a request that `all_failed` refused."""
    told = refused.details
    return UsageTotals(
        input_tokens=int(told.get("inputTokens", 0)),
        output_tokens=int(told.get("outputTokens", 0)),
        cost_usd=told.get("costUsd", "0"),
        model_calls=int(told.get("modelCalls", 0)),
    )


def answered_by(
    target: Target, assembly: Assembly, record: CallAttempt, *, message: ChatMessage, key: str
) -> ChatResponse:
    """Return the answer of one try.

    Args:
        target: Who was asked.
        assembly: What was said.
        record: What it took.
        message: The whole answer.
        key: Where the key that was used comes from.
    """
    began = assembly.began
    return ChatResponse(
        provider=target.provider,
        message=message,
        stop=Stop(reason="other") if assembly.stopped is None else assembly.stopped.stop,
        model_served=began.model or target.model,
        key_ref=key,
        service_tier=assembly.service_tier,
        usage=record.usage,
        cost=record.cost,
        warnings=list(began.warnings),
        rate_limit=began.rate_limit,
        provider_ids=began.ids,
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
        tries: All tries in order, the one that answered last.
        first_ms: When the first of the answer was there, since that try began.
        total_ms: How long everything took.
    """
    every = (*decision.impossible, *tries)
    failed = [f"{one.provider} {_told(one)}; answered by {response.provider}" for one in tries[:-1]]
    timing = structs.replace(response.timing, first_token_ms=first_ms, total_ms=total_ms)
    return structs.replace(
        response,
        id=request.id,
        model_requested=request.model,
        attempts=[structs.replace(one, number=n) for n, one in enumerate(every, start=1)],
        warnings=[*decision.warnings, *failed, *_unstreamed(request), *response.warnings],
        timing=timing,
    )


def _told(attempt: CallAttempt) -> str:
    if isinstance(attempt.error, UnsetType):
        return "answered"
    return f"failed with {attempt.error} ({attempt.message})"


def _unstreamed(request: ChatRequest) -> list[str]:
    stream = request.stream
    if stream.on and not stream.to and not (request.run and request.step):
        return ["nothing was streamed: deltas go to a step, and `run` or `step` is empty"]
    return []
