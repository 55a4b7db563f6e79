"""Workers on a real broker: do attempts keep the rules of their run, whoever works on them?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from support.runs import Desk, Runs
from support.wait import until

from segue_contracts.envelope import Message
from segue_contracts.v1 import registry, subjects, topology
from segue_contracts.v1.commands import CancelRun, CheckRuns, TerminateRun
from segue_contracts.v1.steps import StepBeat, StepCompleted, StepFailed
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.process import Process
from segue_shared.runtime import Requires, Runtime
from segue_shared.settings import ServiceSettings
from segue_testing.broker import Broker
from segue_testing.services import serving
from segue_worker.cancellations import Cancellations
from segue_worker.pool import Pool
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket
from segue_worker.worker import Worker

Doing = Callable[[Ticket], Awaitable[Message]]
ONE_CALL = UsageTotals(model_calls=1)


class Team:
    """A service whose work is what a test says."""

    def __init__(self, runtime: Runtime, pool: str, doing: Doing) -> None:
        self._runtime = runtime
        self._hints = Cancellations()
        self._doing = doing
        publisher = Publisher(
            runtime.bus, clock=runtime.clock, ids=runtime.ids, source="tests/worker"
        )
        worker = Worker(
            self,
            runtime=runtime,
            publisher=publisher,
            journal=Journal(runtime.bus, topology.RUNS),
            cancellations=self._hints,
            check_s=0.2,
        )
        self._pool = Pool(runtime, name=pool, service="tests", worker=worker, concurrency=8)

    async def outcome(self, ticket: Ticket) -> Message:
        """Do it."""
        return await self._doing(ticket)

    def failure(self, error: Exception) -> Failure:
        """Return a failure with the error's text."""
        return Failure(code="broken", message=str(error))

    async def start(self) -> None:
        """Take tasks."""
        await self._runtime.bus.subscribe(subjects.controls("cancel"), self._hints.on_hint)
        self._pool.start()

    async def stop(self) -> None:
        """Give back what runs."""
        await self._pool.stop()


class Place:
    """Where teams work: a pool of its own, and an orchestrator."""

    def __init__(self, broker: Broker, bus: Bus) -> None:
        self._broker = broker
        self._bus = bus
        self.pool = SystemIds().unique()
        self.runs = Runs(bus, self.pool, Desk())

    def team(
        self, doing: Doing, *, name: str = "here"
    ) -> AbstractAsyncContextManager[Process[ServiceSettings, Team]]:
        """Have a process serve the pool for the length of a block."""
        settings = ServiceSettings(nats_url=self._broker.url, instance=name, drain_s=0.05)

        def form(_settings: ServiceSettings, runtime: Runtime) -> Team:
            return Team(runtime, self.pool, doing)

        return serving("tests", settings, form, requires=Requires(streams=(topology.RUNS,)))

    async def last_beat(self, run: str) -> int:
        """Return the number of the newest beat; older ones may be gone."""
        story = await self.runs.story(run)
        return max(int(event.rpartition(".")[2]) for event in story if ".beat." in event)

    async def beat(self, run: str, number: int) -> str:
        """Wait for a beat of the step `dig`, and return the process that gave it."""
        body = await self.runs.event(run, f"step.dig.1.beat.{number}", StepBeat)
        return body.worker.partition("/")[0]


@pytest.fixture
async def place(broker: Broker, bus: Bus) -> AsyncIterator[Place]:
    """A pool, and an orchestrator that hands out its tasks."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    async with serving(NAME, settings, build, requires=REQUIRES):
        yield Place(broker, bus)


class Digging:
    """Work that never ends by itself, and notes when it begins and is stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()

    async def __call__(self, ticket: Ticket) -> Message:
        """Dig until stopped; undo at once."""
        if ticket.place.step.key != "dig" or ticket.place.step.undo:
            return StepCompleted(worker=ticket.worker)
        ticket.spent.usage = ONE_CALL
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        raise AssertionError


async def test_who_takes_over_goes_on_with_the_signs_of_life(place: Place) -> None:
    """The second process counts on where the first one stopped, and its outcome counts."""
    done = asyncio.Event()

    async def dig_on(ticket: Ticket) -> Message:
        await done.wait()
        return StepCompleted(worker=ticket.worker)

    text = "{name: w, steps: [{key: dig, pool: POOL, timeouts: {heartbeat: 1s}}]}"
    async with place.team(Digging(), name="first"):
        run = await place.runs.start(text)
        assert await place.beat(run, 2) == "first"
    before = await place.last_beat(run)

    async with place.team(dig_on, name="second"):
        assert await place.beat(run, before + 1) == "second"
        done.set()
        await place.runs.output(run)

    story = await place.runs.story(run)
    assert [event for event in story if ".scheduled" in event] == ["step.dig.1.scheduled"]
    assert story[-2:] == ["step.dig.1.outcome.completed", "ended"]


