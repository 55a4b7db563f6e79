"""Preferences: whom does a request ask for, by provider and model?"""

from dataclasses import dataclass

from segue_contracts.v1.chat import ChatRequest
from segue_providers.core.catalogue import Catalogue, Entry, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Whom a request asks for."""

    requested: tuple[str, ...]
    """The names it gave, as it gave them."""
    targets: tuple[Target, ...]
    """Whom they mean, the preferred one first."""
    warnings: tuple[str, ...]
    """What nobody understood of them."""


def wishes_of(request: ChatRequest, catalogue: Catalogue) -> Wishes:
    """Return whom a request asks for.

    The model it names goes before the order of its providers; among several that the name means,
    those of a preferred provider go first. A provider of the order that serves the model already
    is not asked for its default beside it.
    """
    if not (request.model or request.route.order):
        return _NONE
    order = request.route.order
    resolved = [(name, catalogue.resolve(name)) for name in order]
    model, warnings = _meant(request, catalogue, [targets for _, targets in resolved])
    targets = dict.fromkeys(model)
    served = {target.provider for target in targets}
    for name, meant in resolved:
        plain = catalogue.entry(name) is not None
        targets.update(
            dict.fromkeys(one for one in meant if not (plain and one.provider in served))
        )
    strange = [_strange(name, catalogue) for name, meant in resolved if not meant]
    return Wishes(
        requested=(*([request.model] if request.model else []), *order),
        targets=tuple(targets),
        warnings=(*warnings, *strange),
    )


_NONE = Wishes(requested=(), targets=(), warnings=())


def _meant(
    request: ChatRequest, catalogue: Catalogue, order: list[tuple[Target, ...]]
) -> tuple[list[Target], list[str]]:
    """Return the targets that the request's model means, and what is to be said of it."""
    name = request.model
    if not name:
        return [], []
    preferred = list(dict.fromkeys(one.provider for targets in order for one in targets))
    known = catalogue.resolve(name)
    if not known:
        return _unknown(name, catalogue, preferred)
    if preferred and _serves_anything(catalogue.entries[preferred[0]], name, catalogue):
        known = (Target(preferred[0], name), *known)
    places = {provider: place for place, provider in enumerate(preferred)}
    ordered = sorted(known, key=lambda one: places.get(one.provider, len(places)))
    return list(dict.fromkeys(ordered)), []


def _serves_anything(entry: Entry, name: str, catalogue: Catalogue) -> bool:
    """Tell whether a plain model name is this provider's, though only others list it.

    A compatible server has models that no table knows.
    """
    plain = catalogue.is_model(name)
    return plain and entry.settings.wire == "openai-chat" and bool(entry.settings.base_url)


def _unknown(
    name: str, catalogue: Catalogue, preferred: list[str]
) -> tuple[list[Target], list[str]]:
    """Ask the first choice for a model that nobody lists; it may be new."""
    entries = catalogue.entries.values()
    usable = (one.name for one in entries if not (one.found.obstacle or one.stand_in))
    first = preferred[0] if preferred else next(usable, "")
    if not first:
        return [], [_strange(name, catalogue)]
    told = f"model {name!r} is not known to any provider here; asked of {first} as it is"
    return [Target(first, name)], [told]


def _strange(name: str, catalogue: Catalogue) -> str:
    known = ", ".join((*catalogue.entries, *catalogue.configuration.aliases))
    return f"preferred {name!r} is no provider, model or alias here (there are {known})"
