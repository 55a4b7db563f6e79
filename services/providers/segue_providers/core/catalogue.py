"""The catalogue: which models are there, what is known of each, and what do names mean?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from segue_providers.core import offline
from segue_providers.core.configuration import (
    Configuration,
    Model,
    NamespaceRules,
    Price,
    Provider,
    Wire,
)

CAPABILITIES: Final[Mapping[Wire, frozenset[str]]] = MappingProxyType(
    {
        "anthropic": frozenset(
            {"tools", "parallel_tools", "vision", "documents", "json", "json_schema"}
            | {"reasoning", "streaming"}
        ),
        "gemini": frozenset(
            {"tools", "parallel_tools", "vision", "audio", "video", "documents", "json"}
            | {"json_schema", "reasoning", "streaming"}
        ),
        "openai-responses": frozenset(
            {"tools", "parallel_tools", "vision", "documents", "json", "json_schema"}
            | {"reasoning", "streaming"}
        ),
        "openai-chat": frozenset(
            {"tools", "parallel_tools", "vision", "audio", "documents", "json", "json_schema"}
            | {"reasoning", "streaming"}
        ),
        "offline": offline.CAPABILITIES,
    }
)
"""What the models of a wire can do unless the configuration says otherwise of one."""

_FALLBACK_RULES: Final = "*"


class Target(NamedTuple):
    """Where a call goes."""

    provider: str
    """The provider's configured name."""
    model: str
    """The provider's own name of the model; empty when it has no default and none was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the shipped table knows of a model."""

    context_window: int = 0
    """Tokens of input and output together; 0 when unknown."""
    max_output: int = 0
    """Tokens of output at most; 0 when unknown."""
    price: Price | None = None
    """What it costs; None when unknown."""


Look = Callable[[str, Provider, str], Facts | None]
"""Looks a model up in the shipped table by the provider's name and configuration; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What this instance has of a provider, beyond its configuration."""

    obstacle: str = ""
    """Why it can serve no call at all; empty when it can."""
    missing: str = ""
    """What a person sets to remove the obstacle; empty when that is not a setting."""
    keys: tuple[str, ...] = ()
    """Where the keys in use come from; empty when none is wanted, or none is there."""
    keyless: bool = False
    """Whether a key is what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One model of one provider."""

    target: Target
    names: frozenset[str]
    """Every name by which a rule may mean it, in lower case."""
    capabilities: frozenset[str]
    context_window: int = 0
    max_output: int = 0
    price: Price | None = None
    usd_in: float = 0.0
    """US dollars for a million tokens of input, for ranking."""
    usd_out: float = 0.0
    """US dollars for a million tokens of output, for ranking."""

    @property
    def reads_cheaper(self) -> bool:
        """Whether tokens read from the provider's cache cost less than others."""
        price = self.price
        return price is not None and price.cache_read is not None and price.cache_read < price.input


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One provider."""

    name: str
    settings: Provider
    found: Found
    cards: Mapping[str, Card]
    """The models that are known of by name."""
    names: frozenset[str]
    """Its name and its aliases, in lower case."""

    @property
    def stand_in(self) -> bool:
        """Whether it calls no model, and so serves only when asked for or when nobody else can."""
        return self.settings.wire == "offline"

    @property
    def default(self) -> Target:
        """The target of calls that name no model."""
        return Target(self.name, self.settings.default_model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that routing knows and that does not change from call to call."""

    configuration: Configuration
    entries: Mapping[str, Entry]
    """The providers by name, in order of priority."""
    look: Look
    """Looks up models that are not listed."""
    _owners: Mapping[str, str] = field(default_factory=dict)
    """Provider by each of its names."""
    _choices: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """Targets by alias."""

    def entry(self, name: str) -> Entry | None:
        """Return the provider of a name or alias, in any case of letters."""
        owner = self._owners.get(name.lower())
        return None if owner is None else self.entries[owner]

    def card(self, target: Target) -> Card:
        """Return what is known of a target, also of a model that is not listed.

        Raises:
            KeyError: There is no such provider.
        """
        entry = self.entries[target.provider]
        known = entry.cards.get(target.model)
        if known is not None:
            return known
        facts = _facts(self.look, entry.found, entry.settings, target)
        return _card(entry.name, entry.settings, target.model, facts=facts)

    def resolve(self, name: str) -> tuple[Target, ...]:
        """Return what a name means, the preferred target first; nothing when nobody knows it.

        A name is an alias of the configuration, a provider, `provider/model`, or a model.
        """
        choice = self._choices.get(name.lower())
        if choice is not None:
            return choice
        return self._resolve_plain(name)

    def is_model(self, name: str) -> bool:
        """Tell whether a name is a plain model's, neither alias nor provider nor both in one."""
        return name.lower() not in self._choices and self.entry(name.partition("/")[0]) is None

    def rules(self, namespace: str) -> NamespaceRules:
        """Return what holds for a namespace."""
        rules = self.configuration.namespaces
        return rules.get(namespace) or rules.get(_FALLBACK_RULES) or _NO_RULES

    def _resolve_plain(self, name: str) -> tuple[Target, ...]:
        head, slash, model = name.partition("/")
        entry = self.entry(head)
        if entry is not None and (model or not slash):
            return (Target(entry.name, model) if model else entry.default,)
        return tuple(
            Target(one.name, name) for one in self.entries.values() if self._has(one, name)
        )

    def _has(self, entry: Entry, model: str) -> bool:
        if model in entry.cards:
            return True
        return self.look(entry.name, entry.settings, model) is not None


