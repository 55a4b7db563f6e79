"""Usage: what has an attempt used so far?"""

from decimal import Decimal, InvalidOperation

from segue_contracts.v1.chat import ChatResponse
from segue_contracts.v1.values import Failure, UsageTotals


def added(one: UsageTotals, other: UsageTotals) -> UsageTotals:
    """Return the sum of two totals; costs are decimal, so that no cent is lost."""
    return UsageTotals(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost_usd=f"{_usd(one.cost_usd) + _usd(other.cost_usd):f}",
        model_calls=one.model_calls + other.model_calls,
        tool_calls=one.tool_calls + other.tool_calls,
    )


def usage_of(response: ChatResponse) -> UsageTotals:
    """Return what one answer used, with the tries that failed before it."""
    if response.attempts:
        return UsageTotals(
            input_tokens=sum(one.usage.input_total for one in response.attempts),
            output_tokens=sum(one.usage.output_total for one in response.attempts),
            cost_usd=f"{sum((_usd(one.cost.usd) for one in response.attempts), Decimal(0)):f}",
            model_calls=max(sum(one.usage.output_total > 0 for one in response.attempts), 1),
        )
    return UsageTotals(
        input_tokens=response.usage.input_total,
        output_tokens=response.usage.output_total,
        cost_usd=response.cost.usd,
        model_calls=1,
    )


def usage_of_failure(failure: Failure) -> UsageTotals:
    """Return what the tries used of a call that nobody answered, as its refusal tells."""
    told = failure.details
    counts = [told.get(name, "0") for name in ("inputTokens", "outputTokens", "modelCalls")]
    asked, answered, calls = (int(one) if one.isdigit() else 0 for one in counts)
    return UsageTotals(
        input_tokens=asked,
        output_tokens=answered,
        cost_usd=f"{_usd(told.get('costUsd', '0')):f}",
        model_calls=calls,
    )


def _usd(text: str) -> Decimal:
    """Read a cost; what is no number counts as nothing, for the ledger is elsewhere."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)
