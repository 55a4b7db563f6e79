"""Filters: why can a model not serve a request, whatever its rank?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from segue_contracts.v1.chat import ChatRequest, Media, RouteOptions
from segue_providers.core.catalogue import Card, Catalogue, Entry
from segue_providers.core.fleet import Fleet
from segue_providers.core.health import Vital

_MILLION = 1_000_000


class InvalidRouteError(ValueError):
    """The request asks for a route that cannot be; the message names the field and a way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a decision depends on beside request, catalogue and fleet."""

    now_ms: int
    """The time, Unix milliseconds."""
    draw: float = 0.5
    """A random number from 0 to 1."""
    namespace: str = "default"
    """Whose request it is."""
    input_tokens: int = 0
    """Tokens of input, estimated; 0 when unknown."""
    budget_left_usd: float | None = None
    """US dollars that may still be spent; None for no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a request demands of whoever serves it, read once."""

    allow: frozenset[str]
    deny: frozenset[str]
    needed: frozenset[str]
    """Capabilities."""
    max_price: float | None
    max_first_token_ms: int
    output_tokens: int
    """Tokens of output that are asked for; 0 when the request does not say."""
    allowed_here: frozenset[str]
    """What the namespace allows; empty for all."""
    denied_here: frozenset[str]
    """What it denies."""


def demands_of(request: ChatRequest, catalogue: Catalogue, namespace: str) -> Demands:
    """Read what a request demands.

    Raises:
        InvalidRouteError: One of its options cannot be.
    """
    route, rules = request.route, catalogue.rules(namespace)
    asked = request.output.max_tokens
    return Demands(
        allow=_lower(route.allow),
        deny=_lower(route.deny),
        needed=frozenset(_needed(request)),
        max_price=_max_price(route),
        max_first_token_ms=route.max_first_token_ms,
        output_tokens=asked if isinstance(asked, int) else 0,
        allowed_here=_lower(rules.allow),
        denied_here=_lower(rules.deny),
    )


def unfit(entry: Entry, card: Card, demands: Demands, moment: Moment) -> str:
    """Return why a model cannot serve a request at any time; empty when it can."""
    return (
        entry.found.obstacle
        or _unwanted(card, demands)
        or _unable(card, demands, moment.input_tokens)
        or _too_dear(card, demands, moment)
        or ("" if card.target.model else "has no default_model, and the request names none of its")
    )


def too_slow(vital: Vital | None, limit: int) -> str:
    """Return why a model is too slow for a request; empty when it is not, or was not measured."""
    if vital is None or vital.first_token_ms <= limit:
        return ""
    took = f"its first token takes about {vital.first_token_ms:.0f} ms"
    return f"{took}, above route.max_first_token_ms {limit}"


def ruled_out(
    entry: Entry, card: Card, demands: Demands, *, fleet: Fleet, moment: Moment
) -> tuple[str, int]:
    """Return why a model cannot serve a request, and until when if it passes; empty when it can."""
    reason = unfit(entry, card, demands, moment)
    limit = demands.max_first_token_ms
    if limit and not reason:
        reason = too_slow(fleet.vital(card.target), limit)
    if reason:
        return reason, 0
    barred = fleet.barred(card.target, now_ms=moment.now_ms)
    return ("", 0) if barred is None else (barred.reason, barred.until_ms)


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _needed(request: ChatRequest) -> Iterator[str]:
    """Yield the capabilities that a request asks for, and those that its content needs."""
    yield from request.route.require
    if request.tools:
        yield "tools"
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Media):
                yield _sense(part.mime)


def _sense(mime: str) -> str:
    kind = mime.partition("/")[0]
    return {"image": "vision", "audio": "audio", "video": "video"}.get(kind, "documents")


def _max_price(route: RouteOptions) -> float | None:
    if not route.max_price_usd:
        return None
    try:
        price = Decimal(route.max_price_usd)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise InvalidRouteError(
            f"route.max_price_usd: {route.max_price_usd!r} is no amount; write a decimal like '15'"
        )
    return float(price)


def _unwanted(card: Card, demands: Demands) -> str:
    names = card.names
    if not (demands.allow or demands.deny or demands.allowed_here or demands.denied_here):
        return ""
    if demands.allow and names.isdisjoint(demands.allow):
        return "not in route.allow"
    if not names.isdisjoint(demands.deny):
        return "in route.deny"
    if demands.allowed_here and names.isdisjoint(demands.allowed_here):
        return "not allowed in this namespace"
    return "" if names.isdisjoint(demands.denied_here) else "denied in this namespace"


def _unable(card: Card, demands: Demands, input_tokens: int) -> str:
    if not demands.needed <= card.capabilities:
        return f"lacks {', '.join(sorted(demands.needed - card.capabilities))}"
    wanted = input_tokens + demands.output_tokens
    if card.context_window and wanted > card.context_window:
        return f"its context window of {card.context_window} is less than about {wanted} tokens"
    if card.max_output and demands.output_tokens > card.max_output:
        return f"writes {card.max_output} tokens at most, {demands.output_tokens} are asked for"
    return ""


def _too_dear(card: Card, demands: Demands, moment: Moment) -> str:
    limit, left = demands.max_price, moment.budget_left_usd
    if limit is not None and card.price is None:
        return "its price is unknown, and route.max_price_usd is set"
    if limit is not None and card.usd_out > limit:
        dear = f"${card.usd_out:g} for a million tokens of output"
        return f"costs {dear}, above route.max_price_usd {limit:g}"
    if left is None:
        return ""
    usd = moment.input_tokens * card.usd_in / _MILLION
    if usd > left:
        return f"its input alone costs about ${usd:.4f}, and ${max(left, 0):.4f} are left"
    return ""
