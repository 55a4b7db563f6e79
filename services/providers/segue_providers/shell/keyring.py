"""The keyring: which keys are there, of those that the configuration names?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from segue_providers.core.configuration import Configuration, KeySource, Provider

LONGEST: Final = 16_384
"""Bytes of a key at most; a longer file holds something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The keys of all providers, by provider and by where each comes from."""

    keys: Mapping[str, Mapping[str, SecretStr]]
    problems: tuple[str, ...] = ()
    """Files that had a key and cannot be read now."""


def collect(
    configuration: Configuration, environ: Mapping[str, str], *, old: Keyring | None = None
) -> Keyring:
    """Read all keys.

    Args:
        configuration: It says where they are.
        environ: The environment's variables.
        old: The keys so far; one whose file cannot be read any more is kept.
    """
    problems: list[str] = []
    keys = {}
    for name, provider in configuration.providers.items():
        before = {} if old is None else old.keys.get(name, {})
        keys[name] = _unique(_read(provider, environ, before, problems))
    return Keyring(keys=keys, problems=tuple(problems))


def files(configuration: Configuration) -> list[str]:
    """Return the files that keys are in."""
    sources = (source for one in configuration.providers.values() for source in one.keys)
    return [source.file for source in sources if source.file]


def names(provider: Provider) -> str:
    """Say where a provider's key may be put."""
    return " or ".join(source.env or source.file for source in provider.keys)


def fingerprint(key: SecretStr) -> str:
    """Return a hash of a key, to tell whether it changed; it never leaves the process."""
    return sha256(key.get_secret_value().encode(errors="surrogatepass")).hexdigest()


def _read(
    provider: Provider,
    environ: Mapping[str, str],
    before: Mapping[str, SecretStr],
    problems: list[str],
) -> Iterator[tuple[str, SecretStr]]:
    for source in provider.keys:
        text = environ.get(source.env, "").strip() if source.env else _in_file(source)
        if text:
            yield source.ref, SecretStr(text)
        elif source.file and source.ref in before:
            problems.append(f"{source.file}: holds no key any more; the one it held is kept")
            yield source.ref, before[source.ref]


def _in_file(source: KeySource) -> str:
    path = Path(source.file)
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        text = data.decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if len(data) <= LONGEST and text.isprintable() else ""


def _unique(keys: Iterable[tuple[str, SecretStr]]) -> dict[str, SecretStr]:
    """Drop a key that was found before in another place."""
    found: dict[str, SecretStr] = {}
    for ref, key in keys:
        if key not in found.values():
            found[ref] = key
    return found
