"""Standing: what do operators see of providers, models and keys?"""

from collections.abc import Sequence

from segue_contracts.v1.providers import (
    ModelHealth,
    ProviderList,
    ProviderState,
    RouteExplained,
)
from segue_providers.core.breaker import Breaker
from segue_providers.core.catalogue import Catalogue, Entry, Target
from segue_providers.core.fleet import Fleet
from segue_providers.core.health import Vital
from segue_providers.core.routing import Decision


def listed(
    catalogue: Catalogue,
    fleet: Fleet,
    *,
    now_ms: int,
    digest: str,
    refused: Sequence[str] = (),
    instance: str = "",
) -> ProviderList:
    """Return all providers, in order of priority.

    Args:
        catalogue: What there is.
        fleet: How it fares.
        now_ms: The time.
        digest: The configuration's SHA-256.
        refused: What is wrong with a newer configuration.
        instance: Which instance answers.
    """
    return ProviderList(
        providers=[_state(entry, fleet, now_ms) for entry in catalogue.entries.values()],
        policy=catalogue.configuration.policy,
        configuration=digest,
        refused=list(refused),
        instance=instance,
    )


def explained(decision: Decision) -> RouteExplained:
    """Return a decision as the answer to who would serve a request."""
    impossible = [decision.way_out] if decision.way_out else []
    return RouteExplained(
        policy=decision.policy,
        candidates=list(decision.candidates),
        warnings=[*decision.warnings, *impossible],
    )


def _state(entry: Entry, fleet: Fleet, now_ms: int) -> ProviderState:
    barred = fleet.barred(entry.default, now_ms=now_ms)
    reason = entry.found.obstacle or (barred.reason if barred else "")
    return ProviderState(
        name=entry.name,
        available=not reason,
        reason=reason,
        wire=entry.settings.wire,
        priority=entry.settings.priority,
        default_model=entry.settings.default_model,
        models=[
            _health(target, vital, fleet.breaker(target), now_ms)
            for target, vital in fleet.health.known(entry.name)
        ],
        keys=fleet.key_states(entry.name, now_ms=now_ms),
    )


def _health(target: Target, vital: Vital, breaker: Breaker | None, now_ms: int) -> ModelHealth:
    return ModelHealth(
        model=target.model,
        breaker="closed" if breaker is None else breaker.state(now_ms),
        open_until_ms=0 if breaker is None else breaker.until_ms,
        latency_ms=vital.latency_ms,
        first_token_ms=vital.first_token_ms,
        error_rate=vital.window.fault_rate(now_ms),
        requests_per_minute=vital.per_minute(now_ms),
        in_flight=vital.in_flight,
    )
