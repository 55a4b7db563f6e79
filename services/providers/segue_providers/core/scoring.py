"""Scoring: in which order does a policy put those who can serve?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from segue_providers.core.catalogue import Card, Entry
from segue_providers.core.configuration import Policy
from segue_providers.core.health import Vital

EXPLORED: Final = 0.05
"""Share of calls that `latency` sends to somebody else, so that its figures stay true."""

_MILLION: Final = 1_000_000
_WORST_SHARE: Final = 0.05
_HASH_BITS: Final = 64


class Draw:
    """One random number, used for several independent choices in a row.

    After each choice the number is stretched to the whole range again, so it stays as random.
    """

    __slots__ = ("_at",)

    def __init__(self, at: float) -> None:
        self._at = min(max(at, 0.0), 1 - 2**-53)

    def chance(self, share: float) -> bool:
        """Return True in so large a share of draws."""
        if self._at < share:
            self._at = min(self._at / share, 1 - 2**-53)
            return True
        self._at = min((self._at - share) / (1 - share), 1 - 2**-53) if share < 1 else 0.0
        return False

    def index(self, weights: Sequence[float]) -> int:
        """Choose one by its weight, which is more than 0 for some."""
        total = sum(weights)
        for index, weight in enumerate(weights[:-1]):
            if weight and self.chance(min(weight / total, 1.0)):
                return index
            total -= weight
        return len(weights) - 1


@dataclass(slots=True)
class Rival:
    """One who can serve."""

    entry: Entry
    card: Card
    vital: Vital | None
    score: float = 0.0
    """The lowest goes first."""
    reason: str = ""
    """Why it ranks where it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a ranking depends on beside the rivals."""

    input_tokens: int
    output_tokens: int
    """Tokens of output expected."""
    streamed: bool
    now_ms: int
    sticky_key: str
    in_flight: Callable[[str], int]
    """Calls in flight by provider."""
    draw: Draw


def rank(policy: Policy, rivals: list[Rival], ask: Ask) -> list[Rival]:
    """Score the rivals and return them in order; equals stay as they are, by priority."""
    ordered = _POLICIES[policy](rivals, ask)
    if ask.sticky_key and policy in _SLACK:
        _stick(ordered, ask.sticky_key, slack=_SLACK[policy])
    return ordered


def _by_priority(rivals: list[Rival], _ask: Ask) -> list[Rival]:
    for one in rivals:
        one.score = one.entry.settings.priority
        one.reason = "by priority"
    return sorted(rivals, key=_score)


def _by_weight(rivals: list[Rival], ask: Ask) -> list[Rival]:
    draw = Draw(_hashed(ask.sticky_key)) if ask.sticky_key else ask.draw
    left = [one for one in rivals if one.entry.settings.weight > 0]
    never = [one for one in rivals if one.entry.settings.weight <= 0]
    ordered = []
    while left:
        ordered.append(left.pop(draw.index([one.entry.settings.weight for one in left])))
    ordered += never
    for place, one in enumerate(ordered):
        one.score = float(place)
        one.reason = f"by weight {one.entry.settings.weight:g}"
    return ordered


def _by_latency(rivals: list[Rival], ask: Ask) -> list[Rival]:
    times = [_expected_ms(one.vital, ask) for one in rivals]
    best = min((time for time in times if time), default=0.0)
    for one, time in zip(rivals, times, strict=True):
        _score_latency(one, time, best=best)
    ordered = sorted(rivals, key=_score)
    if len(ordered) > 1 and ask.draw.chance(EXPLORED):
        chosen = 1 + ask.draw.index([1.0] * (len(ordered) - 1))
        ordered.insert(0, ordered.pop(chosen))
        ordered[0].reason += ", tried to keep the figures true"
    return ordered


def _score_latency(one: Rival, time: float, *, best: float) -> None:
    if time:
        one.score = time
        one.reason = f"about {time:.0f} ms"
        return
    # Unmeasured goes first, but not with every call until its first answer is there.
    busy = one.vital.in_flight if one.vital else 0
    one.score = max(best, 1.0) * (0.99 + busy)
    one.reason = "not measured yet"


def _expected_ms(vital: Vital | None, ask: Ask) -> float:
    """Return the time to expect, longer the more calls fail; 0 while unknown."""
    if vital is None:
        return 0.0
    measured = vital.first_token_ms if ask.streamed else vital.latency_ms
    return measured / max(1 - vital.window.fault_rate(ask.now_ms), _WORST_SHARE)


def _by_cost(rivals: list[Rival], ask: Ask) -> list[Rival]:
    for one in rivals:
        card = one.card
        usd = ask.input_tokens * card.usd_in + ask.output_tokens * card.usd_out
        one.score = usd / _MILLION
        one.reason = f"about ${one.score:.6f}" if card.price else "price unknown, so last"
    return sorted(rivals, key=lambda one: (one.card.price is None, one.score))


def _by_load(rivals: list[Rival], ask: Ask) -> list[Rival]:
    for one in rivals:
        busy = ask.in_flight(one.entry.name)
        one.score = busy / one.entry.settings.max_in_flight
        one.reason = f"{busy} calls in flight"
    return sorted(rivals, key=_score)


def _stick(ordered: list[Rival], key: str, *, slack: tuple[float, float]) -> None:
    """Put the one first that a key always leads to, where its prompt cache is worth it.

    A key keeps its provider when others come and go (rendezvous hashing: Thaler and Ravishankar,
    1998), unless that one does much worse than the best.
    """
    times, more = slack
    limit = ordered[0].score * times + more
    fit = [
        index for index, one in enumerate(ordered) if one.card.reads_cheaper and one.score <= limit
    ]
    if not fit:
        return
    chosen = max(fit, key=lambda index: _hashed(key, *ordered[index].card.target))
    ordered.insert(0, ordered.pop(chosen))
    ordered[0].reason += ", where this sticky key leads"


def _hashed(*parts: str) -> float:
    """Return a number from 0 to 1 that is always the same for the same texts."""
    digest = blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / (1 << _HASH_BITS)


def _score(one: Rival) -> float:
    return one.score


_POLICIES: Final[Mapping[Policy, Callable[[list[Rival], Ask], list[Rival]]]] = MappingProxyType(
    {
        "priority": _by_priority,
        "weighted": _by_weight,
        "latency": _by_latency,
        "cost": _by_cost,
        "least_busy": _by_load,
    }
)
_SLACK: Final[Mapping[Policy, tuple[float, float]]] = MappingProxyType(
    {"latency": (2.0, 0.0), "least_busy": (1.0, 0.25)}
)
"""How much worse than the best a sticky key's choice may be, as a factor and an addition."""