_NO_RULES: Final = NamespaceRules()


def catalogue_of(
    configuration: Configuration, *, look: Look, found: Mapping[str, Found]
) -> Catalogue:
    """Build the catalogue.

    Args:
        configuration: What people configured.
        look: Looks a model up in the shipped table.
        found: What this instance has of each provider; nothing is in the way of those not named.
    """
    ranked = sorted(configuration.providers.items(), key=lambda item: (item[1].priority, item[0]))
    bare = _catalogue(configuration, look, [_entry(*one, look, found, {}) for one in ranked])
    choices = {
        name.lower(): tuple(dict.fromkeys(target for one in to for target in bare.resolve(one)))
        for name, to in configuration.aliases.items()
    }
    named = _by_target(choices)
    entries = [_entry(*one, look, found, named) for one in ranked]
    return _catalogue(configuration, look, entries, choices)


def _catalogue(
    configuration: Configuration,
    look: Look,
    entries: Iterable[Entry],
    choices: Mapping[str, tuple[Target, ...]] = MappingProxyType({}),
) -> Catalogue:
    by_name = {one.name: one for one in entries}
    return Catalogue(
        configuration=configuration,
        entries=MappingProxyType(by_name),
        look=look,
        _owners={name: one.name for one in by_name.values() for name in one.names},
        _choices=choices,
    )


def _by_target(choices: Mapping[str, tuple[Target, ...]]) -> dict[Target, frozenset[str]]:
    named: dict[Target, set[str]] = {}
    for name, targets in choices.items():
        for target in targets:
            named.setdefault(target, set()).add(name)
    return {target: frozenset(names) for target, names in named.items()}


def _entry(
    name: str,
    settings: Provider,
    look: Look,
    found: Mapping[str, Found],
    choices: Mapping[Target, frozenset[str]],
) -> Entry:
    have = found.get(name, Found())
    in_aliases = [target.model for target in choices if target.provider == name]
    models = dict.fromkeys([settings.default_model, *settings.models, *in_aliases])
    cards = {
        model: _card(
            name,
            settings,
            model,
            facts=_facts(look, have, settings, Target(name, model)),
            aliases=choices.get(Target(name, model), frozenset()),
        )
        for model in models
        if model
    }
    return Entry(
        name=name,
        settings=settings,
        found=have,
        cards=MappingProxyType(cards),
        names=frozenset({name, *settings.aliases}),
    )


def _facts(look: Look, found: Found, settings: Provider, target: Target) -> Facts | None:
    """Look a model up, unless nobody will ask what is known of it: its obstacle comes first."""
    return None if found.obstacle else look(target.provider, settings, target.model)


def _card(
    provider: str,
    settings: Provider,
    model: str,
    *,
    facts: Facts | None,
    aliases: frozenset[str] = frozenset(),
) -> Card:
    told = settings.models.get(model, _UNTOLD)
    facts = facts or _NO_FACTS
    price = told.price or facts.price
    can = CAPABILITIES[settings.wire] if told.capabilities is None else told.capabilities
    owners = {provider, *settings.aliases}
    return Card(
        target=Target(provider, model),
        names=frozenset(
            {*owners, model.lower(), *aliases, *(f"{one}/{model.lower()}" for one in owners)}
        ),
        capabilities=can,
        context_window=told.context_window or facts.context_window,
        max_output=told.max_output or facts.max_output,
        price=price,
        usd_in=float(price.input) if price else 0.0,
        usd_out=float(price.output) if price else 0.0,
    )


_UNTOLD: Final = Model()
_NO_FACTS: Final = Facts()
