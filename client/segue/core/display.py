"""Figures for people: how are durations, tokens and costs written?"""

from decimal import Decimal, InvalidOperation
from typing import Final

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_THOUSAND: Final = 10_000
_MILLION: Final = 1_000_000
_CENT: Final = Decimal("0.01")


def duration(milliseconds: int) -> str:
    """Write a duration: `850 ms`, `12.3 s`, `2m05s`, `1h02m`."""
    milliseconds = max(0, milliseconds)
    if milliseconds < _SECOND:
        return f"{milliseconds} ms"
    if milliseconds < _MINUTE:
        return f"{milliseconds // 100 / 10:.1f} s"
    if milliseconds < _HOUR:
        return f"{milliseconds // _MINUTE}m{milliseconds % _MINUTE // _SECOND:02d}s"
    return f"{milliseconds // _HOUR}h{milliseconds % _HOUR // _MINUTE:02d}m"


def count(number: int) -> str:
    """Write a number of tokens: `9,876`, `12.3k`, `4.5M`."""
    if number < _THOUSAND:
        return f"{number:,}"
    if number < _MILLION:
        return f"{number // 100 / 10:.1f}k"
    return f"{number // 100_000 / 10:.1f}M"


def cost(usd: str) -> str:
    """Write a cost in US dollars; below a cent with four decimals."""
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        return f"? ({usd})"
    if not amount:
        return "$0"
    return f"${amount:.4f}" if abs(amount) < _CENT else f"${amount:.2f}"


def add_costs(left: str, right: str) -> str:
    """Add two costs, decimal strings in US dollars; what is no number counts as 0."""
    return str(_decimal(left) + _decimal(right))


def plural(number: int, noun: str) -> str:
    """Write a number with its noun: `1 step`, `2 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)
