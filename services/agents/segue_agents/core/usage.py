"""Usage: what has an attempt used so far?"""

from decimal import Decimal, InvalidOperation

from segue_contracts.v1.chat import ChatResponse
from segue_contracts.v1.values import UsageTotals


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
    """Return what one answer used."""
    return UsageTotals(
        input_tokens=response.usage.input_total,
        output_tokens=response.usage.output_total,
        cost_usd=response.cost.usd,
        model_calls=1,
    )


def _usd(text: str) -> Decimal:
    """Read a cost; what is no number counts as nothing, for the ledger is elsewhere."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)
