"""The check of journals: does what is stored keep the invariants, and will it go on?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from segue_contracts.payload import Value
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.commands import Violation
from segue_orchestrator.core.decide import decide
from segue_orchestrator.core.effects import Arm, Decision, Dispatch, Durable
from segue_orchestrator.core.entries import JournalEvent, read
from segue_orchestrator.core.invariants import at_rest, check_journal, copied
from segue_orchestrator.core.leases import Lease
from segue_orchestrator.core.messages import fact_of
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt, RunState
from segue_orchestrator.shell.live import Live, Loader, UnstartableError
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_shared.clock import Clock
from segue_shared.errors import PayloadMissingError
from segue_shared.journal import Journal, StoredMessage

QUIET_MS: Final = 10_000
"""A run whose newest event is younger may be amid its next decision."""

SOON_MS: Final = 60_000
"""A timer within this time looks at a run early enough for what it has missed."""

_LEASES: Final = msgspec.json.Decoder(Lease)
_NO_VALUE: Final = Value()


class Checked(msgspec.Struct, frozen=True):
    """What was found of one run."""

    events: int
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True)
class Fsck:
    """Reads everything, changes nothing."""

    loader: Loader
    waits: WaitIndex
    pools: Pools
    timers: Journal
    leases: Journal
    clock: Clock

    async def run(self, namespace: str, run: str) -> Checked:
        """Hold the journal of a run against the invariants, and tell what will not go on."""
        origin, events = await self._origin(namespace, run)
        if origin is None:
            return Checked(len(events), tuple(_unstartable(run, events)))
        state, plan = origin.state, origin.plan
        entries = [event.entry for event in events]
        folded, breaches = check_journal(lambda: copied(state), plan, entries)
        found = [_violation(run, one.invariant, f"{one.place}: {one.message}") for one in breaches]
        found += await self._around(Live(state=folded, plan=plan, inputs=origin.inputs), events)
        return Checked(len(events), tuple(found))

    async def _origin(self, namespace: str, run: str) -> tuple[Live | None, list[JournalEvent]]:
        """Return the earliest state that is known of a run, if it can go on, and its events."""
        loader, pattern = self.loader, subjects.run_all(namespace, run)
        started = await loader.journal.last([subjects.run_event(namespace, run, "started")])
        try:
            if started:
                events = await self._events(pattern, started[0].sequence - 1)
                return await loader.begin(events[0]), events
            live = await loader.load(namespace, run)
            first = await loader.snapshots.load(namespace, run)
        except UnstartableError:
            return None, await self._events(pattern, 0)
        origin = live if first is None else Live(state=first, plan=live.plan, inputs=live.inputs)
        return origin, await self._events(pattern, origin.state.last_seq)

    async def _events(self, pattern: str, sequence: int) -> list[JournalEvent]:
        # Not the newest of each subject: a second event on one is just what is looked for.
        return [_read(stored) for stored in await self.loader.journal.all_after(pattern, sequence)]

    # What is stored beside the journal.

    async def _around(self, live: Live, events: list[JournalEvent]) -> list[Violation]:
        state = live.state
        newest_ms = events[-1].entry.time_ms if events else 0
        if newest_ms + QUIET_MS > self.clock.now_ms():
            return []
        if state.ended is not None:
            return [
                _violation(
                    state.run, "wait_has_open_run", f"step {wait.token} is listed as waiting"
                )
                for wait in await self.waits.all(state.namespace, run=state.run)
            ]
        state.touched.clear()
        idle = [
            _violation(state.run, b.invariant, f"{b.place}: {b.message}")
            for b in at_rest(state, live.plan)
        ]
        try:
            decision = await self._decision(live)
        except PayloadMissingError as error:
            return [_violation(state.run, "payload_exists", str(error))]
        found = await self._unwoken(state, decision, idle, _stored(events))
        return [*found, *await self._unserved(live), *await self._orphaned(state)]

    async def _decision(self, live: Live) -> Decision:
        """Return what a new owner would decide."""
        state, outputs = copied(live.state), dict[OutputAt, Any]()
        state.touched.update(live.plan.steps, state.in_flight, state.retrying, state.held)
        while True:
            decision = decide(state, live.plan, Known(inputs=live.inputs, outputs=outputs))
            if not decision.needs:
                return decision
            outputs |= await self.loader.outputs.fetch(decision.needs)

    async def _unwoken(
        self, state: RunState, decision: Decision, idle: list[Violation], stored: set[str]
    ) -> list[Violation]:
        """Return what is missing and will not be made up for by a timer soon."""
        due = [effect.at_ms for effect in decision.effects if isinstance(effect, Arm)]
        armed = await self._armed(state)
        found = []
        if due and not (armed and min(armed) <= min(due)):
            at = f"{min(due)} ({(min(due) - state.now_ms) / 1000:g} s after its newest event)"
            found.append(_violation(state.run, "timer_is_armed", f"no timer is armed for {at}"))
        if armed and min(armed) <= self.clock.now_ms() + SOON_MS:
            return found
        missing = [*_missing(state, decision, stored)]
        return [*found, *(idle if missing else []), *missing]

    async def _armed(self, state: RunState) -> list[int]:
        """Return the moments for which a run's timers are armed."""
        pattern = subjects.timers_of(state.namespace, state.run)
        ends = [stored.subject.rpartition(".")[2] for stored in await self.timers.last([pattern])]
        return [int(end) for end in ends if end.isdigit()]

    async def _unserved(self, live: Live) -> list[Violation]:
        """Return the pools of tasks in flight that have no consumer."""
        state = live.state
        steps = (live.plan.find(token) for token in state.in_flight)
        pools = sorted({step.pool for step in steps if step is not None and step.pool})
        return [
            _violation(state.run, "pool_is_served", f"pool {pool} has no consumer")
            for pool in pools
            if not await self.pools.exists(pool, state.namespace)
        ]

    async def _orphaned(self, state: RunState) -> list[Violation]:
        """Return the child runs that are not there, or have ended without telling."""
        found = []
        for token in sorted(state.in_flight):
            if not (child := state.steps[token].child):
                continue
            names = {subjects.run_event(state.namespace, child, e): e for e in ("started", "ended")}
            seen = {names[one.subject] for one in await self.loader.journal.last([*names])}
            if "ended" in seen or "started" not in seen:
                what = "has ended, which its parent was not told" if seen else "was never started"
                message = f"step {subjects.step_text_of(token)}: run {child} {what}"
                found.append(_violation(state.run, "child_is_linked", message))
        return found

    # Leases.

    async def held(self, namespace: str) -> list[Violation]:
        """Return the leases of a namespace whose holders are no live runs."""
        found = []
        for stored in await self.leases.last([f"$KV.{topology.LEASES}.{namespace}.>"]):
            if not stored.data or stored.time_ms + QUIET_MS > self.clock.now_ms():
                continue
            lease = _LEASES.decode(stored.data)
            name = stored.subject.rpartition(".")[2]
            for holder in lease.holders:
                if not holder.until_ms and (why := await self._gone(namespace, holder.run)):
                    message = f"lease {name} is held by a run that {why}"
                    found.append(_violation(holder.run, "lease_has_live_owner", message))
        return found

    async def _gone(self, namespace: str, run: str) -> str:
        """Return why a run holds nothing; empty when it goes on."""
        loader = self.loader
        ended = await loader.journal.last([subjects.run_event(namespace, run, "ended")])
        if ended:
            settled = ended[0].time_ms + QUIET_MS <= self.clock.now_ms()
            return "has ended" if settled else ""
        started = await loader.journal.last([subjects.run_event(namespace, run, "started")])
        if started or await loader.snapshots.load(namespace, run) is not None:
            return ""
        return "does not exist"


