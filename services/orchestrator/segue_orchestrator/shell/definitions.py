"""Definitions: how are workflows kept for ever, and found ready to run?"""

from collections import OrderedDict
from typing import Final

import msgspec

from segue_language import Workflow, canonical_json, content_hash, load_canonical
from segue_orchestrator.core.compiling import compile_plan
from segue_orchestrator.core.plan import Plan
from segue_shared.errors import TooLargeError
from segue_shared.keyvalue import KeyValue

MAX_BYTES: Final = 512 * 1024
_CACHED: Final = 512


class Definition(msgspec.Struct, frozen=True):
    """A stored workflow, ready to run."""

    hash: str
    """SHA-256 of its canonical form, its name in the bucket."""
    workflow: Workflow
    """As it was accepted."""
    plan: Plan
    """As the engine uses it."""


class Definitions:
    """Immutable definitions by hash, with recent ones at hand."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store
        self._recent: OrderedDict[str, Definition] = OrderedDict()

    async def save(self, namespace: str, workflow: Workflow) -> Definition:
        """Store a definition; the same content is stored once.

        Raises:
            TooLargeError: The definition is over 512 KiB.
        """
        digest = content_hash(workflow)
        key = f"{namespace}.{digest}"
        if (known := self._recent.get(key)) is not None:
            return known
        data = canonical_json(workflow)
        if len(data) > MAX_BYTES:
            raise TooLargeError(
                f"the definition has {len(data)} bytes, {MAX_BYTES} are allowed; "
                "move large values into the inputs or payloads"
            )
        await self._store.create(key, data)
        return self._keep(key, digest, workflow)

    async def load(self, namespace: str, digest: str) -> Definition | None:
        """Return a stored definition; None when it is not stored."""
        key = f"{namespace}.{digest}"
        if (known := self._recent.get(key)) is not None:
            self._recent.move_to_end(key)
            return known
        # It is stored before a run of it begins: whoever asks at once must not miss it.
        entry = await self._store.get(key) or await self._store.newest(key)
        return None if entry is None else self._keep(key, digest, load_canonical(entry.value))

    def _keep(self, key: str, digest: str, workflow: Workflow) -> Definition:
        definition = self._recent[key] = Definition(digest, workflow, compile_plan(workflow))
        if len(self._recent) > _CACHED:
            self._recent.popitem(last=False)
        return definition
