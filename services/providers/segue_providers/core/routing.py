"""Routing: who shall answer a request, in which order, and why not the others?"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from segue_contracts.v1.chat import CallAttempt, ChatRequest, ErrorClass
from segue_contracts.v1.telemetry import RouteCandidate
from segue_providers.core.catalogue import Card, Catalogue, Entry, Target
from segue_providers.core.configuration import Policy
from segue_providers.core.filters import (
    Demands,
    InvalidRouteError,
    Moment,
    demands_of,
    ruled_out,
    unfit,
)
from segue_providers.core.fleet import Fleet
from segue_providers.core.preferences import Wishes, wishes_of
from segue_providers.core.scoring import Ask, Draw, Rival, rank

NOT_NEEDED: Final = "stands in only when no model provider can serve"
PREFERRED: Final = "preferred by the caller"

ENDING: Final[frozenset[ErrorClass]] = frozenset({"bad_request", "cancelled", "budget_exceeded"})
"""Errors of the request itself, after which nobody else is asked."""
_OPT_IN: Final[frozenset[ErrorClass]] = frozenset({"content_policy"})
"""Errors after which only a chain made for them leads on."""
_POLICIES: Final[tuple[str, ...]] = get_args(Policy)
_USUAL_OUTPUT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Where to go on after which errors."""

    on: frozenset[ErrorClass]
    """The errors meant; empty for all."""
    names: tuple[str, ...]
    """Whom it names, in order."""
    catalogue: Catalogue
    demands: Demands
    moment: Moment

    def targets(self) -> Iterator[Target]:
        """Yield who is fit to serve of those that it names."""
        for name in self.names:
            for target in self.catalogue.resolve(name):
                entry = self.catalogue.entries[target.provider]
                if not unfit(entry, self.catalogue.card(target), self.demands, self.moment):
                    yield target


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the router made of a request."""

    policy: Policy
    """The policy that ranked them."""
    targets: tuple[Target, ...]
    """Who may serve, best first; empty when nobody can."""
    candidates: tuple[RouteCandidate, ...]
    """Everybody considered, in order, those ruled out last."""
    requested: tuple[str, ...] = ()
    """The caller's preference, as it was given."""
    impossible: tuple[CallAttempt, ...] = ()
    """Preferred providers that could not even be tried."""
    warnings: tuple[str, ...] = ()
    """What the caller should know, whoever answers."""
    chains: tuple[Chain, ...] = ()
    """Where to go on after errors, the request's own first."""
    windows: tuple[int, ...] = ()
    """The context window of each target; 0 when unknown."""
    retry_at_ms: int = 0
    """When somebody who is ruled out now may serve again; 0 when nobody will by waiting."""
    way_out: str = ""
    """Why nobody can serve, and what to set; empty when somebody can."""


@dataclass(slots=True)
class _Seat:
    """One who was considered."""

    entry: Entry
    card: Card
    wanted: bool
    reason: str = ""
    """Why it is ruled out; empty when it is not."""
    until_ms: int = 0
    leads: bool = True
    """False while its breaker lets only some calls go there first, and not this one."""


def decide(request: ChatRequest, catalogue: Catalogue, fleet: Fleet, moment: Moment) -> Decision:
    """Filter out who cannot serve a request and rank the others.

    Args:
        request: What is asked.
        catalogue: What there is.
        fleet: How it fares.
        moment: The time, a random number, and whose request it is.

    Raises:
        InvalidRouteError: One of the request's options cannot be.
    """
    policy = _policy(request, catalogue)
    demands = demands_of(request, catalogue, moment.namespace)
    wishes = wishes_of(request, catalogue)
    seats = _seats(wishes, catalogue, demands, fleet=fleet, moment=moment)
    _set_stand_ins_aside(seats)
    ask = _ask(request, demands, fleet, moment)
    for seat in seats:
        seat.leads = bool(seat.reason) or _leads(seat, fleet, ask)
    rivals = _ranked(policy, seats, fleet, ask)
    return Decision(
        policy=policy,
        targets=tuple(one.card.target for one in rivals),
        candidates=(*map(_eligible, rivals), *(_excluded(one) for one in seats if one.reason)),
        requested=wishes.requested,
        impossible=_impossible(seats, rivals),
        warnings=(*wishes.warnings, *_fallbacks(seats, rivals)),
        chains=_chains(request, catalogue, demands, moment),
        windows=tuple(one.card.context_window for one in rivals),
        retry_at_ms=min((one.until_ms for one in seats if one.until_ms), default=0),
        way_out="" if rivals else _way_out(seats),
    )


