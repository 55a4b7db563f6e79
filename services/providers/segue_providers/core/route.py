"""Routing: which provider shall answer a request, and why not the others?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from segue_contracts.v1.chat import CallAttempt, ChatRequest
from segue_contracts.v1.telemetry import RouteCandidate

NO_ADAPTER: Final = "adapter not part of this release"
NOT_NEEDED: Final = "stands in only when no model provider can serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as the router sees it; their order is their priority."""

    name: str
    aliases: frozenset[str] = frozenset()
    """Other names that callers use for it."""
    key_variable: str = ""
    """The environment variable that holds its key; empty when it needs none."""
    has_key: bool = False
    has_adapter: bool = False
    off_by: str = ""
    """The setting that turns it off, as a person would write it; empty when it is on."""
    switch: str = ""
    """The setting that turns it on again."""
    stand_in: bool = False
    """Whether it calls no model, and so serves only when asked for or when nobody else can."""
    capabilities: frozenset[str] = frozenset()
    """What it can do, for `route.require`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a call goes."""

    provider: str
    model: str
    """The model to ask for; empty for the provider's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the router made of a request."""

    targets: tuple[Target, ...]
    """Who may serve, best first; empty when nobody can."""
    candidates: tuple[RouteCandidate, ...]
    """Everybody considered, in order."""
    requested: tuple[str, ...]
    """The caller's preference, as it was given."""
    impossible: tuple[CallAttempt, ...]
    """Preferred providers that could not even be tried."""
    warnings: tuple[str, ...]
    """What the caller should know, whoever answers."""


def obstacle(provider: Provider) -> str:
    """Return why a provider can serve no call at all; empty when it can."""
    if provider.off_by:
        return f"turned off by {provider.off_by}"
    missing = []
    if _lacks_key(provider):
        missing.append(f"not_configured: no key ({provider.key_variable})")
    if not provider.has_adapter:
        missing.append(NO_ADAPTER)
    return "; ".join(missing)


def decide(request: ChatRequest, providers: Sequence[Provider]) -> Decision:
    """Order the providers for a request and filter out those that cannot serve it.

    Args:
        request: What is asked; `route.order` and `model` say whom the caller prefers.
        providers: All providers, by priority.
    """
    requested = _requested(request)
    resolved = [(name, _resolve(name, providers)) for name in requested]
    wanted = _unique(provider for _, provider in resolved if provider is not None)
    ordered = [*wanted, *(other for other in providers if other not in wanted)]
    reasons = _reasons(request, ordered, wanted)
    usable = [provider for provider in ordered if not reasons[provider.name]]
    strangers = [name for name, provider in resolved if provider is None]
    return Decision(
        targets=tuple(_target(request, provider, wanted) for provider in usable),
        candidates=tuple(_candidate(one, reasons[one.name], wanted) for one in ordered),
        requested=tuple(requested),
        impossible=_impossible(wanted, usable),
        warnings=(*_strange(strangers, providers), *_fallbacks(wanted, usable, ordered, reasons)),
    )


def way_out(decision: Decision, providers: Sequence[Provider]) -> str:
    """Say in one sentence why nobody can serve, and what to set."""
    why = "; ".join(f"{one.provider}: {one.reason}" for one in decision.candidates)
    switches = [one.switch for one in providers if one.off_by]
    keys = [one.key_variable for one in providers if one.has_adapter and _lacks_key(one)]
    ways = " or ".join((*keys, *switches))
    return f"no provider can serve this call ({why})" + (f"; set {ways}" if ways else "")


def _lacks_key(provider: Provider) -> bool:
    return bool(provider.key_variable) and not provider.has_key


def _requested(request: ChatRequest) -> list[str]:
    """Return the caller's preferences: a model of the form `provider/model` comes first."""
    named = [request.model] if "/" in request.model else []
    return [*named, *request.route.order]


def _resolve(name: str, providers: Iterable[Provider]) -> Provider | None:
    head = name.partition("/")[0].lower()
    return next((one for one in providers if head == one.name or head in one.aliases), None)


def _unique(providers: Iterable[Provider]) -> list[Provider]:
    return list({provider.name: provider for provider in providers}.values())


def _reasons(
    request: ChatRequest, ordered: Sequence[Provider], wanted: Sequence[Provider]
) -> dict[str, str]:
    """Return for each provider why it is filtered out; empty when it is not."""
    reasons = {one.name: obstacle(one) or _unfit(request, one) for one in ordered}
    if any(not reasons[one.name] and not one.stand_in for one in ordered):
        idle = [one.name for one in ordered if one.stand_in and one not in wanted]
        reasons |= {name: reasons[name] or NOT_NEEDED for name in idle}
    return reasons


def _unfit(request: ChatRequest, provider: Provider) -> str:
    """Return why the request's own conditions rule a provider out."""
    names = provider.aliases | {provider.name}
    if request.route.allow and names.isdisjoint(request.route.allow):
        return "not in route.allow"
    if not names.isdisjoint(request.route.deny):
        return "in route.deny"
    lacking = sorted(set(request.route.require) - provider.capabilities)
    return f"lacks {', '.join(lacking)}" if lacking else ""


def _candidate(provider: Provider, reason: str, wanted: Sequence[Provider]) -> RouteCandidate:
    if reason:
        return RouteCandidate(provider=provider.name, eligible=False, reason=reason)
    rank = "preferred by the caller" if provider in wanted else "by priority"
    return RouteCandidate(provider=provider.name, eligible=True, reason=rank)


def _target(request: ChatRequest, provider: Provider, wanted: Sequence[Provider]) -> Target:
    """Name the model to ask a provider for; a bare model name goes to the first choice only."""
    for name in _requested(request):
        if _resolve(name, [provider]) is not None:
            model = name.partition("/")[2]
            if model:
                return Target(provider=provider.name, model=model)
    bare = "/" not in request.model and (not wanted or provider == wanted[0])
    return Target(provider=provider.name, model=request.model if bare else "")


def _impossible(wanted: Sequence[Provider], usable: Sequence[Provider]) -> tuple[CallAttempt, ...]:
    """Record the preferred providers that this installation lacks, before the first usable one."""
    ahead = wanted[: wanted.index(usable[0])] if usable and usable[0] in wanted else wanted
    lacking = [one for one in ahead if obstacle(one)]
    return tuple(
        CallAttempt(number=n, provider=one.name, error="not_configured", message=obstacle(one))
        for n, one in enumerate(lacking, start=1)
    )


def _strange(names: Iterable[str], providers: Iterable[Provider]) -> list[str]:
    known = ", ".join(one.name for one in providers)
    return [f"preferred {name!r} is no provider here (there are {known})" for name in names]


def _fallbacks(
    wanted: Sequence[Provider],
    usable: Sequence[Provider],
    ordered: Sequence[Provider],
    reasons: dict[str, str],
) -> list[str]:
    """Say who answers instead of those that were preferred, and that a stand-in does."""
    if not usable:
        return []
    first = usable[0]
    passed = wanted[: wanted.index(first)] if first in wanted else wanted
    if passed:
        return [
            f"preferred provider {one.name} {_plainly(one, reasons[one.name])}; "
            f"answered by {first.name}"
            for one in passed
        ]
    if first.stand_in and first not in wanted:
        why = "; ".join(
            f"{one.name} {_plainly(one, reasons[one.name])}" for one in ordered if one != first
        )
        return [f"no model provider can serve ({why}); answered by {first.name}"]
    return []


def _plainly(provider: Provider, reason: str) -> str:
    if not provider.off_by and _lacks_key(provider):
        return f"has no key ({provider.key_variable})"
    return f"cannot serve: {reason}"
