"""The table: what does the shipped price table know of a model?

It is for ranking and filtering; what a call costs is computed elsewhere, from its usage.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from segue_providers.core.catalogue import Facts
from segue_providers.core.configuration import Price, Provider
from segue_providers.core.references import VENDOR

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice
    from genai_prices.types import Provider as Vendor

_VENDORS: Final = {"anthropic": "anthropic", "gemini": "google", "openai-responses": "openai"}


class Table:
    """Looks models up; the table is read on first use.

    Args:
        now_ms: The time, since prices change; what was looked up once stays.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._found = lru_cache(maxsize=4_096)(self._find)

    def look(self, name: str, provider: Provider, model: str) -> Facts | None:
        """Return what is known of a model; None when it is not in the table.

        Args:
            name: The provider's configured name.
            provider: Its configuration.
            model: The provider's own name of the model.
        """
        if provider.wire == "offline" or not model:
            return None
        return self._found(name, provider.wire, provider.base_url, model)

    def _find(self, name: str, wire: str, base_url: str, model: str) -> Facts | None:
        vendor = _vendor(name, wire, base_url)
        found = None if vendor is None else vendor.find_model(model)
        if found is None:
            return None
        at = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        return Facts(context_window=found.context_window or 0, price=_price(_prices(found, at)))


def _vendor(name: str, wire: str, base_url: str) -> "Vendor | None":
    """Return whose models a provider has: by its wire, else by its address, else by its name."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - loading it takes 0.2 s

    vendors = {one.id: one for one in get_snapshot().providers}
    if wire in _VENDORS:
        return vendors.get(_VENDORS[wire])
    if not base_url:
        return vendors.get(VENDOR)
    at = (one for one in vendors.values() if re.match(one.api_pattern, base_url))
    return next(at, None) or vendors.get(name)


def _prices(model: "ModelInfo", at: datetime) -> "ModelPrice":
    return model.get_prices(at)


def _price(prices: "ModelPrice") -> Price:
    read, write = prices.cache_read_mtok, prices.cache_write_mtok
    return Price(
        input=_usd(prices.input_mtok) or Decimal(0),
        output=_usd(prices.output_mtok) or Decimal(0),
        cache_read=_usd(read),
        cache_write=_usd(write),
    )


def _usd(price: object) -> Decimal | None:
    """Return a price for a million tokens, of tiers the lowest."""
    if price is None or isinstance(price, Decimal):
        return price
    base = getattr(price, "base", None)
    return base if isinstance(base, Decimal) else None