def after(decision: Decision, error: ErrorClass, visited: Collection[Target]) -> Target | None:
    """Return whom to ask after an error; None when nobody else shall be.

    Args:
        decision: How the request was routed.
        error: The error of whoever was asked last.
        visited: Everybody who was asked, or turned out not to be available; never returned again.
    """
    if error in ENDING:
        return None
    for chain in decision.chains:
        if not chain.on or error in chain.on:
            return _first(chain.targets(), visited)
    if error in _OPT_IN:
        return None
    if error == "context_window":
        return _first(_larger(decision, visited), visited)
    return _first(decision.targets, visited)


def _first(targets: Iterable[Target], visited: Collection[Target]) -> Target | None:
    return next((target for target in targets if target not in visited), None)


def _larger(decision: Decision, visited: Collection[Target]) -> list[Target]:
    """Return the targets that take more than all that were asked; all when that is unknown."""
    pairs = list(zip(decision.targets, decision.windows, strict=True))
    tried = [window for target, window in pairs if target in visited]
    if not all(tried):
        return list(decision.targets)
    return [target for target, window in pairs if window > max(tried, default=0)]


def _policy(request: ChatRequest, catalogue: Catalogue) -> Policy:
    name = request.route.policy or catalogue.configuration.policy
    if name not in _POLICIES:
        known = ", ".join(_POLICIES)
        raise InvalidRouteError(f"route.policy: {name!r} is no policy; there are {known}")
    return cast("Policy", name)


def _seats(
    wishes: Wishes, catalogue: Catalogue, demands: Demands, *, fleet: Fleet, moment: Moment
) -> list[_Seat]:
    """Return everybody to consider: first whom the caller prefers, then all others."""
    taken = {target.provider for target in wishes.targets}
    others = [one.default for one in catalogue.entries.values() if one.name not in taken]
    wanted = len(wishes.targets)
    seats = []
    for place, target in enumerate((*wishes.targets, *others)):
        entry, card = catalogue.entries[target.provider], catalogue.card(target)
        reason, until = ruled_out(entry, card, demands, fleet=fleet, moment=moment)
        seats.append(_Seat(entry, card, place < wanted, reason, until))
    return seats


def _set_stand_ins_aside(seats: Sequence[_Seat]) -> None:
    if any(not one.reason and not one.entry.stand_in for one in seats):
        for seat in seats:
            if seat.entry.stand_in and not seat.wanted:
                seat.reason = seat.reason or NOT_NEEDED


def _ask(request: ChatRequest, demands: Demands, fleet: Fleet, moment: Moment) -> Ask:
    return Ask(
        input_tokens=moment.input_tokens,
        output_tokens=demands.output_tokens or _USUAL_OUTPUT,
        streamed=request.stream.on,
        now_ms=moment.now_ms,
        sticky_key=request.route.sticky_key,
        in_flight=fleet.health.in_flight,
        draw=Draw(moment.draw),
    )


def _leads(seat: _Seat, fleet: Fleet, ask: Ask) -> bool:
    share = fleet.share(seat.card.target, now_ms=ask.now_ms)
    return share >= 1 or ask.draw.chance(share)


