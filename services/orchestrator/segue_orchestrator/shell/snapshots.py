"""Snapshots: where are the states of long runs kept?"""

import msgspec
from msgspec import UnsetType

from segue_contracts.envelope import encode
from segue_contracts.payload import Value
from segue_orchestrator.core.snapshot import decode_state, encode_state, journaled, relocate
from segue_orchestrator.core.state import OutputAt, RunState
from segue_orchestrator.shell.outputs import Outputs
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads


class Snapshots:
    """One snapshot a run, in a bucket; large ones lie in the payload store."""

    def __init__(self, store: KeyValue, payloads: Payloads, outputs: Outputs) -> None:
        self._store = store
        self._payloads = payloads
        self._outputs = outputs

    async def load(self, namespace: str, run: str) -> RunState | None:
        """Return a run's snapshot; None when it has none, or one of a form not known here.

        It is the newest one: what comes before it may be gone from the journal.
        """
        entry = await self._store.newest(f"{namespace}.{run}")
        if entry is None:
            return None
        content = await self._payloads.unwrap(msgspec.json.decode(entry.value, type=Value))
        return decode_state(msgspec.json.encode(content))

    async def holds(self, namespace: str, run: str) -> bool:
        """Tell whether a run has a snapshot."""
        return await self._store.newest(f"{namespace}.{run}") is not None

    async def save(self, state: RunState) -> None:
        """Keep a state from which the run can go on without its older events.

        Values that only those events hold are moved to the payload store first. The state is
        changed accordingly, so it must not be one that is being folded.
        """
        moved: dict[OutputAt, OutputAt] = {}
        for at in sorted(journaled(state), key=lambda at: at.sequence):
            value = await self._outputs.value(at)
            moved[at] = OutputAt(at.sequence, await self._payloads.keep(value))
        relocate(state, moved)
        value = await self._payloads.wrap_json(encode_state(state))
        await self._store.put(f"{state.namespace}.{state.run}", encode(value))

    async def keys(self) -> list[tuple[str, str]]:
        """Return namespace and id of every run that has a snapshot."""
        found = (key.partition(".") for key in await self._store.keys())
        return [(namespace, run) for namespace, _, run in found]

    async def own_references(self, namespace: str, run: str) -> set[str]:
        """Return the hash of the payload that a snapshot itself is; none for a small one."""
        entry = await self._store.newest(f"{namespace}.{run}")
        if entry is None:
            return set()
        value = msgspec.json.decode(entry.value, type=Value)
        return set() if isinstance(value.ref, UnsetType) else {value.ref.sha256}

    async def drop(self, namespace: str, run: str) -> None:
        """Forget the snapshot of a run that is over and archived."""
        await self._store.delete(f"{namespace}.{run}")