async def test_signs_of_life_do_not_pile_up(place: Place) -> None:
    """The journal holds those of the last heartbeat, and reads as if it held them all."""
    done = asyncio.Event()

    async def dig_on(ticket: Ticket) -> Message:
        await done.wait()
        return StepCompleted(worker=ticket.worker)

    async def few_are_left() -> bool:
        return sum(".beat." in event for event in await place.runs.story(run)) < 6

    text = "{name: w, steps: [{key: dig, pool: POOL, timeouts: {heartbeat: 1s}}]}"
    async with place.team(dig_on):
        run = await place.runs.start(text)
        await place.beat(run, 9)
        await until(few_are_left)
        checked = await place.runs.call(registry.CHECK_RUNS, CheckRuns(run=run))
        done.set()
        await place.runs.output(run)

    assert checked.violations == []


async def test_a_silent_pool_is_not_taken_for_a_working_one(place: Place) -> None:
    """When beats end, the engine gives the attempt up after the heartbeat."""
    text = "{name: w, steps: [{key: dig, pool: POOL, timeouts: {heartbeat: 1s}}]}"
    async with place.team(Digging()):
        run = await place.runs.start(text)
        await place.beat(run, 1)

    error = await place.runs.error(run)

    assert error.details["code"] == "worker_lost"


async def test_a_worker_fails_what_takes_longer_than_its_step_allows(place: Place) -> None:
    """It says so before the engine does, and what was used is charged."""
    text = "{name: w, steps: [{key: dig, pool: POOL, timeouts: {startToClose: 300ms}}]}"
    digging = Digging()
    async with place.team(digging):
        run = await place.runs.start(text)
        end = await place.runs.ended(run)

    assert digging.stopped.is_set()
    assert isinstance(end.error, Failure)
    assert end.error.details["code"] == "timeout"
    assert end.usage == ONE_CALL
    assert "step.dig.1.outcome.failed" in await place.runs.story(run)


async def test_a_retry_is_not_begun_before_its_backoff(place: Place) -> None:
    """The worker has the task already, and gives it back until it is due."""
    early_ms: list[int] = []

    async def fail_once(ticket: Ticket) -> Message:
        early_ms.append(ticket.task.not_before_ms - SystemClock().now_ms())
        if ticket.task.attempt == 1:
            return StepFailed(error=Failure(code="boom", message="the first one breaks"))
        return StepCompleted(worker=ticket.worker)

    text = "{name: w, steps: [{key: dig, pool: POOL, retry: {maxAttempts: 2, delay: 500ms}}]}"
    async with place.team(fail_once):
        run = await place.runs.start(text)
        await place.runs.output(run)

    assert len(early_ms) == 2
    assert early_ms[1] <= 0


async def test_steps_are_undone_while_their_run_is_cancelled(place: Place) -> None:
    """The hint that ended the rest does not end what undoes it."""
    text = """
name: w
compensateOn: [cancelled]
steps:
  - {key: book, pool: POOL, compensate: {pool: POOL}}
  - {key: dig, pool: POOL, dependsOn: [book]}
"""
    digging = Digging()
    async with place.team(digging):
        run = await place.runs.start(text)
        await digging.began.wait()
        await place.runs.call(registry.CANCEL_RUN, CancelRun(run=run))
        end = await place.runs.ended(run)

    assert end.status == "cancelled"
    story = await place.runs.story(run)
    assert "step.dig.1.outcome.cancelled" in story
    assert "step.book~undo.1.outcome.completed" in story


async def test_work_ends_with_its_run(place: Place) -> None:
    """A terminated run waits for nobody, and nobody works for it any more."""
    digging = Digging()
    async with place.team(digging):
        run = await place.runs.start("{name: w, steps: [{key: dig, pool: POOL}]}")
        await digging.began.wait()
        await place.runs.call(registry.TERMINATE_RUN, TerminateRun(run=run))
        await until(lambda: is_set(digging.stopped))

    assert (await place.runs.ended(run)).status == "cancelled"


async def is_set(event: asyncio.Event) -> bool:
    """Tell whether something has happened."""
    return event.is_set()
