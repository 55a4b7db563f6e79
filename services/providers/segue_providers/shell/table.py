"""The table: what does the shipped price table know of a model?

It is for ranking and filtering; what a call costs is computed elsewhere, from its usage.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from segue_providers.core.catalogue import Facts
from segue_providers.core.configuration import Price, Provider, Wire

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice
    from genai_prices.types import Provider as Vendor

_VENDORS: Final[Mapping[Wire, str]] = {
    "anthropic": "anthropic",
    "gemini": "google",
    "openai-chat": "openai",
    "openai-responses": "openai",
}
_KEPT: Final = 4_096


class Table:
    """Looks models up; the table is read on first use.

    Args:
        now_ms: The time, since prices change; what was looked up once stays.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._found: dict[tuple[str, str, str, str], Facts | None] = {}

    def look(self, name: str, provider: Provider, model: str) -> Facts | None:
        """Return what is known of a model; None when it is not in the table.

        Args:
            name: The provider's configured name.
            provider: Its configuration.
            model: The provider's own name of the model.
        """
        if provider.wire == "offline" or not model:
            return None
        place = (name, provider.wire, provider.base_url, model)
        if place not in self._found:
            if len(self._found) >= _KEPT:  # callers choose the names of models
                self._found.clear()
            self._found[place] = self._find(name, provider, model)
        return self._found[place]

    def _find(self, name: str, provider: Provider, model: str) -> Facts | None:
        vendor = vendor_of(name, provider)
        found = None if vendor is None else model_of(vendor, (model,))
        if found is None:
            return None
        at = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        return Facts(context_window=found.context_window or 0, price=_price(found.get_prices(at)))


def vendor_of(name: str, provider: Provider) -> "Vendor | None":
    """Return whose models a provider has: of a compatible server by its address, or its name.

    Args:
        name: The provider's configured name.
        provider: Its configuration.
    """
    from genai_prices.data_snapshot import (  # noqa: PLC0415 - loading it takes 0.2 s
        find_provider_by_id,
        get_snapshot,
    )

    table = get_snapshot()
    if not provider.base_url or provider.wire != "openai-chat":
        return find_provider_by_id(table.providers, _VENDORS[provider.wire])
    try:
        return table.find_provider(None, None, provider.base_url)
    except LookupError:
        return find_provider_by_id(table.providers, name)


def model_of(vendor: "Vendor", names: Iterable[str]) -> "ModelInfo | None":
    """Return the first model of a vendor that one of the names means; None when none does."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - as above

    table = get_snapshot()
    for name in filter(None, names):
        try:
            return table.find_provider_model(name.removeprefix("models/"), vendor, None, None)[1]
        except LookupError:
            continue
    return None


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
