"""Pricing: what does a call cost under a model's tariff?

All arithmetic is decimal. Usage counts totals, and tariffs price parts of them: a token that was
read from a cache is charged as such, and not again as input.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from segue_contracts.v1.metering import CacheWrites, Usage

Dimensions = frozenset[tuple[str, str]]

INPUT: Final[Dimensions] = frozenset({("family", "tokens"), ("direction", "input")})
OUTPUT: Final[Dimensions] = frozenset({("family", "tokens"), ("direction", "output")})
CACHE_READ: Final[Dimensions] = INPUT | {("token_type", "cache_read")}
CACHE_WRITE: Final[Dimensions] = INPUT | {("token_type", "cache_write")}

_MODALITIES: Final = {
    "text": "text",
    "image": "image",
    "document": "image",
    "audio": "audio",
    "video": "video",
}
_TOOLS: Final = {
    "web_search": "web_searches",
    "web_search_requests": "web_searches",
    "file_search": "storage_searches",
    "code_execution": "code_executions",
    "code_interpreter": "code_executions",
}
"""Tools that providers run, by the units in which they are charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The price of one unit."""

    unit: str
    """What is counted, such as `cache_read_tokens`."""
    covers: Dimensions
    """What of a call it stands for; the more it names, the finer it is."""
    per: int
    """So many cost `price`."""
    price: Decimal
    """US dollars."""
    tiers: tuple[tuple[int, Decimal], ...] = ()
    """Other prices, ascending: with more than so many tokens of input, all cost so much."""

    def at(self, input_tokens: int) -> Decimal:
        """Return the price in a call with so much input."""
        price = self.price
        for start, reached in self.tiers:
            price = reached if input_tokens > start else price
        return price


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """All that a model's provider charges for."""

    rates: tuple[Rate, ...]
    """The finest first."""
    finer: tuple[tuple[int, ...], ...]
    """For each rate the places of those that charge a part of the same."""
    version: str
    """The price table it is from."""
    remark: str = ""
    """What the caller should know of it."""


def tariff(rates: Iterable[Rate], *, version: str, remark: str = "") -> Tariff:
    """Order rates so that each charges only what no finer one charges."""
    ordered = tuple(sorted(rates, key=lambda rate: -len(rate.covers)))
    finer = tuple(
        tuple(place for place, other in enumerate(ordered) if rate.covers < other.covers)
        for rate in ordered
    )
    return Tariff(rates=ordered, finer=finer, version=version, remark=remark)


def charge(of: Tariff, usage: Usage) -> Decimal:
    """Return what a call cost, US dollars."""
    counts = counted(usage)
    left = list[int]()
    cost = Decimal(0)
    for rate, finer in zip(of.rates, of.finer, strict=True):
        rest = counts.get(rate.unit, 0)
        for place in finer:
            rest -= left[place]
        rest = max(0, rest)  # parts that count more than their whole are charged all the same
        left.append(rest)
        if rest:
            cost += rate.at(usage.input_total) * rest / rate.per
    return cost


def most(of: Tariff, *, input_tokens: int, max_output: int) -> Decimal:
    """Return what a call can cost at most, apart from tools that its provider runs.

    Args:
        of: The tariff.
        input_tokens: Tokens of input at most.
        max_output: Tokens of output at most.
    """
    dearest = (
        _dearest(of, INPUT, input_tokens) * input_tokens
        + _dearest(of, OUTPUT, input_tokens) * max_output
    )
    calls = (rate.at(input_tokens) / rate.per for rate in of.rates if rate.unit == "requests")
    return dearest + sum(calls, Decimal(0))


def counted(usage: Usage) -> dict[str, int]:
    """Return usage in the units of tariffs."""
    writes = usage.cache_write
    counts = {
        "input_tokens": usage.input_total,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": written(writes),
        "cache_write_5m_tokens": writes.five_minutes,
        "cache_write_1h_tokens": writes.one_hour,
        "output_tokens": usage.output_total,
        "output_reasoning_tokens": usage.output_reasoning,
        "requests": 1,
    }
    if usage.input_by_modality or usage.output_by_modality:
        counts |= _by_modality(usage)
    for tool, calls in usage.server_tools.items():
        if unit := _TOOLS.get(tool):
            counts[unit] = counts.get(unit, 0) + calls
    return counts


def written(writes: CacheWrites) -> int:
    """Return all tokens that were written to a cache."""
    return (
        writes.five_minutes
        + writes.thirty_minutes
        + writes.one_hour
        + writes.twelve_hours
        + writes.other
    )


def _dearest(of: Tariff, covers: Dimensions, input_tokens: int) -> Decimal:
    """Return the highest price of a single token of this kind, at any size up to this."""
    prices = (
        price / rate.per
        for rate in of.rates
        if rate.covers >= covers
        for price in (rate.price, *(tier for start, tier in rate.tiers if input_tokens > start))
    )
    return max(prices, default=Decimal(0))


def _by_modality(usage: Usage) -> dict[str, int]:
    given = _merged(usage.input_by_modality)
    cached = _cached(usage, given)
    return {
        **{f"input_{name}_tokens": count for name, count in given.items()},
        **{f"cache_{name}_read_tokens": count for name, count in cached.items()},
        **{
            f"output_{name}_tokens": count
            for name, count in _merged(usage.output_by_modality).items()
        },
    }


def _merged(tokens: Mapping[str, int]) -> dict[str, int]:
    """Return tokens by the modalities of tariffs, which price a document as images."""
    merged = dict[str, int]()
    for name, count in tokens.items():
        if known := _MODALITIES.get(name):
            merged[known] = merged.get(known, 0) + count
    return merged


def _cached(usage: Usage, given: Mapping[str, int]) -> dict[str, int]:
    """Return the cached tokens of each modality, as far as the provider tells.

    Where it does not tell, as few as can be, since those are the cheapest.
    """
    if not usage.cache_read:
        return {}
    details = usage.raw.get("cacheTokensDetails") if isinstance(usage.raw, dict) else None
    if isinstance(details, list):
        return _merged({str(one["modality"]).lower(): one["tokenCount"] for one in details})
    return {
        name: max(0, usage.cache_read + count - usage.input_total) for name, count in given.items()
    }
