"""The catalogue: which definitions are registered, and what does a reference to one mean?

Beside `<namespace>.<hash>` the bucket of definitions holds `<namespace>.named.<name>.version.<v>`
and `<namespace>.named.<name>.alias.<alias>`, each part escaped as step keys are. So a version or an
alias is one direct get, and everything known of a name, or of a namespace, is one read.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused
from segue_contracts.v1 import topology
from segue_contracts.v1.commands import WorkflowVersion
from segue_contracts.v1.subjects import SubjectError, escape_key, unescape_key
from segue_language import is_semantic, version_key, workflow_reference
from segue_shared.clock import Clock
from segue_shared.errors import (
    ConflictError,
    InvalidMessageError,
    NotFoundError,
    RefusedError,
)
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue

LATEST: Final = "latest"
"""The selector that a reference without one stands for; no alias can be called so."""

_NAMED: Final = "named"


class _Version(msgspec.Struct, frozen=True):
    """What a version stands for; it never changes."""

    definition: str
    saved_ms: int


class _Alias(msgspec.Struct, frozen=True):
    """What an alias means now."""

    version: str
    definition: str


class _Meant(msgspec.Struct, frozen=True):
    """What both say."""

    definition: str


class Catalogue:
    """Names, versions and aliases of definitions."""

    def __init__(self, store: KeyValue, journal: Journal, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock

    async def save(
        self, namespace: str, name: str, *, version: str, definition: str
    ) -> WorkflowVersion:
        """Register a definition for ever; the same one again is said to exist.

        Raises:
            RefusedError: The version is registered with another definition.
            InvalidMessageError: The name cannot be registered.
        """
        key = _key(namespace, name, "version", version)
        now_ms = self._clock.now_ms()
        if await self._store.create(key, encode(_Version(definition, now_ms))) is not None:
            return WorkflowVersion(
                workflow=name, version=version, definition=definition, saved_ms=now_ms
            )
        entry = await self._store.get(key)
        first = msgspec.json.decode(entry.value if entry else b"", type=_Version)
        if first.definition != definition:
            raise RefusedError(_taken(f"{name}@{version}", first.definition, definition))
        return WorkflowVersion(
            workflow=name,
            version=version,
            definition=definition,
            saved_ms=first.saved_ms,
            existing=True,
        )

    async def set_alias(
        self, namespace: str, name: str, *, alias: str, version: str
    ) -> WorkflowVersion:
        """Let an alias mean a version, unless somebody moves it at the same time.

        Raises:
            NotFoundError: There is no such version.
            ConflictError: The alias was moved to another version meanwhile.
            InvalidMessageError: No alias can be called so.
        """
        check_alias(name, alias)
        found = [one for one in await self.versions(namespace, name) if one.version == version]
        if not found:
            raise NotFoundError(
                f"{name}@{version} is not registered; 'segue workflow versions' shows what is"
            )
        meant = _Alias(version, found[0].definition)
        key = _key(namespace, name, "alias", alias)
        entry = await self._store.get(key)
        if entry is None:
            revision = await self._store.create(key, encode(meant))
        else:
            revision = await self._store.update(key, encode(meant), entry.revision)
        if revision is None:
            raise ConflictError(
                f"somebody else moved {name}@{alias} at the same time; look what it means now, "
                "and set it again"
            )
        aliases = sorted({*found[0].aliases, alias})
        return msgspec.structs.replace(found[0], aliases=aliases)

    async def resolve(self, namespace: str, reference: str) -> str | None:
        """Return the hash of the definition that a reference means now; None for none.

        Raises:
            InvalidMessageError: It is no reference.
        """
        try:
            name, selector = workflow_reference(reference)
        except ValueError as error:
            raise InvalidMessageError(f"workflow {reference!r}: {error}") from error
        if selector in {"", LATEST}:
            newest = newest_of(await self.versions(namespace, name))
            return None if newest is None else newest.definition
        kind = "version" if is_semantic(selector) else "alias"
        entry = await self._store.get(_key(namespace, name, kind, selector))
        return None if entry is None else msgspec.json.decode(entry.value, type=_Meant).definition

    async def versions(self, namespace: str, name: str = "") -> list[WorkflowVersion]:
        """Return what is registered under a name, or at all: by name, the newest version first.

        Raises:
            InvalidMessageError: The name cannot be registered.
        """
        below = f"{namespace}.{_NAMED}." + (f"{_token(name)}." if name else "")
        root = f"$KV.{topology.WORKFLOWS}."
        versions: dict[tuple[str, str], _Version] = {}
        aliases: dict[tuple[str, str], list[str]] = {}
        for stored in await self._journal.last([f"{root}{below}>"]):
            _, _, owner, kind, last = stored.subject.removeprefix(root).split(".")
            workflow, text = unescape_key(owner), unescape_key(last)
            if kind == "version":
                versions[workflow, text] = msgspec.json.decode(stored.data, type=_Version)
            else:
                alias = msgspec.json.decode(stored.data, type=_Alias)
                aliases.setdefault((workflow, alias.version), []).append(text)
        return _sorted(
            WorkflowVersion(
                workflow=workflow,
                version=version,
                definition=kept.definition,
                aliases=sorted(aliases.get((workflow, version), [])),
                saved_ms=kept.saved_ms,
            )
            for (workflow, version), kept in versions.items()
        )

    async def references(self, namespace: str) -> frozenset[str]:
        """Return every reference that means something: names, with their versions and aliases."""
        found = await self.versions(namespace)
        return frozenset(
            reference
            for one in found
            for reference in (
                one.workflow,
                f"{one.workflow}@{LATEST}",
                *(f"{one.workflow}@{selector}" for selector in (one.version, *one.aliases)),
            )
        )


def _taken(what: str, stored: str, sent: str) -> Refused:
    message = (
        f"{what} is registered with definition {stored}, and a version never changes; "
        f"give this one ({sent}) another version"
    )
    details = {"stored": stored, "sent": sent}
    return Refused(code="conflict", message=message, details=details)


def newest_of(versions: list[WorkflowVersion]) -> WorkflowVersion | None:
    """Return the highest release of a workflow; a pre-release only while there is no release."""
    if not versions:
        return None
    releases = [one for one in versions if "-" not in one.version]
    return max(releases or versions, key=lambda one: version_key(one.version))


def _sorted(found: Iterator[WorkflowVersion]) -> list[WorkflowVersion]:
    newest_first = sorted(found, key=lambda one: version_key(one.version), reverse=True)
    return sorted(newest_first, key=lambda one: one.workflow)


def check_alias(name: str, alias: str) -> None:
    """Refuse what can be no alias of a workflow.

    Raises:
        InvalidMessageError: It cannot.
    """
    if "@" in alias or is_semantic(alias) or alias == LATEST:
        raise InvalidMessageError(f"{alias!r} can be no alias: it means something by itself")
    try:
        workflow_reference(f"{name}@{alias}")
    except ValueError as error:
        raise InvalidMessageError(f"{name}@{alias}: {error}") from error


def _key(namespace: str, name: str, kind: str, last: str) -> str:
    return f"{namespace}.{_NAMED}.{_token(name)}.{kind}.{_token(last)}"


def _token(text: str) -> str:
    try:
        return escape_key(text)
    except SubjectError as error:
        raise InvalidMessageError(f"workflow name {text[:40]!r}: {error}") from error