def _read(stored: StoredMessage) -> JournalEvent:
    return read(stored.subject, stored.data, sequence=stored.sequence, time_ms=stored.time_ms)


def _violation(run: str, invariant: str, message: str) -> Violation:
    return Violation(run=run, invariant=invariant, message=message)


def _unstartable(run: str, events: list[JournalEvent]) -> Iterator[Violation]:
    """Yield that a run cannot go on, unless it says so itself."""
    if not any(event.entry.event[0] in {"parked", "ended"} for event in events):
        yield _violation(run, "next_cause", "what it needs is not stored, and it is not parked")


def _stored(events: list[JournalEvent]) -> set[str]:
    """Return the subjects of events, and the groups among which only one may exist."""
    names = {".".join(event.entry.event) for event in events}
    return names | {name.partition(".scheduled.")[0] + ".scheduled" for name in names}


def _missing(state: RunState, decision: Decision, stored: set[str]) -> Iterator[Violation]:
    """Yield the events that a new owner would store, and that are not there."""
    for effect in decision.effects:
        if not isinstance(effect, Durable):
            continue
        event = ".".join(subjects.parse_run(fact_of(effect, state, _NO_VALUE).subject).event)
        if isinstance(effect, Dispatch):
            event = event.partition(".scheduled.")[0] + ".scheduled"
        if event not in stored:
            yield _violation(state.run, "next_cause", f"{event} is due, and nothing will store it")
