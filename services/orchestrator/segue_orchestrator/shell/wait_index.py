"""The wait index: which runs wait for an event, and who waits at all?"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from segue_contracts.envelope import encode
from segue_contracts.v1 import topology
from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.subjects import short_hash
from segue_orchestrator.core.effects import BeginWait
from segue_orchestrator.core.state import OverWait, RunState
from segue_shared.errors import TooLargeError
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue

MAX_SCOPE: Final = 256 * 1024
"""Bytes of what the condition on an event may read."""


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """A wait as it is found by what it is for."""

    run: str
    token: str
    kind: str
    name: str = ""
    since_ms: int = 0
    match: str = ""
    """What an event must satisfy; empty for any."""
    scope: Mapping[str, Any] = {}
    """What that condition reads: `inputs`, `outputs`, `states` and `run`."""


class WaitIndex:
    """The waits of all runs, in a bucket, ordered by what they are for."""

    def __init__(self, store: KeyValue, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    async def put(self, state: RunState, effect: BeginWait) -> None:
        """Note a wait, before it begins.

        Raises:
            TooLargeError: What the condition reads is too large.
        """
        asked = effect.asked
        entry = Indexed(
            run=state.run,
            token=effect.token,
            kind=asked.kind,
            name=asked.name,
            since_ms=state.now_ms,
            match=effect.match,
            scope=effect.scope,
        )
        data = encode(entry)
        if len(data) > MAX_SCOPE:
            message = f"step {effect.step.key}: the condition on the event reads {len(data)} bytes"
            raise TooLargeError(f"{message}, {MAX_SCOPE} are allowed")
        # One that comes late, after the wait has ended, must not list it again.
        key = _key(state, asked, effect.token, effect.attempt)
        await self._store.update(key, data, 0)

    async def drop(self, state: RunState, over: OverWait) -> None:
        """Forget a wait that has ended."""
        await self._store.delete(_key(state, over.asked, over.token, over.attempt))

    async def waiting_for(self, namespace: str, topic: str) -> list[Indexed]:
        """Return who waits for events of a topic."""
        return await self._read(f"{namespace}.event.{short_hash(topic)}.>")

    async def all(self, namespace: str, *, kind: str = "", run: str = "") -> list[Indexed]:
        """Return who waits, the longest waiting first."""
        found = await self._read(f"{namespace}.{kind or '*'}.*.{run or '*'}.>")
        return sorted(found, key=lambda entry: entry.since_ms)

    async def _read(self, pattern: str) -> list[Indexed]:
        stored = await self._journal.last([f"$KV.{topology.WAITS}.{pattern}"])
        return [msgspec.json.decode(m.data, type=Indexed) for m in stored if m.data]


def _key(state: RunState, asked: StepWaiting, token: str, attempt: int) -> str:
    place = f"{state.namespace}.{asked.kind}.{short_hash(asked.name)}"
    return f"{place}.{state.run}.{token.replace('~', '=')}.{attempt}"
