"""Prices: what did a call cost, and what can it cost at most?"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from segue_contracts.v1.metering import Cost, Usage
from segue_providers.core.configuration import Price, Provider
from segue_providers.core.ledger import plain
from segue_providers.core.pricing import (
    CACHE_READ,
    CACHE_WRITE,
    INPUT,
    OUTPUT,
    Rate,
    Tariff,
    charge,
    most,
    tariff,
)
from segue_providers.shell.table import model_of, vendor_of
from segue_shared.clock import Clock, SystemClock

if TYPE_CHECKING:
    from genai_prices import types

CONFIGURED: Final = "configuration"
"""The price version of prices that stand in the configuration."""

_MILLION: Final = 1_000_000
_FRESH_MS: Final = 60_000
"""How long a tariff holds: some change by date, some by the hour of the day."""
_KEPT: Final = 1_024
_FREE: Final = tariff((), version="")
_STANDARD: Final = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
"""Tiers that cost what a model's price says."""

_Wanted = tuple[str, str, str, str, str]
"""Provider, model, model that served, tier and speed."""


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """What a call cost, as far as it is known."""

    cost: Cost
    """The cost; nothing, with an empty `price_version`, when there is no price."""
    warning: str = ""
    """One sentence for the caller when the cost is not the whole truth; empty otherwise."""


class Prices:
    """The prices of all configured models.

    Those in the configuration win; all others are from the price table that this release ships.

    Args:
        providers: The configured providers by name.
        clock: Tells which prices hold.
    """

    def __init__(self, providers: Mapping[str, Provider], *, clock: Clock | None = None) -> None:
        self._providers = providers
        self._clock = clock or SystemClock()
        self._tariffs: dict[_Wanted, tuple[int, Tariff | None]] = {}

    def cost(
        self,
        provider: str,
        model: str,
        *,
        usage: Usage,
        service_tier: str = "",
        served: str = "",
    ) -> Priced:
        """Return what a call cost.

        Args:
            provider: The provider's configured name.
            model: The model asked for, in the provider's word.
            usage: What the call used.
            service_tier: The tier that served.
            served: The model that served, in the provider's word; empty when it did not say.
        """
        of = self._tariff((provider, model, served, service_tier, _speed(usage)))
        if of is None:
            return Priced(cost=Cost(), warning=_unknown(provider, model))
        cost = Cost(usd=plain(charge(of, usage)), price_version=of.version)
        return Priced(cost=cost, warning=of.remark)

    def most(
        self,
        provider: str,
        model: str,
        *,
        input_tokens: int,
        max_output: int,
        service_tier: str = "",
    ) -> Decimal | None:
        """Return what a call can cost at most, US dollars; None when there is no price.

        Tools that the provider runs and charges by the call are not in it.

        Args:
            provider: The provider's configured name.
            model: The model, in the provider's word.
            input_tokens: Tokens of input at most.
            max_output: Tokens of output at most, reasoning included.
            service_tier: The tier asked for.
        """
        of = self._tariff((provider, model, "", service_tier, ""))
        return most(of, input_tokens=input_tokens, max_output=max_output) if of else None

    def _tariff(self, wanted: _Wanted) -> Tariff | None:
        now_ms = self._clock.now_ms()
        kept = self._tariffs.get(wanted)
        if kept is not None and kept[0] == now_ms // _FRESH_MS:
            return kept[1]
        if len(self._tariffs) >= _KEPT:  # callers choose the names of models
            self._tariffs.clear()
        found = self._find(wanted, now_ms)
        self._tariffs[wanted] = (now_ms // _FRESH_MS, found)
        return found

    def _find(self, wanted: _Wanted, now_ms: int) -> Tariff | None:
        name, model, *_ = wanted
        provider = self._providers.get(name)
        if provider is None:
            return None
        if provider.wire == "offline":
            return _FREE
        known = provider.models.get(model)
        if known is not None and known.price is not None:
            return tariff(_configured(known.price), version=CONFIGURED)
        return _from_table(provider, wanted, datetime.fromtimestamp(now_ms / 1000, UTC))


def _unknown(provider: str, model: str) -> str:
    return (
        f"What `{model}` of `{provider}` costs is not known, so it counts as nothing;"
        f" set `providers.{provider}.models.{model}.price` in the configuration."
    )


def _speed(usage: Usage) -> str:
    """Return the speed that was charged, which Claude tells with its usage."""
    speed = usage.raw.get("speed") if isinstance(usage.raw, dict) else None
    return speed if isinstance(speed, str) else ""


def _configured(price: Price) -> Iterator[Rate]:
    """Return the rates of the configuration; what has no price of its own is plain input."""
    prices = (
        ("input_tokens", INPUT, price.input),
        ("output_tokens", OUTPUT, price.output),
        ("cache_read_tokens", CACHE_READ, price.cache_read),
        ("cache_write_tokens", CACHE_WRITE, price.cache_write),
    )
    for unit, covers, usd in prices:
        if usd is not None:
            yield Rate(unit=unit, covers=covers, per=_MILLION, price=usd)


def _version() -> str:
    from genai_prices import __version__  # noqa: PLC0415 - as the table

    return f"genai-prices {__version__}"


def _from_table(provider: Provider, wanted: _Wanted, now: datetime) -> Tariff | None:
    name, model, served, tier, speed = wanted
    vendor = vendor_of(name, provider)
    found = None if vendor is None else model_of(vendor, (served, model))
    if vendor is None or found is None:
        return None
    own = any(found is one for one in vendor.models)
    context = _context(tier, speed) if own else {}
    rates = tuple(_rates(found.get_prices(now, context or None)))
    if not any(rate.covers == INPUT for rate in rates):
        return None
    return tariff(rates, version=_version(), remark=_remark(found, tier))


def _context(tier: str, speed: str) -> dict[str, str]:
    context = {"service_tier": tier, "speed": speed}
    if tier == "batch":
        context["processing"] = "batch"
    return {name: value for name, value in context.items() if value}


def _remark(model: "types.ModelInfo", tier: str) -> str:
    variants = (variant.when for variant in model.price_variants or ())
    if tier in _STANDARD or any(tier in when.values() for when in variants):
        return ""
    return f"The price table knows no tier `{tier}` of `{model.id}`; its standard price counts."


def _rates(prices: "types.ModelPrice") -> Iterator[Rate]:
    from genai_prices.data_units import unit_data  # noqa: PLC0415 - as the table
    from genai_prices.types import TieredPrices  # noqa: PLC0415 - as the table

    units = {unit["price_key"]: (name, unit) for name, unit in unit_data.items()}
    for key, price in vars(prices).items():
        if price is None or key not in units:
            continue
        name, unit = units[key]
        tiered = isinstance(price, TieredPrices)
        yield Rate(
            unit=name,
            covers=frozenset(unit["dimensions"].items()),
            per=unit["per"],
            price=price.base if tiered else price,
            tiers=tuple((tier.start, tier.price) for tier in price.tiers) if tiered else (),
        )
