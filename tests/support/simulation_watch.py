"""The watch: does every event, as it is stored, keep the invariants?"""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from segue_contracts.payload import Value
from segue_contracts.v1 import runs
from segue_contracts.v1.topology import PAYLOADS, RUNS
from segue_language import Workflow, content_hash
from segue_orchestrator.core.compiling import compile_plan
from segue_orchestrator.core.entries import read
from segue_orchestrator.core.evolve import begin, evolve, touch_all
from segue_orchestrator.core.invariants import Checker, differences
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import Entry, RunState
from segue_orchestrator.shell.live import Live
from segue_testing.sim import SimServer
from segue_testing.sim.stream import Held


@dataclass
class Seen:
    """A run as its whole history tells, purged or not."""

    run: str
    plan: Plan
    entries: list[Entry]
    checker: Checker
    output: Any = None
    """What it ended with, as it was then."""

    @property
    def state(self) -> RunState:
        """The fold of everything."""
        return self.checker.state

    def start(self) -> RunState:
        """Return the state after the first event, anew."""
        state = begin(self.run, "default", self.entries[0])
        if state is None:
            raise ValueError(f"the history of {self.run} does not begin with its start")
        touch_all(state, self.plan)
        return state

    def at(self, sequence: int) -> RunState:
        """Return the fold of everything up to a sequence."""
        state = self.start()
        for entry in self.entries[1:]:
            if entry.sequence <= sequence:
                evolve(state, self.plan, entry)
        return state


class Watch:
    """Keeps all history, checks each event, and notes what is broken.

    Args:
        server: Where it all happens.
        workflows: Every definition that runs are of.
    """

    def __init__(self, server: SimServer, workflows: list[Workflow]) -> None:
        self._server = server
        self._plans = {content_hash(one): compile_plan(one) for one in workflows}
        self.runs: dict[str, Seen] = {}
        self.problems: list[str] = []
        self.broken = asyncio.Event()
        """Set by the first problem."""
        self._holders: dict[str, set[str]] = {}

    def complain(self, problem: str) -> None:
        """Note that something is wrong."""
        self.problems.append(problem)
        self.broken.set()

    def on_stored(self, stream: str, held: Held) -> None:
        """See a message that was stored."""
        if stream != RUNS:
            return
        event = read(
            held.subject,
            held.data,
            sequence=held.sequence,
            time_ms=held.time_ns // 1_000_000,
        )
        if event.flaw:
            self.complain(f"{held.subject}: {event.flaw}")
        run, entry = event.place.run, event.entry
        if run not in self.runs:
            self._begin(run, entry)
        else:
            seen = self.runs[run]
            seen.entries.append(entry)
            for breach in seen.checker.add(entry):
                if breach.invariant == "one_event_per_subject" and self._is_alone(held.subject):
                    continue  # what was there before was purged, and the fold does not care
                self.complain(f"{run}: {breach.invariant}: {breach.place}: {breach.message}")
            if isinstance(entry.body, runs.RunEnded):
                seen.output = self._unwrapped(entry.body.output)
        self._check_leases(run, entry)

    def _is_alone(self, subject: str) -> bool:
        return len(self._server.streams[RUNS].by_subject[subject]) == 1

    def _unwrapped(self, value: Value | msgspec.UnsetType) -> Any:
        if isinstance(value, msgspec.UnsetType):
            return None
        if isinstance(value.ref, msgspec.UnsetType):
            return value.inline
        stored = self._server.objects[PAYLOADS].get(value.ref.sha256)
        if stored is None:
            self.complain(f"payload {value.ref.sha256} is referred to before it is stored")
            return None
        return msgspec.json.decode(stored.data)

    def _begin(self, run: str, entry: Entry) -> None:
        state = begin(run, "default", entry)
        if state is None:
            self.complain(f"{run}: its history begins with {'.'.join(entry.event)}")
            return
        plan = self._plans[state.definition]
        touch_all(state, plan)
        self.runs[run] = Seen(run, plan, [entry], Checker(state, plan))

    def _check_leases(self, run: str, entry: Entry) -> None:
        """Check that no more runs hold a lease than it allows, as far as they were told."""
        if entry.event[0] != "granted" or run not in self.runs:
            return
        state, plan = self.runs[run].state, self.runs[run].plan
        for lease in plan.leases:
            if lease.kind != "concurrency" or state.ended is not None:
                continue
            holders = self._holders.setdefault(entry.event[1], set())
            holders.add(run)
            live = sorted(one for one in holders if self.runs[one].state.ended is None)
            if len(live) > lease.limit:
                self.complain(f"{run}: lease {lease.key!r} of {lease.limit} is held by {live}")

    def compare(self, owner: str, live: Live) -> None:
        """Hold a state that an owner has against the fold of the same events."""
        state = live.state
        names = differences(self.runs[state.run].at(state.last_seq), state)
        if names:
            self.complain(
                f"{state.run}: {owner} holds another state at {state.last_seq}: {', '.join(names)}"
            )

    @property
    def live(self) -> list[Seen]:
        """The runs that have not ended."""
        return [seen for seen in self.runs.values() if seen.state.ended is None]

    def tops(self) -> dict[str, Seen]:
        """Return the runs that people started, by their idempotency key."""
        return {
            seen.state.started.key: seen
            for seen in self.runs.values()
            if isinstance(seen.state.started.parent, msgspec.UnsetType)
        }
