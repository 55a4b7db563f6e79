"""Live runs: which runs does this process hold, and how does it get the others?"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import UnsetType

from segue_contracts.v1 import subjects
from segue_orchestrator.core.entries import JournalEvent, read, started_of
from segue_orchestrator.core.evolve import begin, evolve, take_over, touch_all
from segue_orchestrator.core.inputs import bind_inputs
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.beats import Beats
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.snapshots import Snapshots
from segue_shared.errors import NotFoundError, PayloadMissingError, PermanentError
from segue_shared.journal import Journal, StoredMessage
from segue_shared.payloads import Payloads

MAX_CACHED: Final = 4_096
_LAG_S: Final = 0.02
"""How long to wait for a replica that lacks what the journal is known to hold."""


class UnknownRunError(NotFoundError):
    """The journal holds no start of this run."""


class UnstartableError(PermanentError):
    """The run began, but what it needs to go on is not there; it is parked with this reason."""

    def __init__(self, state: RunState, code: str, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.code = code


@dataclass(slots=True, kw_only=True)
class Live:
    """A run in memory."""

    state: RunState
    plan: Plan
    inputs: Mapping[str, Any]
    armed_ms: int = 0
    """The deadline of the timer that this process armed; 0 for none."""
    hinted: bool = False
    """Whether workers were told to stop."""
    told: bool = False
    """Whether its parent knows of its end, as before anything that comes after the end."""
    fresh: bool = False
    """Whether it was just read, so that it knows where the janitor has moved values to."""
    beats: Beats = field(default_factory=Beats)
    """The signs of life of its attempts."""
    storing: set[asyncio.Future[bool]] = field(default_factory=set)
    """What is being stored for it; each tells, once it is over, whether all of it was stored."""


@dataclass(slots=True)
class Loader:
    """Makes live runs from the journal."""

    journal: Journal
    definitions: Definitions
    payloads: Payloads
    outputs: Outputs
    snapshots: Snapshots

    async def begin(self, event: JournalEvent) -> Live:
        """Return the live run of a `started` event.

        Raises:
            UnknownRunError: The event is another.
            UnstartableError: Its definition, its inputs or what it shares are not stored.
        """
        state = begin(event.place.run, event.place.namespace, event.entry)
        if state is None:
            raise UnknownRunError(f"no run {event.place.run} in namespace {event.place.namespace}")
        live = await self._live(state)
        fork = state.started.fork
        if not isinstance(fork, UnsetType):
            settled = await self._unwrapped(state, fork.settled, "what it took over")
            take_over(state, live.plan, settled)
        touch_all(state, live.plan)
        return live

    async def _live(self, state: RunState) -> Live:
        """Return a run with the plan and the inputs that its state names."""
        try:
            definition = await self.definitions.load(state.namespace, state.definition)
        except ValueError as error:
            raise UnstartableError(state, "definition_invalid", str(error)) from error
        if definition is None:
            message = f"definition {state.definition} of workflow {state.workflow} is missing"
            raise UnstartableError(state, "definition_missing", message)
        given = await self._unwrapped(state, state.inputs, "the inputs")
        # What a step gives the run that is its work has no defaults yet.
        inputs = bind_inputs(definition.workflow, given)
        return Live(state=state, plan=definition.plan, inputs=inputs)

    async def _unwrapped(self, state: RunState, value: Any, what: str) -> dict[str, Any]:
        try:
            content = await self.payloads.unwrap(value)
        except PayloadMissingError as error:
            raise UnstartableError(state, "payload_missing", f"{what}: {error}") from error
        return content if isinstance(content, dict) else {}

    async def load(self, namespace: str, run: str, *, at_least: int = 0, at_most: int = 0) -> Live:
        """Fold a run from its snapshot, if there is one, and its journal.

        Args:
            namespace: The run's tenant.
            run: The run's id.
            at_least: A sequence that the fold must contain; a lagging replica is read again.
            at_most: The newest sequence to fold; 0 for all. Snapshots beyond it are not used.

        Raises:
            UnknownRunError: Neither holds a start of it.
            UnstartableError: Its definition or its inputs are not stored.
        """
        state, events = await self._read(namespace, run, at_least, at_most)
        if state is not None:
            live = await self._live(state)
        elif events:
            live = await self.begin(events.pop(0))
        else:
            raise UnknownRunError(f"no run {run} in namespace {namespace}")
        for event in events:
            if not 0 < at_most < event.entry.sequence:
                self.fold(live, event)
        live.fresh = True
        touch_all(live.state, live.plan)
        return live

    async def _read(
        self, namespace: str, run: str, at_least: int, at_most: int
    ) -> tuple[RunState | None, list[JournalEvent]]:
        """Return a run's snapshot and the events after it, of which none was let go meanwhile."""
        state = await self._snapshot(namespace, run, at_most)
        while True:
            events = await self._events(namespace, run, state, at_least)
            if state is None and events and started_of(events[0]) is not None:
                return state, events
            newer = await self._snapshot(namespace, run, at_most)
            if _position(newer) == _position(state):
                return state, events
            state = newer

    async def _snapshot(self, namespace: str, run: str, at_most: int) -> RunState | None:
        state = await self.snapshots.load(namespace, run)
        return None if state is not None and 0 < at_most < state.last_seq else state

    async def _events(
        self, namespace: str, run: str, state: RunState | None, at_least: int
    ) -> list[JournalEvent]:
        """Return a run's events, those after its snapshot where it has one."""
        pattern = subjects.run_all(namespace, run)
        while True:
            if state is None:
                stored = await self.journal.unbroken(pattern)
            else:
                stored = await self.journal.all_after(pattern, state.last_seq)
            newest = stored[-1].sequence if stored else (state.last_seq if state else 0)
            if newest >= at_least or await self._is_gone(at_least):
                return [_read(message) for message in stored]
            await asyncio.sleep(_LAG_S)

    async def _is_gone(self, sequence: int) -> bool:
        """Tell whether no read, however fresh, can find an event any more."""
        return await self.journal.get(sequence) is None

    def fold(self, live: Live, event: JournalEvent) -> None:
        """Fold one event that was read back from the journal."""
        self.outputs.remember(event.entry)
        live.fresh = live.fresh and event.entry.sequence <= live.state.last_seq
        live.beats.note(event.entry)
        evolve(live.state, live.plan, event.entry)


def _position(state: RunState | None) -> int:
    return 0 if state is None else state.last_seq


def _read(message: StoredMessage) -> JournalEvent:
    return read(message.subject, message.data, sequence=message.sequence, time_ms=message.time_ms)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Cache:
    """The live runs of one shard consumer, bounded; the longest untouched goes first."""

    limit: int = MAX_CACHED
    _runs: OrderedDict[tuple[str, str], Live] = field(default_factory=OrderedDict)

    def get(self, key: tuple[str, str]) -> Live | None:
        """Return a run that is held, as the one used last."""
        live = self._runs.get(key)
        if live is not None:
            self._runs.move_to_end(key)
        return live

    def put(self, key: tuple[str, str], live: Live) -> None:
        """Hold a run."""
        self._runs[key] = live
        if len(self._runs) > self.limit:
            self._runs.popitem(last=False)

    def drop(self, key: tuple[str, str]) -> None:
        """Forget a run."""
        self._runs.pop(key, None)

    def clear(self) -> None:
        """Forget every run."""
        self._runs.clear()

    def __len__(self) -> int:
        return len(self._runs)
