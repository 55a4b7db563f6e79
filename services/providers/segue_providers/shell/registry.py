"""The registry: which providers are there, by priority, and how is each one reached?

A provider gains its adapter by one module in `adapters/` and its `connect` here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from segue_providers.core import offline as stand_in
from segue_providers.core.route import Provider
from segue_providers.settings import OFFLINE_VARIABLE, Settings
from segue_providers.shell.adapters import offline
from segue_providers.shell.ports import ModelClient

Connect = Callable[[Settings], ModelClient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One provider and its adapter."""

    name: str
    aliases: frozenset[str] = frozenset()
    key_variable: str = ""
    """The environment variable of its key; empty when it needs none."""
    key: Callable[[Settings], SecretStr | None] = lambda _: None
    """Reads the key."""
    connect: Connect | None = None
    """Makes its client; None when its adapter is not part of this release."""
    capabilities: frozenset[str] = frozenset()
    """What the adapter can do."""


REGISTRY: Final = (
    Entry(
        name="claude",
        aliases=frozenset({"anthropic"}),
        key_variable="ANTHROPIC_API_KEY",
        key=lambda settings: settings.anthropic_api_key,
        connect=None,
    ),
    Entry(
        name="gemini",
        aliases=frozenset({"google"}),
        key_variable="GEMINI_API_KEY",
        key=lambda settings: settings.gemini_api_key,
        connect=None,
    ),
    Entry(
        name="openai",
        aliases=frozenset({"gpt"}),
        key_variable="OPENAI_API_KEY",
        key=lambda settings: settings.openai_api_key,
        connect=None,
    ),
    Entry(name=stand_in.NAME, connect=offline.connect, capabilities=stand_in.CAPABILITIES),
)
"""All providers, the preferred one first."""


def providers_of(
    settings: Settings, clients: Mapping[str, ModelClient], entries: tuple[Entry, ...] = REGISTRY
) -> tuple[Provider, ...]:
    """Describe the providers for the router; keys stay behind."""
    return tuple(_described(entry, settings, adapted=entry.name in clients) for entry in entries)


def connected(settings: Settings, entries: tuple[Entry, ...] = REGISTRY) -> dict[str, ModelClient]:
    """Make the clients of all providers that have an adapter."""
    return {
        entry.name: entry.connect(settings)
        for entry in entries
        if entry.connect is not None and _is_usable(entry, settings)
    }


def _is_usable(entry: Entry, settings: Settings) -> bool:
    return not entry.key_variable or _has_key(entry, settings)


def _has_key(entry: Entry, settings: Settings) -> bool:
    key = entry.key(settings)
    return key is not None and bool(key.get_secret_value().strip())


def _described(entry: Entry, settings: Settings, *, adapted: bool) -> Provider:
    is_stand_in = entry.name == stand_in.NAME
    off = is_stand_in and not settings.providers_offline
    return Provider(
        name=entry.name,
        aliases=entry.aliases,
        key_variable=entry.key_variable,
        has_key=_has_key(entry, settings),
        has_adapter=adapted or entry.connect is not None,
        off_by=f"{OFFLINE_VARIABLE}=false" if off else "",
        switch=f"{OFFLINE_VARIABLE}=true" if is_stand_in else "",
        stand_in=is_stand_in,
        capabilities=entry.capabilities,
    )
