"""Tests of following with a bus that loses messages: does the journal always fill the gap?"""

import asyncio
from contextlib import aclosing

import pytest
from support.wait import until
from unit.client.client_events import NAMESPACE, RUN, ended, run_event, started, step_event
from unit.client.client_facts import FakeFacts

from segue.core.events import RunEvent
from segue.follow import Follower, Scope
from segue_contracts.v1.steps import StepSkipped
from segue_shared.clock import SystemClock
from segue_shared.errors import InvalidMessageError
from segue_testing.fakes import FakeClock

SCOPE = Scope(namespace=NAMESPACE, run=RUN)


class Reading:
    """A follower at work, and what it has seen."""

    def __init__(
        self,
        facts: FakeFacts,
        clock: SystemClock | FakeClock,
        *,
        silence_s: float = 60,
        queue: int = 100,
    ) -> None:
        self.seen: list[RunEvent] = []
        follower = Follower(facts, facts, SCOPE, clock=clock, silence_s=silence_s, queue=queue)
        self._events = follower.events(after=None, deltas=False)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                self.seen.append(event)

    async def until_seen(self, number: int) -> None:
        """Wait until so many events were seen."""

        async def enough() -> bool:
            return len(self.seen) >= number or self.task.done()

        await until(enough)

    async def sequences(self) -> list[int]:
        """Wait for the end and return what was seen."""
        await asyncio.wait_for(self.task, 20)
        return [event.sequence for event in self.seen]


def _skip(number: int) -> tuple[str, bytes]:
    return step_event(f"s{number}", StepSkipped(reason="condition"))


@pytest.fixture
def facts() -> FakeFacts:
    """A run that has started."""
    journal = FakeFacts()
    journal.store(run_event("started", started()))
    return journal


async def test_an_event_before_the_first_live_one_is_not_missed(facts: FakeFacts) -> None:
    """History may be read before an event is visible whose live copy nobody heard."""
    reading = Reading(facts, SystemClock())
    await reading.until_seen(1)
    facts.store(_skip(1))
    await facts.tell(facts.store(run_event("ended", ended())))

    assert await reading.sequences() == [1, 2, 3]
    assert facts.subscriptions[0].ended


async def test_events_lost_in_a_disconnect_come_from_the_journal(facts: FakeFacts) -> None:
    """After a reconnect the journal is read, without waiting for the next live event."""
    reading = Reading(facts, SystemClock())
    await reading.until_seen(1)
    await facts.tell(facts.store(_skip(1)))
    await reading.until_seen(2)
    facts.store(_skip(2))
    facts.store(run_event("ended", ended()))
    facts.reconnect()

    assert await reading.sequences() == [1, 2, 3, 4]


async def test_a_lagging_replica_is_asked_until_it_holds_the_event_at_hand(
    facts: FakeFacts,
) -> None:
    """A read that lacks the live event lacks others too, so it does not count."""
    reading = Reading(facts, SystemClock())
    await reading.until_seen(1)
    facts.visible = 1
    facts.store(_skip(1))
    last = facts.store(run_event("ended", ended()))
    await facts.tell(last)

    def catch_up() -> None:
        if facts.reads > 6:
            facts.visible = last

    facts.on_read = catch_up

    assert await reading.sequences() == [1, 2, 3]


async def test_a_live_event_that_no_read_ever_shows_is_given_all_the_same(
    facts: FakeFacts,
) -> None:
    """Waiting for a replica has an end; the event at hand is real."""
    clock = FakeClock()
    reading = Reading(facts, clock)
    await reading.until_seen(1)
    facts.visible = 1
    await facts.tell(facts.store(run_event("ended", ended())))

    async def ended_after_waiting() -> bool:
        await clock.advance(1)
        return reading.task.done()

    await until(ended_after_waiting)

    assert await reading.sequences() == [1, 2]


async def test_live_copies_of_what_was_read_are_not_seen_twice(facts: FakeFacts) -> None:
    """A slow live feed repeats what history told."""
    reading = Reading(facts, SystemClock())
    await reading.until_seen(1)
    facts.store(_skip(1))
    for sequence in (1, 2, 1, 2, facts.store(run_event("ended", ended()))):
        await facts.tell(sequence)

    assert await reading.sequences() == [1, 2, 3]


async def test_silence_makes_a_reader_look_into_the_journal(facts: FakeFacts) -> None:
    """A lost last message does not leave a reader waiting for ever."""
    reading = Reading(facts, SystemClock(), silence_s=0.02)
    await reading.until_seen(1)
    facts.store(run_event("ended", ended()))

    assert await reading.sequences() == [1, 2]


async def test_a_reader_that_is_too_slow_loses_nothing(facts: FakeFacts) -> None:
    """What does not fit the queue is read from the journal, however far a replica lags."""
    reading = Reading(facts, SystemClock(), queue=2)
    await reading.until_seen(1)
    await facts.tell(facts.store(_skip(1)))
    await reading.until_seen(2)
    facts.visible = 4
    for number in range(2, 9):
        await facts.tell(facts.store(_skip(number)))
    last = facts.store(run_event("ended", ended()))
    await facts.tell(last)
    reads = facts.reads

    def catch_up() -> None:
        if facts.reads > reads + 4:
            facts.visible = last

    facts.on_read = catch_up

    assert await reading.sequences() == list(range(1, last + 1))


async def test_a_fact_without_its_sequence_is_refused(facts: FakeFacts) -> None:
    """A bus that does not republish as the topology says would give no cursors."""
    reading = Reading(facts, SystemClock())
    await reading.until_seen(1)
    await facts.tell(facts.store(_skip(1)), other="header")

    with pytest.raises(InvalidMessageError, match="came without its sequence"):
        await reading.sequences()