def _ranked(policy: Policy, seats: Sequence[_Seat], fleet: Fleet, ask: Ask) -> list[Rival]:
    """Return who can serve: those preferred as they are, the others by the policy.

    One whose breaker is ramping and whose turn it is not comes last.
    """
    usable = [seat for seat in seats if not seat.reason]
    rivals = [Rival(one.entry, one.card, fleet.vital(one.card.target)) for one in usable]
    ranked = rank(policy, rivals, ask)
    wanted = {seat.card.target: place for place, seat in enumerate(usable) if seat.wanted}
    later = {seat.card.target for seat in usable if not seat.leads}
    for one in ranked:
        if one.card.target in wanted:
            one.reason = PREFERRED
        if one.card.target in later:
            one.reason += ", last while its breaker is ramping"
    behind = len(usable)
    return sorted(
        ranked,
        key=lambda one: (one.card.target in later, wanted.get(one.card.target, behind)),
    )


def _eligible(one: Rival) -> RouteCandidate:
    provider, model = one.card.target
    return RouteCandidate(
        provider=provider, model=model, eligible=True, reason=one.reason, score=one.score
    )


def _excluded(seat: _Seat) -> RouteCandidate:
    provider, model = seat.card.target
    return RouteCandidate(provider=provider, model=model, eligible=False, reason=seat.reason)


def _chains(
    request: ChatRequest, catalogue: Catalogue, demands: Demands, moment: Moment
) -> tuple[Chain, ...]:
    asked = [(frozenset(one.on), tuple(one.chain)) for one in request.route.fallback]
    told = [(one.on, one.chain) for one in catalogue.configuration.fallbacks]
    return tuple(
        Chain(on=on, names=names, catalogue=catalogue, demands=demands, moment=moment)
        for on, names in (*asked, *told)
    )


def _ahead(seats: Sequence[_Seat], rivals: Sequence[Rival]) -> list[_Seat]:
    """Return those preferred who are ruled out, before the first preferred one who is not."""
    first = rivals[0].card.target if rivals else None
    wanted = [seat for seat in seats if seat.wanted]
    places = [place for place, seat in enumerate(wanted) if seat.card.target == first]
    return [seat for seat in wanted[: places[0] if places else None] if seat.reason]


def _impossible(seats: Sequence[_Seat], rivals: Sequence[Rival]) -> tuple[CallAttempt, ...]:
    """Record the preferred providers that this instance cannot use at all."""
    lacking = [seat for seat in _ahead(seats, rivals) if seat.entry.found.obstacle]
    return tuple(
        CallAttempt(
            number=number,
            provider=seat.entry.name,
            model=seat.card.target.model,
            error="not_configured",
            message=seat.reason,
        )
        for number, seat in enumerate(lacking, start=1)
    )


def _fallbacks(seats: Sequence[_Seat], rivals: Sequence[Rival]) -> list[str]:
    """Say who answers instead of those that were preferred, and that a stand-in does."""
    if not rivals:
        return []
    first = rivals[0]
    passed = _ahead(seats, rivals)
    if passed:
        return [
            f"preferred provider {seat.entry.name} {_plainly(seat)}; answered by {first.entry.name}"
            for seat in passed
        ]
    if first.entry.stand_in and first.reason != PREFERRED:
        others = [seat for seat in seats if seat.reason]
        why = "; ".join(f"{seat.entry.name} {_plainly(seat)}" for seat in others)
        return [f"no model provider can serve ({why}); answered by {first.entry.name}"]
    return []


def _plainly(seat: _Seat) -> str:
    found = seat.entry.found
    return f"has no key ({found.missing})" if found.keyless else f"cannot serve: {seat.reason}"


def _way_out(seats: Sequence[_Seat]) -> str:
    """Say in one sentence why nobody can serve, and what to set."""
    why = "; ".join(f"{one.entry.name}: {one.reason}" for one in seats)
    ways = dict.fromkeys(one.entry.found.missing for one in seats if one.entry.found.missing)
    return f"no provider can serve this call ({why})" + (
        f"; set {' or '.join(ways)}" if ways else ""
    )
