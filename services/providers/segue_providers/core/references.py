"""References: does every name in a configuration mean something, and only one thing?"""

from collections.abc import Iterable, Iterator
from typing import Final

from segue_providers.core.configuration import Configuration

Place = tuple[str | int, ...]
"""Where something stands, from the outermost field inwards."""
Flaw = tuple[Place, str]
"""What is wrong, and where."""

VENDOR: Final = "openai"
"""The one provider whose wire `openai-chat` has an address of its own."""


def flaws(configuration: Configuration, *, besides: frozenset[str] = frozenset()) -> list[Flaw]:
    """Return all that is wrong with the names of a configuration.

    Args:
        configuration: The configuration; each part of it is valid by itself.
        besides: Names that count as known though they are not in it, since what they name is
            invalid for another reason.
    """
    known = _Known(configuration, besides)
    return [
        *_addresses(configuration),
        *_shared_names(configuration),
        *_aliases(configuration, known),
        *_chains(configuration, known),
        *_rules(configuration, known),
    ]


class _Known:
    """The names that mean something."""

    def __init__(self, configuration: Configuration, besides: frozenset[str]) -> None:
        providers = configuration.providers
        owners = {name for one in providers.values() for name in one.aliases} | set(providers)
        self._owners = owners | besides
        self._models = besides | {
            model for one in providers.values() for model in (one.default_model, *one.models)
        }
        self._aliases = set(configuration.aliases)
        self._shown = ", ".join((*providers, *configuration.aliases))

    def lacks(self, name: str, *, within_alias: bool = False) -> str:
        """Return what is wrong with a name; empty when it means something."""
        if within_alias and name in self._aliases and name not in self._owners:
            return f"{name!r} is an alias itself; name its models"
        head, slash, model = name.partition("/")
        if name in self._models or name in self._aliases:
            return ""
        if head in self._owners and (model or not slash):
            return ""
        return (
            f"{name!r} is no provider, listed model or alias; there are {self._shown}; "
            "write '<provider>/<model>' for a model that is not listed"
        )


def _addresses(configuration: Configuration) -> Iterator[Flaw]:
    for name, provider in configuration.providers.items():
        if provider.wire == "openai-chat" and not provider.base_url and name != VENDOR:
            said = "is missing; a compatible server has no address of its own"
            yield ("providers", name, "base_url"), said


def _shared_names(configuration: Configuration) -> Iterator[Flaw]:
    """Refuse a name that two providers, or a provider and an alias, go by."""
    owners: dict[str, str] = {name: name for name in configuration.providers}
    for name, provider in configuration.providers.items():
        for alias in sorted(provider.aliases):
            if owners.setdefault(alias, name) != name:
                said = f"{alias!r} is already a name of {owners[alias]}; choose another"
                yield ("providers", name, "aliases"), said
    for alias in configuration.aliases:
        if alias in owners:
            yield ("aliases", alias), f"is already a name of provider {owners[alias]}"
    yield from _same_variable(configuration)


def _same_variable(configuration: Configuration) -> Iterator[Flaw]:
    seen: dict[str, str] = {}
    for name in configuration.providers:
        first = seen.setdefault(name.replace("-", "_"), name)
        if first != name:
            said = f"differs from {first} only by - and _, which variables cannot tell apart"
            yield ("providers", name), said


def _aliases(configuration: Configuration, known: _Known) -> Iterator[Flaw]:
    for alias, names in configuration.aliases.items():
        if not names:
            yield ("aliases", alias), "is empty; name at least one model"
        yield from _each(("aliases", alias), names, known, within_alias=True)


def _chains(configuration: Configuration, known: _Known) -> Iterator[Flaw]:
    for index, rule in enumerate(configuration.fallbacks):
        yield from _each(("fallbacks", index, "chain"), rule.chain, known)


def _rules(configuration: Configuration, known: _Known) -> Iterator[Flaw]:
    for namespace, rules in configuration.namespaces.items():
        yield from _each(("namespaces", namespace, "allow"), rules.allow, known)
        yield from _each(("namespaces", namespace, "deny"), rules.deny, known)


def _each(
    place: Place, names: Iterable[str], known: _Known, *, within_alias: bool = False
) -> Iterator[Flaw]:
    for index, name in enumerate(names):
        wrong = known.lacks(name, within_alias=within_alias)
        if wrong:
            yield (*place, index), wrong
