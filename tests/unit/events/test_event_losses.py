"""Losses through the whole service on fakes: is what the live feed misses read from the journal?"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from unit.events.event_support import (
    OTHER_RUN,
    UNAVAILABLE,
    Stage,
    beat,
    cursors,
    live,
    settle,
    signal,
    staged,
    started,
)

from segue_shared.errors import PermanentError


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running service whose journal holds the start of one run."""
    async with staged() as stage:
        yield stage


async def test_a_lost_fact_is_read_from_the_journal(stage: Stage) -> None:
    """A hole in the sequences of the feed makes viewers read the journal again."""
    watcher = await live(stage)

    stage.journal.store("signal.1", signal())
    await stage.tell("signal.2", signal())

    await watcher.until(3)
    assert watcher.ids == cursors(1, 2, 3)
    assert stage.metric("segue_feed_rejoins_total", why="gap") == 1


async def test_facts_lost_in_a_disconnect_are_read_after_the_reconnect(stage: Stage) -> None:
    """Core NATS keeps nothing for who is away; the journal fills the hole."""
    watcher = await live(stage)

    stage.journal.store("signal.1", signal())
    stage.bus.reconnect()

    await watcher.until(2)
    assert watcher.ids == cursors(1, 2)


async def test_a_lost_fact_with_nothing_after_it_is_found_by_the_heartbeat(stage: Stage) -> None:
    """What the journal held at one heartbeat and the feed lacks at the next is lost."""
    watcher = await live(stage)

    stage.journal.store("signal.1", signal())
    await beat(stage)
    assert watcher.ids == cursors(1)
    await beat(stage)

    await watcher.until(2)
    assert watcher.ids == cursors(1, 2)


async def test_a_replica_that_lags_is_asked_again(stage: Stage) -> None:
    """A reading that lacks what the feed has brought does not count."""
    await stage.tell("signal.1", signal())
    stage.journal.lagging = 1
    watcher = await live(stage)
    assert watcher.ids == cursors(1)

    stage.journal.lagging = 0
    await stage.clock.advance(1)

    await watcher.until(2)
    assert watcher.ids == cursors(1, 2)


async def test_the_journal_may_be_away_for_a_while(stage: Stage) -> None:
    """A failed reading is repeated, and the stream goes on where it was."""
    watcher = await live(stage)
    stage.journal.error = UNAVAILABLE
    stage.journal.store("signal.1", signal())
    stage.bus.reconnect()
    await settle()
    assert watcher.ids == cursors(1)

    stage.journal.error = None
    await stage.clock.advance(2)

    await watcher.until(2)
    assert watcher.ids == cursors(1, 2)


async def test_a_journal_that_refuses_for_good_ends_the_stream(stage: Stage) -> None:
    """A viewer is told that this instance cannot go on."""
    watcher = await live(stage)
    stage.journal.error = PermanentError("not yours")
    stage.bus.reconnect()

    await watcher.done()

    assert watcher.events[-1].data == '{"reason":"unavailable"}'
    stage.journal.error = None
    await stage.clock.advance(2)


@pytest.mark.parametrize("change", ["wiped", "shorter"])
async def test_another_journal_ends_every_stream(stage: Stage, change: str) -> None:
    """Sequences of a wiped or truncated journal would be taken for those that were seen."""
    await stage.tell("signal.1", signal())
    watcher = await stage.joined(stage.watch(), 2)

    if change == "wiped":
        stage.journal.epoch_text = "e2"
    else:
        stage.journal.messages.pop()
    stage.bus.reconnect()

    await watcher.done()
    assert watcher.events[-1].data == '{"reason":"journal_changed"}'


async def test_a_history_longer_than_a_page_and_a_queue_is_told_whole() -> None:
    """What overflows while history is read is read from the journal instead."""
    async with staged(queue_frames=4) as stage:
        watcher = stage.watch()
        watcher.blocked = asyncio.Event()
        await settle()
        for number in range(2100):
            await stage.tell(f"signal.{number}", signal())
        stage.bus.reconnect()

        watcher.blocked.set()

        await watcher.until(2101)
        assert watcher.ids == cursors(*range(1, 2102))


async def test_what_overflows_while_a_loss_is_mended_is_read_too() -> None:
    """A viewer who is reading the journal is not too slow: the journal keeps what it needs."""
    async with staged(queue_frames=4) as stage:
        watcher = await live(stage)
        stage.journal.gate = asyncio.Event()
        stage.bus.reconnect()
        await settle()
        for number in range(6):
            await stage.tell(f"signal.{number}", signal())

        stage.journal.gate.set()

        await watcher.until(7)
        assert watcher.ids == cursors(*range(1, 8))
        assert stage.journal.reads == 3


async def test_a_loss_that_a_lagging_replica_hides_is_found_by_the_heartbeat(stage: Stage) -> None:
    """A loss that another run's fact reveals is looked for twice, as replicas may lag."""
    watcher = await live(stage)
    stage.journal.lagging = 2
    stage.journal.store("signal.1", signal())
    await stage.tell("started", started(), run=OTHER_RUN)
    await settle()
    assert watcher.ids == cursors(1)

    stage.journal.lagging = 0
    await beat(stage)

    await watcher.until(2)
    assert watcher.ids == cursors(1, 2)


async def test_a_replica_that_never_catches_up_ends_the_stream(stage: Stage) -> None:
    """A viewer is not kept waiting for ever; it may find a better replica when it resumes."""
    await stage.tell("signal.1", signal())
    stage.journal.lagging = 1
    watcher = await live(stage)

    for _ in range(200):
        await stage.clock.advance(0.1)
        await settle()

    await watcher.done()
    assert watcher.events[-1].event == "stream.lagged"
