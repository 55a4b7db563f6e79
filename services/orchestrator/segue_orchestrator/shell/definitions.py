"""Definitions: how are workflows kept for ever, and found ready to run?"""

from collections import OrderedDict
from typing import Final

from segue_language import Workflow, canonical_json, content_hash, load_canonical
from segue_orchestrator.core.plan import Plan, compile_plan
from segue_shared.errors import TooLargeError
from segue_shared.keyvalue import KeyValue

MAX_BYTES: Final = 512 * 1024
_CACHED_PLANS: Final = 512


class Definitions:
    """Immutable definitions by hash, with recent plans at hand."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    async def save(self, namespace: str, workflow: Workflow) -> str:
        """Store a definition and return its hash; the same content is stored once.

        Raises:
            TooLargeError: The definition is over 512 KiB.
        """
        digest = content_hash(workflow)
        key = f"{namespace}.{digest}"
        if key not in self._plans:
            data = canonical_json(workflow)
            if len(data) > MAX_BYTES:
                raise TooLargeError(
                    f"the definition has {len(data)} bytes, {MAX_BYTES} are allowed; "
                    "move large values into the inputs or payloads"
                )
            await self._store.create(key, data)
            self._keep(key, compile_plan(workflow))
        return digest

    async def plan(self, namespace: str, digest: str) -> Plan | None:
        """Return the plan of a stored definition; None when it is not stored."""
        key = f"{namespace}.{digest}"
        if (plan := self._plans.get(key)) is not None:
            self._plans.move_to_end(key)
            return plan
        entry = await self._store.get(key)
        if entry is None:
            return None
        return self._keep(key, compile_plan(load_canonical(entry.value)))

    async def load(self, namespace: str, digest: str) -> Workflow | None:
        """Return a stored definition; None when it is not stored."""
        entry = await self._store.get(f"{namespace}.{digest}")
        return None if entry is None else load_canonical(entry.value)

    def _keep(self, key: str, plan: Plan) -> Plan:
        self._plans[key] = plan
        if len(self._plans) > _CACHED_PLANS:
            self._plans.popitem(last=False)
        return plan
