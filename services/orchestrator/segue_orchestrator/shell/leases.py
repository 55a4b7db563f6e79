"""Leases: how does a run get to hold one, and give it back?

A lease is one key that changes by compare-and-set. Who holds it is told in the run's own journal,
after the key says so; a run that misses the word asks again by its timer, and finds itself there.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from segue_contracts.envelope import encode
from segue_contracts.v1 import runs, subjects
from segue_orchestrator.core.effects import Acquire, Release
from segue_orchestrator.core.leases import Lease, granted, queued, without, without_gone
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.writer import Writer
from segue_shared.clock import Clock
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue

_decoder: Final = msgspec.json.Decoder(Lease)


class Leases:
    """Concurrency keys and rates."""

    def __init__(self, store: KeyValue, journal: Journal, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._writer = writer
        self._clock = clock

    async def acquire(self, state: RunState, effect: Acquire) -> int:
        """Have a run hold a lease or wait for it; return when to look again, 0 for whenever."""
        namespace = state.namespace
        while True:
            lease, revision = await self._get(namespace, effect.name)
            changed = msgspec.structs.replace(lease, limit=effect.limit, per_ms=effect.per_ms)
            if not changed.holds(state.run):
                changed = await self._asked(namespace, changed, state.run)
            if not changed.holds(state.run) and effect.policy == "cancelNewest":
                return await self._refuse(state, effect)
            if await self._put(namespace, effect.name, changed, lease, revision):
                break
        if not changed.holds(state.run):
            return await self._wait(state, effect, changed)
        newly = [holder.run for holder in changed.holders if not lease.holds(holder.run)]
        await self._grant(namespace, effect.name, {*newly, state.run}, effect.key, effect.kind)
        return 0

    async def release(self, state: RunState, effect: Release) -> None:
        """Take an ended run out of its leases; whoever is next gets its place."""
        for name in effect.names:
            while True:
                lease, revision = await self._get(state.namespace, name)
                changed = await self._next(state.namespace, without(lease, state.run))
                if await self._put(state.namespace, name, changed, lease, revision):
                    break
            newly = [holder.run for holder in changed.holders if not lease.holds(holder.run)]
            kind: runs.LeaseKind = "rate" if changed.per_ms else "concurrency"
            await self._grant(state.namespace, name, newly, "", kind)

    async def _asked(self, namespace: str, lease: Lease, run: str) -> Lease:
        """Return the lease with a run among its holders if there is room, else in its queue."""
        changed, _ = granted(queued(lease, run), now_ms=self._clock.now_ms())
        if changed.holds(run):
            return changed
        return await self._next(namespace, queued(lease, run))

    async def _next(self, namespace: str, lease: Lease) -> Lease:
        """Return the lease without runs that are gone, its free places given to the next."""
        names = {holder.run for holder in lease.holders} | set(lease.waiters)
        gone = await self._gone(namespace, names)
        now_ms = self._clock.now_ms()
        changed, _ = granted(without_gone(lease, gone.__contains__, now_ms=now_ms), now_ms=now_ms)
        return changed

    async def _gone(self, namespace: str, names: Iterable[str]) -> set[str]:
        """Return which runs are over."""
        ends = {subjects.run_event(namespace, run, "ended"): run for run in names}
        if not ends:
            return set()
        return {ends[stored.subject] for stored in await self._journal.last(list(ends))}

    async def _refuse(self, state: RunState, effect: Acquire) -> int:
        reason = f"{effect.limit} runs with concurrency key {effect.key!r} are going on"
        await self._cancel(state.namespace, state.run, reason)
        return 0

    async def _wait(self, state: RunState, effect: Acquire, lease: Lease) -> int:
        if effect.name not in state.leases_held:
            body = runs.LeaseHeld(key=effect.key, limit=effect.limit, kind=effect.kind)
            prefix = state.prefix
            subject = subjects.lease_held(prefix, effect.name)
            await self._writer.create(subject, body, about=state.run, startseq=state.start_seq)
        if effect.policy == "cancelRunning":
            ahead = lease.waiters.index(state.run) + 1
            for holder in lease.holders[:ahead]:
                reason = f"run {state.run} with the same concurrency key began"
                await self._cancel(state.namespace, holder.run, reason)
        return min((holder.until_ms for holder in lease.holders if holder.until_ms), default=0)

    async def _cancel(self, namespace: str, run: str, reason: str) -> None:
        subject = subjects.run_event(namespace, run, "cancel_requested")
        await self._writer.create(subject, runs.CancelRequested(reason=reason), about=run)

    async def _grant(
        self, namespace: str, name: str, names: Iterable[str], key: str, kind: runs.LeaseKind
    ) -> None:
        for run in names:
            subject = subjects.lease_granted(subjects.run_prefix(namespace, run), name)
            await self._writer.create(subject, runs.LeaseGranted(key=key, kind=kind), about=run)

    async def _get(self, namespace: str, name: str) -> tuple[Lease, int]:
        entry = await self._store.get(f"{namespace}.{name}")
        return (Lease(), 0) if entry is None else (_decoder.decode(entry.value), entry.revision)

    async def _put(
        self, namespace: str, name: str, changed: Lease, lease: Lease, revision: int
    ) -> bool:
        """Store a lease unless it has moved on."""
        if changed == lease and revision:
            return True
        key, data = f"{namespace}.{name}", encode(changed)
        if revision == 0:
            return await self._store.create(key, data) is not None
        return await self._store.update(key, data, revision) is not None
