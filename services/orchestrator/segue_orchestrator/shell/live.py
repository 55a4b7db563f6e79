"""Live runs: which runs does this process hold, and how does it get the others?"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from segue_contracts.v1 import subjects
from segue_orchestrator.core.entries import JournalEvent, read
from segue_orchestrator.core.evolve import begin, evolve, touch_all
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.outputs import Outputs
from segue_shared.errors import NotFoundError, PayloadMissingError, PermanentError
from segue_shared.journal import Journal, StoredMessage
from segue_shared.payloads import Payloads

MAX_CACHED: Final = 4_096


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


@dataclass(slots=True)
class Loader:
    """Makes live runs from the journal."""

    journal: Journal
    definitions: Definitions
    payloads: Payloads
    outputs: Outputs

    async def begin(self, event: JournalEvent) -> Live:
        """Return the live run of a `started` event.

        Raises:
            UnknownRunError: The event is another.
            UnstartableError: Its definition or its inputs are not stored.
        """
        state = begin(event.place.run, event.place.namespace, event.entry)
        if state is None:
            raise UnknownRunError(f"no run {event.place.run} in namespace {event.place.namespace}")
        try:
            definition = await self.definitions.load(state.namespace, state.definition)
        except ValueError as error:
            raise UnstartableError(state, "definition_invalid", str(error)) from error
        if definition is None:
            message = f"definition {state.definition} of workflow {state.workflow} is missing"
            raise UnstartableError(state, "definition_missing", message)
        plan = definition.plan
        try:
            inputs = await self.payloads.unwrap(state.inputs)
        except PayloadMissingError as error:
            raise UnstartableError(state, "payload_missing", f"the inputs: {error}") from error
        touch_all(state, plan)
        return Live(state=state, plan=plan, inputs=inputs if isinstance(inputs, dict) else {})

    async def load(self, namespace: str, run: str, *, at_least: int = 0) -> Live:
        """Fold a run from its journal.

        Args:
            namespace: The run's tenant.
            run: The run's id.
            at_least: A sequence that the fold must contain; a lagging replica is read again.

        Raises:
            UnknownRunError: The journal holds no start of it.
            UnstartableError: Its definition or its inputs are not stored.
        """
        events: list[JournalEvent] = []
        while not events or events[-1].entry.sequence < at_least:
            stored = await self.journal.last([subjects.run_all(namespace, run)])
            if not stored:
                raise UnknownRunError(f"no run {run} in namespace {namespace}")
            events = [_read(message) for message in stored]
        first, *rest = events
        live = await self.begin(first)
        for event in rest:
            self.fold(live, event)
        touch_all(live.state, live.plan)
        return live

    def fold(self, live: Live, event: JournalEvent) -> None:
        """Fold one event that was read back from the journal."""
        self.outputs.remember(event.entry)
        evolve(live.state, live.plan, event.entry)


def _read(message: StoredMessage) -> JournalEvent:
    return read(message.subject, message.data, sequence=message.sequence, time_ms=message.time_ms)


@dataclass(slots=True)
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
