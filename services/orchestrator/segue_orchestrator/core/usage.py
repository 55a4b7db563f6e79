"""Usage: what did attempts use together?"""

from dataclasses import dataclass
from decimal import Decimal

from segue_contracts.v1.values import UsageTotals

_NOTHING = UsageTotals()


@dataclass(slots=True, kw_only=True)
class Tally:
    """A running sum."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)
    model_calls: int = 0
    tool_calls: int = 0

    def add(self, more: UsageTotals) -> None:
        """Count what an attempt used."""
        if more == _NOTHING:
            return
        self.input_tokens += more.input_tokens
        self.output_tokens += more.output_tokens
        self.usd += Decimal(more.cost_usd)
        self.model_calls += more.model_calls
        self.tool_calls += more.tool_calls

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def totals(self) -> UsageTotals:
        """Return the sum as it travels."""
        return UsageTotals(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=decimal_text(self.usd),
            model_calls=self.model_calls,
            tool_calls=self.tool_calls,
        )


def added(total: UsageTotals | None, more: UsageTotals) -> UsageTotals | None:
    """Return the sum of two usages; None for nothing."""
    if more == _NOTHING:
        return total
    tally = Tally()
    for usage in (total or _NOTHING, more):
        tally.add(usage)
    return tally.totals()


def beyond(usage: UsageTotals, told: UsageTotals | None) -> UsageTotals:
    """Return what of a usage was not told before."""
    if told is None:
        return usage
    return UsageTotals(
        input_tokens=max(usage.input_tokens - told.input_tokens, 0),
        output_tokens=max(usage.output_tokens - told.output_tokens, 0),
        cost_usd=decimal_text(max(Decimal(usage.cost_usd) - Decimal(told.cost_usd), Decimal(0))),
        model_calls=max(usage.model_calls - told.model_calls, 0),
        tool_calls=max(usage.tool_calls - told.tool_calls, 0),
    )


def decimal_text(amount: Decimal) -> str:
    """Return an amount of money as it travels, with twelve decimals at most."""
    text = f"{amount:.12f}".rstrip("0").rstrip(".")
    return text or "0"
