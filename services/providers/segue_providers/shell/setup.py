"""The setup: what is made of a configuration?

A setup never changes. Clients that a new one has in common with the old are taken over.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import SecretStr

from segue_providers.core.catalogue import Catalogue, Found, Look, catalogue_of
from segue_providers.core.configuration import Configuration, Provider, Wire
from segue_providers.core.configuration_file import digest
from segue_providers.core.fleet import KEYLESS
from segue_providers.shell.keyring import Keyring, fingerprint, names
from segue_providers.shell.ports import ModelClient
from segue_providers.shell.prices import Prices

Connect = Callable[[Provider, SecretStr | None], ModelClient]
"""Makes a client of a provider's models through one key.

It raises ModuleNotFoundError when the vendor's library is not installed.
"""


class Adapter(NamedTuple):
    """Where the adapter of a wire is."""

    module: str
    extra: str
    """The extra of this distribution that installs what it needs; empty when nothing is."""


_HERE: Final = "segue_providers.shell.adapters"
ADAPTERS: Final[Mapping[Wire, Adapter]] = {
    "anthropic": Adapter(f"{_HERE}.anthropic", "anthropic"),
    "gemini": Adapter(f"{_HERE}.gemini", "google"),
    "openai-responses": Adapter(f"{_HERE}.openai_responses", "openai"),
    "openai-chat": Adapter(f"{_HERE}.openai_chat", "openai"),
    "offline": Adapter(f"{_HERE}.offline", ""),
}
"""The adapters by wire; each module has `connect(provider, key, http)`."""


class ClientId(NamedTuple):
    """What makes two clients the same."""

    provider: str
    settings: str
    """The digest of its configuration."""
    fingerprint: str


class _Made(NamedTuple):
    ref: str
    id: ClientId
    client: ModelClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What calls work with: the configuration, the catalogue and the clients."""

    configuration: Configuration
    digest: str
    """The configuration's SHA-256."""
    catalogue: Catalogue
    keyring: Keyring
    prices: Prices
    """What models cost."""
    clients: Mapping[str, Mapping[str, ModelClient]]
    """Clients by provider and by where their key comes from."""
    fingerprints: Mapping[str, Mapping[str, str]]
    """A hash of each key by provider and by where it comes from."""
    ids: Mapping[ClientId, ModelClient]
    """The same by what makes them the same."""

    def client(self, provider: str, key: str) -> ModelClient:
        """Return the client of a provider and one of its keys.

        Raises:
            KeyError: There is none.
        """
        return self.clients[provider][key]

    def keys(self, provider: str) -> Mapping[str, str]:
        """Return a hash of each key of a provider by where it comes from.

        A provider that wants none has one empty entry; one that cannot serve has no entry.
        """
        return self.fingerprints.get(provider, {})


def connector(http: Callable[[], Any]) -> Connect:
    """Return what makes clients by their wire, importing its library on first use.

    Args:
        http: Returns the HTTP client that all share; called when the first client needs it.
    """

    def connect(provider: Provider, key: SecretStr | None) -> ModelClient:
        adapter = ADAPTERS[provider.wire]
        module = importlib.import_module(adapter.module)
        client: ModelClient = module.connect(provider, key, http() if adapter.extra else None)
        return client

    return connect


def setup_of(
    configuration: Configuration,
    keyring: Keyring,
    *,
    connect: Connect,
    look: Look,
    off: Mapping[str, Found],
    old: Setup | None = None,
) -> Setup:
    """Make a setup.

    Args:
        configuration: What people configured.
        keyring: The keys there are.
        connect: Makes clients.
        look: Looks models up in the shipped table.
        off: Providers that something beside the configuration turns off.
        old: The setup so far, whose clients are taken over where they fit.
    """
    made: dict[str, list[_Made]] = {}
    found: dict[str, Found] = {}
    taken = {} if old is None else old.ids
    for name, provider in configuration.providers.items():
        keys = keyring.keys.get(name, {})
        found[name] = off.get(name) or _found(name, provider, keys)
        if found[name].obstacle:
            continue
        try:
            made[name] = _clients(name, provider, keys, connect=connect, taken=taken)
        except ModuleNotFoundError as error:
            found[name] = _uninstalled(provider, error)
    return Setup(
        configuration=configuration,
        digest=digest(configuration),
        catalogue=catalogue_of(configuration, look=look, found=found),
        keyring=keyring,
        prices=Prices(configuration.providers),
        clients={name: {one.ref: one.client for one in all_} for name, all_ in made.items()},
        fingerprints={
            name: {one.ref: one.id.fingerprint for one in all_} for name, all_ in made.items()
        },
        ids={one.id: one.client for all_ in made.values() for one in all_},
    )


def _clients(
    name: str,
    provider: Provider,
    keys: Mapping[str, SecretStr],
    *,
    connect: Connect,
    taken: Mapping[ClientId, ModelClient],
) -> list[_Made]:
    made = []
    settings = digest(provider)
    wanted: Mapping[str, SecretStr | None] = {**keys} or {KEYLESS: None}
    for ref, key in wanted.items():
        one = ClientId(name, settings, "" if key is None else fingerprint(key))
        made.append(_Made(ref, one, taken.get(one) or connect(provider, key)))
    return made


def _found(name: str, provider: Provider, keys: Mapping[str, SecretStr]) -> Found:
    if not provider.enabled:
        return Found(obstacle=f"turned off by providers.{name}.enabled: false")
    if provider.keys and not keys:
        wanted = names(provider)
        return Found(obstacle=f"not_configured: no key ({wanted})", missing=wanted, keyless=True)
    return Found(keys=tuple(keys))


def _uninstalled(provider: Provider, error: ModuleNotFoundError) -> Found:
    extra = ADAPTERS[provider.wire].extra
    if not extra or (error.name or "").startswith("segue_"):
        raise error
    return Found(obstacle=f"not_configured: install segue-providers[{extra}]")
