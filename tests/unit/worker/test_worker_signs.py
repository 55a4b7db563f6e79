"""Signs of life: who hears that an attempt is being worked on, and how often?"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from unit.worker.worker_world import COMPLETED, PREFIX, STARTED, TASK, WorkerWorld, a_task

from segue_contracts.envelope import Message
from segue_contracts.v1 import subjects
from segue_contracts.v1.steps import StepBeat, StepCompleted, StepStarted
from segue_shared.errors import BusUnavailableError
from segue_shared.journal import StoredMessage
from segue_testing.fakes import FakeClock
from segue_worker.signs import Signs
from segue_worker.ticket import Ticket, read_ticket


def beat(number: int) -> str:
    """Return the subject of a beat."""
    return subjects.step_beat(PREFIX, "scan", 1, number)


def beats(world: WorkerWorld) -> list[int]:
    """Return the numbers of the beats that are stored."""
    return [int(s.rpartition(".")[2]) for s in world.bus.stored if ".beat." in s]


@asynccontextmanager
async def telling(world: WorkerWorld, *, heartbeat_ms: int) -> AsyncIterator[None]:
    """Tell of work for the length of a block."""
    signs = Signs(world.publisher, journal=world.bus, clock=world.clock)
    ticket = read_ticket(TASK, a_task(heartbeat_ms=heartbeat_ms), worker="here/1")
    tells = asyncio.create_task(signs.tell(ticket))
    try:
        await asyncio.sleep(0)
        yield
    finally:
        tells.cancel()
        await asyncio.wait([tells])


async def passes(clock: FakeClock, seconds: float) -> None:
    """Let time pass in small steps, and let everybody do what is due."""
    for _ in range(round(seconds * 20)):
        await clock.advance(0.05)
        await asyncio.sleep(0)


async def test_work_says_that_it_started_after_a_quarter_of_a_second() -> None:
    """Not earlier, and only once."""
    world = WorkerWorld()

    async with telling(world, heartbeat_ms=0):
        await passes(world.clock, 0.2)
        assert not world.bus.stored
        await passes(world.clock, 60)

    assert list(world.bus.stored) == [STARTED]


async def test_beats_come_three_times_as_often_as_asked_for() -> None:
    """So one or two may be late; each says who works."""
    world = WorkerWorld()

    async with telling(world, heartbeat_ms=30_000):
        await passes(world.clock, 10.2)
        assert beats(world) == []
        await passes(world.clock, 20.2)
        assert beats(world) == [1, 2, 3]

    body = world.bus.body(beat(2))
    assert isinstance(body, StepBeat)
    assert body.worker == "here/1"


async def test_no_task_can_ask_for_more_than_three_beats_a_second() -> None:
    """The journal keeps every one of them."""
    world = WorkerWorld()

    async with telling(world, heartbeat_ms=1):
        await passes(world.clock, 10.25)

    assert 20 <= len(beats(world)) <= 30


async def test_beats_end_with_the_work() -> None:
    """An attempt with an outcome gives no sign of life."""
    told = asyncio.Event()

    async def complete_once_told(_ticket: Ticket) -> Message:
        await told.wait()
        return StepCompleted()

    world = WorkerWorld(complete_once_told)
    world.bus.on_created = lambda subject: told.set() if subject == beat(1) else None
    handling = asyncio.create_task(world.handle(heartbeat_ms=3_000))
    async with asyncio.timeout(10):
        while not handling.done():
            await passes(world.clock, 0.1)
    await passes(world.clock, 10)

    assert list(world.bus.stored) == [STARTED, beat(1), COMPLETED]


async def test_who_takes_over_goes_on_with_the_numbers_at_once() -> None:
    """Part of the time in which a sign is expected is gone; one read finds the next number."""
    world = WorkerWorld()
    world.bus.put(STARTED, StepStarted(worker="there/1"))
    for number in range(1, 1_501):
        world.bus.put(beat(number), StepBeat(worker="there/1"))

    async with telling(world, heartbeat_ms=30_000):
        await passes(world.clock, 0.5)

    assert beats(world)[1_500:] == [1_501]
    assert len(world.bus.reads) == 1


async def test_who_takes_over_follows_the_beats_that_are_left() -> None:
    """The journal lets go of those that a later one has made meaningless."""
    world = WorkerWorld()
    world.bus.put(STARTED, StepStarted(worker="there/1"))
    world.bus.put(beat(7), StepBeat(worker="there/1"))

    async with telling(world, heartbeat_ms=30_000):
        await passes(world.clock, 0.5)

    assert beats(world) == [7, 8]


async def test_who_takes_over_beats_though_it_cannot_read_the_last_beat() -> None:
    """The broker may be away for a moment."""
    world = WorkerWorld()
    world.bus.put(STARTED, StepStarted(worker="there/1"))

    def fail(_patterns: tuple[str, ...]) -> None:
        raise BusUnavailableError("away")

    world.bus.on_read = fail

    async with telling(world, heartbeat_ms=30_000):
        await passes(world.clock, 0.5)

    assert beats(world) == [1]


async def test_who_takes_over_may_be_the_first_to_beat() -> None:
    """The one before may have died right after its start."""
    world = WorkerWorld()
    world.bus.put(STARTED, StepStarted(worker="there/1"))

    async with telling(world, heartbeat_ms=30_000):
        await passes(world.clock, 0.5)

    assert beats(world) == [1]


async def test_a_beat_whose_number_is_taken_counts_on_when_reads_lag() -> None:
    """A leader that has just been elected may not know yet what another one has refused."""

    class Blind:
        async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
            raise NotImplementedError(patterns)

        async def newest(self, subject: str) -> StoredMessage | None:
            assert subject.endswith(".beat.*")

    world = WorkerWorld()
    world.bus.put(STARTED, StepStarted(worker="there/1"))
    for number in (1, 2, 3):
        world.bus.put(beat(number), StepBeat(worker="there/1"))
    signs = Signs(world.publisher, journal=Blind(), clock=world.clock)
    ticket = read_ticket(TASK, a_task(heartbeat_ms=30_000), worker="here/1")
    tells = asyncio.create_task(signs.tell(ticket))
    await asyncio.sleep(0)

    await passes(world.clock, 0.5)
    tells.cancel()
    await asyncio.wait([tells])

    assert beats(world) == [1, 2, 3, 4]


async def test_passing_trouble_costs_one_beat() -> None:
    """The next one is tried when it is due."""
    world = WorkerWorld()
    trouble = [BusUnavailableError("away")]

    def lose_one(subject: str) -> None:
        if subject == beat(1) and trouble:
            raise trouble.pop()

    world.bus.on_create = lose_one

    async with telling(world, heartbeat_ms=3_000):
        await passes(world.clock, 3.5)

    assert beats(world) == [1, 2]


async def test_work_may_say_that_it_started_before_it_has_an_effect() -> None:
    """It is said once, and first; the worker adds nothing."""
    told: list[bool] = []

    async def effect(ticket: Ticket) -> Message:
        told.append(await world.publisher.started(ticket))
        told.append(await world.publisher.started(ticket))
        return StepCompleted()

    world = WorkerWorld(effect)

    await world.handle()

    assert told == [True, False]
    assert list(world.bus.stored) == [STARTED, COMPLETED]
