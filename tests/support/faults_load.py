"""The load: which runs go on while parts of Segue die, and how is it seen that all is well?"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UnsetType
from support.faults_parts import POOL
from support.faults_shapes import SHAPES, SIGNAL, SUB, Expected, Shape
from support.wait import until

from segue_contracts.payload import Value
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import RunAccepted, SaveWorkflow, SignalRun, StartRun
from segue_contracts.v1.runs import RunEnded, RunParked
from segue_contracts.v1.topology import PAYLOADS, RUNS, WORKFLOWS, pool_consumer
from segue_orchestrator.core.entries import JournalEvent, read
from segue_orchestrator.core.evolve import begin
from segue_orchestrator.core.invariants import check_journal
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.definitions import Definitions
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

PATIENCE_S: Final = 60.0
_TOLD: Final = 8
_POOL_INFO: Final = f"$JS.API.CONSUMER.INFO.{RUNS}.{pool_consumer(POOL).name}"

B = TypeVar("B")
NAMESPACE: Final = "default"


class Started(msgspec.Struct, frozen=True):
    """A run that was accepted."""

    run: str
    shape: Shape
    n: int
    key: str

    @property
    def expected(self) -> Expected:
        """How it must end."""
        return self.shape.expected(self.n)


class Load:
    """The runs of one test, and what it knows of them."""

    def __init__(self, bus: Bus, *, problems: Callable[[], list[str]]) -> None:
        """Make a load.

        Args:
            bus: A client's connection.
            problems: Returns how parts ended that no fault hit.
        """
        self.bus: Final = bus
        self._problems = problems
        self._journal = Journal(bus, RUNS)
        self._payloads = Payloads(bus, PAYLOADS)
        self._definitions = Definitions(KeyValue(bus, WORKFLOWS))
        self.runs: list[Started] = []
        self._checked: set[str] = set()
        self._name = SystemIds().unique()
        self._numbers = itertools.count()

    async def call(self, command: registry.Command, request: object) -> Any:
        """Send a command until it is answered, however often who should answer dies."""
        subject = subjects.command(NAMESPACE, command.service, command.verb)

        async def ask() -> object | None:
            self._check_parts()
            try:
                return await self.bus.call(subject, request, command.result, timeout_s=3)
            except TransientError:
                return None
            except RefusedError as error:
                if not error.refused.retryable:
                    raise
                return None

        return await until(ask, patience_s=PATIENCE_S)

    async def prepare(self) -> None:
        """Register what runs start by name."""
        await self.call(registry.SAVE_WORKFLOW, SaveWorkflow(text=SUB))

    # Starting.

    async def start_many(self, count: int) -> list[Started]:
        """Start runs of all shapes at once."""
        numbers = [next(self._numbers) for _ in range(count)]
        shapes = list(SHAPES.values())
        started = await asyncio.gather(*(self._start(shapes[n % len(shapes)], n) for n in numbers))
        self.runs += started
        return started

    def _key(self, n: int) -> str:
        return f"{self._name}-{n}"

    async def start(self, shape: Shape) -> Started:
        """Start a run of a shape, and send it no signal."""
        n = next(self._numbers)
        accepted = await self._accepted(shape, n, self._key(n))
        started = Started(accepted.run, shape, n, self._key(n))
        self.runs.append(started)
        return started

    async def _start(self, shape: Shape, n: int) -> Started:
        key = self._key(n)
        accepted = await self._accepted(shape, n, key)
        started = Started(accepted.run, shape, n, key)
        if shape.signalled:
            await self.signal(started)
        return started

    async def signal(self, started: Started) -> None:
        """Send a run the signal that it waits for; sent again, it is the same."""
        go = SignalRun(run=started.run, name="go", payload=SIGNAL, key=f"go-{started.n}")
        await self.call(registry.SIGNAL_RUN, go)

    async def _accepted(self, shape: Shape, n: int, key: str) -> RunAccepted:
        request = StartRun(text=shape.text, inputs={"n": n}, key=key)
        accepted: RunAccepted = await self.call(registry.START_RUN, request)
        return accepted

    # Ending.

    async def first(self, run: str, pattern: str, kind: type[B]) -> B:
        """Wait for an event of a run and return the body of the first."""
        found = await until(lambda: self._found(run, pattern), patience_s=PATIENCE_S)
        body = found[0].entry.body
        assert isinstance(body, kind)
        return body

    async def _found(self, run: str, pattern: str) -> list[JournalEvent]:
        try:
            return await self.events(run, pattern)
        except TransientError:
            return []

    async def some_event(self) -> None:
        """Wait until the journal grows."""
        before = await self._newest()

        async def grown() -> bool:
            return await self._newest() > before

        await until(grown, patience_s=PATIENCE_S)

    async def _newest(self) -> int:
        try:
            return await self._journal.last_sequence()
        except TransientError:
            return 0

    async def all_end_right(self) -> None:
        """Wait until all runs have ended, and hold each against what it must have become."""
        try:
            await until(self._none_goes_on, patience_s=PATIENCE_S)
        except TimeoutError as error:
            raise AssertionError(await self._told()) from error
        known = {started.run for started in self.runs}
        found = await self._all_runs()
        assert known <= set(found), f"lost: {sorted(known - set(found))}"
        for started in self.runs:
            if started.run not in self._checked:
                await self.check_run(started)
        for run in found:
            if run not in self._checked:
                await self._check_story(run)
        self._checked.update(found)

    async def again(self) -> None:
        """Start all runs again by their keys: each is the run that it was."""
        for started in self.runs:
            accepted = await self._accepted(started.shape, started.n, started.key)
            assert (accepted.run, accepted.existing) == (started.run, True)

    def _check_parts(self) -> None:
        problems = self._problems()
        assert not problems, "\n".join(problems)

    async def _none_goes_on(self) -> bool:
        self._check_parts()
        try:
            return not await self.open_runs()
        except TransientError:
            return False

    async def _told(self) -> str:
        """Say what the runs that go on and on have come to."""
        stories = {}
        for run in (await self.open_runs())[:_TOLD]:
            events = [".".join(event.entry.event) for event in await self.events(run)]
            stories[run] = events[-_TOLD:]
        consumer = await self.bus.request(_POOL_INFO, b"")
        return f"these runs do not end: {stories}; their pool: {consumer.decode()}"

    async def open_runs(self) -> list[str]:
        """Return the runs that have not ended, child runs too."""
        ended = set(await self._runs_with("ended"))
        return [run for run in await self._all_runs() if run not in ended]

    async def _all_runs(self) -> list[str]:
        return await self._runs_with("started")

    async def _runs_with(self, event: str) -> list[str]:
        stored = await self._journal.all_after(subjects.runs_of(NAMESPACE, event), 0)
        return [subjects.parse_run(message.subject).run for message in stored]

    async def check_run(self, started: Started) -> None:
        """Wait for a run's end: it is as its shape says, and every outcome counted once."""
        end = await self.first(started.run, "ended", RunEnded)
        expected = started.expected
        assert end.usage.input_tokens == expected.attempts, started
        if expected.failure:
            assert end.status == "failed", started
            assert not isinstance(end.error, UnsetType)
            assert end.error.code == expected.failure, end.error
            return
        assert end.status == "completed", (started, end)
        assert isinstance(end.output, Value)
        assert await self._payloads.unwrap(end.output) == expected.output, started

    async def events(self, run: str, pattern: str = ">") -> list[JournalEvent]:
        """Return the events of a run, in order."""
        subject = subjects.run_event(NAMESPACE, run, pattern)
        return [
            read(one.subject, one.data, sequence=one.sequence, time_ms=one.time_ms)
            for one in await self._journal.all_after(subject, 0)
        ]

    async def _check_story(self, run: str) -> None:
        """Every invariant holds of the run's journal, and it ended once without being parked."""
        first, *rest = await self.events(run)
        definition = await self._definitions.load(NAMESPACE, _state(first).definition)
        assert definition is not None
        state, breaches = check_journal(
            lambda: _state(first), definition.plan, [event.entry for event in rest]
        )
        assert not breaches, (run, breaches)
        assert state.ended is not None, run
        assert [event.entry.event for event in rest].count(("ended",)) == 1
        parked = [e.entry.body for e in rest if isinstance(e.entry.body, RunParked)]
        assert not parked, (run, parked)


def _state(first: JournalEvent) -> RunState:
    state = begin(first.place.run, NAMESPACE, first.entry)
    assert state is not None, f"a journal begins with {first.entry.event}"
    return state


def sizes(total: int, waves: int) -> Sequence[int]:
    """Divide runs into waves of about the same size."""
    return [total * (i + 1) // waves - total * i // waves for i in range(waves)]
