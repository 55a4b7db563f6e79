"""Tests of following with a bus that loses messages: does the journal always fill the gap?"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from support.wait import until
from unit.client.client_events import EPOCH, NAMESPACE, RUN, ended, run_event, started, step_event

from segue.core.events import RunEvent
from segue.follow import Follower, Scope
from segue_contracts.v1 import subjects
from segue_contracts.v1.steps import StepSkipped
from segue_shared.clock import SystemClock
from segue_shared.errors import InvalidMessageError
from segue_shared.journal import StoredMessage
from segue_testing.fakes import FakeClock

SCOPE = Scope(namespace=NAMESPACE, run=RUN)


class FakeSubscription:
    """A subscription that remembers whether it was ended."""

    def __init__(self) -> None:
        self.ended = False

    async def unsubscribe(self) -> None:
        """End it."""
        self.ended = True


class FakeFacts:
    """A journal and the live feed of it, both under the test's control."""

    def __init__(self) -> None:
        self.stored: list[StoredMessage] = []
        self.visible = 10**9
        """Sequence up to which reads see the journal: a lagging replica sees less."""
        self.reads = 0
        self.on_read: Callable[[], None] = lambda: None
        self.subscriptions: list[FakeSubscription] = []
        self._handler: Callable[[object], Awaitable[None]] | None = None
        self._reconnected: list[Callable[[], None]] = []

    async def subscribe(
        self, subject: str, handler: Callable[[object], Awaitable[None]], *, queue: str = ""
    ) -> FakeSubscription:
        """Take the handler of the live feed."""
        self._handler = handler
        self.subscriptions.append(FakeSubscription())
        return self.subscriptions[-1]

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Take the callback."""
        self._reconnected.append(callback)
        return lambda: self._reconnected.remove(callback)

    def store(self, message: tuple[str, bytes]) -> int:
        """Store an event that nobody hears of."""
        subject, data = message
        sequence = len(self.stored) + 1
        self.stored.append(StoredMessage(subject, sequence, 1_000 + sequence, data))
        return sequence

    async def tell(self, sequence: int, **headers: str) -> None:
        """Send the live copy of a stored event."""
        message = self.stored[sequence - 1]
        copy = SimpleNamespace(
            subject=subjects.fact_of(message.subject),
            data=message.data,
            headers=headers or {"Nats-Sequence": str(sequence)},
        )
        assert self._handler is not None
        await self._handler(copy)

    def reconnect(self) -> None:
        """Come back after a disconnect."""
        for callback in self._reconnected:
            callback()

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return what a run's patterns match; every subject is unique here."""
        return [m for m in self._read() if m.subject in patterns or patterns[0].endswith(">")]

    async def after(self, pattern: str, sequence: int, *, limit: int = 1000) -> list[StoredMessage]:
        """Return what comes after a sequence."""
        return [m for m in self._read() if m.sequence > sequence][:limit]

    async def epoch(self) -> str:
        """Return the journal's identity."""
        return EPOCH

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        return len(self.stored)

    def _read(self) -> list[StoredMessage]:
        self.reads += 1
        self.on_read()
        return [m for m in self.stored if m.sequence <= self.visible]


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
