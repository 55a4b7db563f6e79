"""Streams through the whole service on fakes: does a viewer get every event once, in order?"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from unit.events.event_support import (
    EPOCH,
    OTHER_RUN,
    UNAVAILABLE,
    Stage,
    a_delta,
    beat,
    cursors,
    ended,
    live,
    settle,
    signal,
    staged,
    started,
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running service whose journal holds the start of one run."""
    async with staged() as stage:
        yield stage


async def test_an_ended_run_is_told_whole_and_then_the_stream_says_bye(stage: Stage) -> None:
    """History comes in journal order with its cursors; the end of the run ends the stream."""
    stage.journal.store("signal.1", signal())
    stage.journal.store("ended", ended())

    watcher = await stage.watch().done()

    assert watcher.status == 200
    assert watcher.ids == cursors(1, 2, 3)
    assert [event.event for event in watcher.events] == [
        "segue.run.started.v1",
        "segue.run.signal_received.v1",
        "segue.run.ended.v1",
        "bye",
    ]
    assert watcher.events[-1].data == '{"reason":"ended"}'


async def test_the_head_forbids_storing_and_buffering(stage: Stage) -> None:
    """Caches and proxies are told to leave the stream alone, viewers when to come back."""
    watcher = await live(stage)

    assert watcher.headers["content-type"].startswith("text/event-stream")
    assert watcher.headers["cache-control"] == "no-store"
    assert watcher.headers["x-accel-buffering"] == "no"
    assert watcher.body.startswith(b"retry: ")


async def test_data_is_the_event_exactly_as_stored(stage: Stage) -> None:
    """A viewer reads the same bytes as a reader of the journal."""
    watcher = await live(stage)

    assert watcher.events[0].data.encode() == stage.journal.messages[0].data


async def test_an_event_stored_over_several_lines_is_written_on_one(stage: Stage) -> None:
    """Line breaks between JSON tokens, which would end a field, become spaces."""
    stage.journal.store("signal.1", signal(), pretty=True)
    assert b"\n" in stage.journal.messages[1].data

    watcher = await stage.joined(stage.watch(), 2)

    assert json.loads(watcher.events[1].data) == json.loads(stage.journal.messages[1].data)


async def test_facts_arrive_live_after_the_history(stage: Stage) -> None:
    """What happens while a viewer watches reaches it at once."""
    watcher = await live(stage)

    await stage.tell("signal.1", signal())

    assert [event.id for event in await watcher.until(2)] == cursors(1, 2)


async def test_the_end_of_a_run_ends_a_live_stream(stage: Stage) -> None:
    """What comes after the end of a run is not told."""
    watcher = await live(stage)

    await stage.tell("ended", ended())
    await stage.tell("archived", signal())
    await watcher.done()

    assert watcher.ids == cursors(1, 2)
    assert watcher.events[-1].event == "bye"


async def test_an_event_between_joining_and_reading_comes_once(stage: Stage) -> None:
    """A fact that is both in the history and live is written once."""
    watcher = stage.watch()
    stage.journal.store("signal.1", signal())

    await stage.joined(watcher, 2)
    await stage.bus.send_fact(stage.journal.messages[1])
    await stage.tell("signal.2", signal())

    await watcher.until(3)
    assert watcher.ids == cursors(1, 2, 3)


async def test_other_runs_are_not_told(stage: Stage) -> None:
    """A viewer gets the events of its run only."""
    watcher = await live(stage)

    await stage.tell("started", started(), run=OTHER_RUN)
    await stage.tell("signal.1", signal())

    await watcher.until(2)
    assert watcher.ids == cursors(1, 3)


async def test_a_viewer_resumes_after_its_last_event(stage: Stage) -> None:
    """`Last-Event-ID` leaves out what was seen, and counts more than `after`."""
    for number in (1, 2, 3):
        stage.journal.store(f"signal.{number}", signal())

    by_query = await stage.joined(stage.watch(f"?after={EPOCH}-2"), 2)
    by_header = await stage.joined(stage.watch(f"?after={EPOCH}-2", last_event_id=f"{EPOCH}-3"))

    assert by_query.ids == cursors(3, 4)
    assert by_header.ids == cursors(4)


async def test_resuming_at_the_end_of_a_run_says_bye(stage: Stage) -> None:
    """A viewer who has seen the end is not kept waiting."""
    stage.journal.store("ended", ended())

    watcher = await stage.watch(last_event_id=f"{EPOCH}-2").done()

    assert [event.event for event in watcher.events] == ["bye"]


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("gone-1", "other_epoch"), (f"{EPOCH}-3", "expired"), (f"{EPOCH}-99", "ahead_of_journal")],
)
async def test_a_cursor_that_cannot_be_resumed_resets_the_viewer(cursor: str, reason: str) -> None:
    """Nothing is skipped in silence: the viewer is told, and gets the whole history."""
    stage = Stage()
    stage.journal.first = 10
    stage.journal.store("started", started())
    await stage.service.start()

    watcher = await stage.joined(stage.watch(last_event_id=cursor), 2)

    assert watcher.events[0].event == "stream.reset"
    assert json.loads(watcher.events[0].data) == {"reason": reason}
    assert watcher.ids == cursors(10)
    watcher.leave()
    await stage.service.stop()
    await stage.runtime.tasks.close()


async def test_deltas_arrive_without_a_cursor(stage: Stage) -> None:
    """A delta has no `id`, so that it does not move a viewer's cursor."""
    watcher = await live(stage)

    await stage.bus.send_delta(a_delta())

    delta = (await watcher.until(2))[1]
    assert (delta.event, delta.id) == ("segue.step.delta.v1", "")
    assert delta.data.encode() == a_delta()


async def test_deltas_can_be_declined(stage: Stage) -> None:
    """`deltas=false` leaves durable events only."""
    watcher = await live(stage, "?deltas=false")

    await stage.bus.send_delta(a_delta())
    await stage.tell("signal.1", signal())

    await watcher.until(2)
    assert [event.event for event in watcher.events][1:] == ["segue.run.signal_received.v1"]


async def test_what_is_no_event_is_skipped(stage: Stage) -> None:
    """Bytes that are no event, or an impostor's fact, end no stream and reach nobody."""
    watcher = await live(stage)

    subject = stage.journal.messages[0].subject.replace("started", "garbage")
    stage.journal.store_raw(subject, b"garbage")
    await stage.bus.send_fact(stage.journal.messages[-1])
    await stage.bus.send_delta(b"garbage")
    await stage.bus.send_raw_fact(subject.replace(".run.", ".fact."), b"{}")
    await stage.tell("signal.1", signal())

    await watcher.until(2)
    assert watcher.ids == cursors(1, 3)


async def test_a_viewer_too_slow_for_durable_events_is_told_to_resume() -> None:
    """Deltas give way first; when events do not fit either, the stream says so and ends."""
    async with staged(queue_frames=4) as stage:
        watcher = await live(stage)
        watcher.blocked = asyncio.Event()
        for number in range(6):
            await stage.bus.send_delta(a_delta(number))
            await settle()
        for number in range(6):
            await stage.tell(f"signal.{number}", signal())
            await settle()

        watcher.blocked.set()
        await watcher.done()

        assert watcher.events[-1].event == "stream.lagged"
        assert watcher.ids == cursors(1, 2, 3, 4, 5)
        assert stage.metric("segue_deltas_dropped_total") == 5
        resumed = await stage.joined(stage.watch(last_event_id=watcher.ids[-1]), 2)
        assert resumed.ids == cursors(6, 7)


async def test_a_quiet_stream_gives_signs_of_life(stage: Stage) -> None:
    """Every heartbeat a comment is written, so that nobody takes the stream for dead."""
    watcher = await live(stage)

    await beat(stage)

    await watcher.until_body(b": ping\n\n")


async def test_a_failed_look_at_the_journal_does_not_stop_the_heartbeat(stage: Stage) -> None:
    """Signs of life go on while the broker is away."""
    watcher = await live(stage)
    stage.journal.error = UNAVAILABLE

    await beat(stage)
    await beat(stage)

    assert watcher.body.count(b": ping\n\n") == 2
    stage.journal.error = None


async def test_a_viewer_who_leaves_is_forgotten(stage: Stage) -> None:
    """The response ends with its connection, although nothing is being written."""
    watcher = await live(stage)
    assert stage.metric("segue_viewers") == 1

    watcher.leave()
    await watcher.done()

    assert stage.metric("segue_viewers") == 0
    assert stage.metric("segue_streams_ended_total", why="gone") == 1


async def test_a_viewer_who_does_not_read_is_forgotten() -> None:
    """A write that makes no progress in time ends the stream."""
    async with staged(write_timeout_s=0.01) as stage:
        watcher = await live(stage)
        watcher.blocked = asyncio.Event()

        await stage.tell("signal.1", signal())
        await watcher.done()

        assert stage.metric("segue_streams_ended_total", why="stuck") == 1


async def test_stopping_says_bye_to_every_viewer(stage: Stage) -> None:
    """Viewers learn that they should come back, and new ones are sent elsewhere."""
    watcher = await live(stage)

    await stage.service.stop()

    await watcher.done()
    assert watcher.events[-1].data == '{"reason":"shutdown"}'
    assert (await stage.watch().done()).status == 503


async def test_stopping_does_not_wait_for_ever_for_a_stuck_viewer() -> None:
    """After the drain time the service leaves a stuck viewer behind."""
    stage = Stage(drain_s=0.01)
    stage.journal.store("started", started())
    await stage.service.start()
    watcher = await live(stage)
    watcher.blocked = asyncio.Event()

    await stage.service.stop()

    assert not watcher.task.done()
    watcher.blocked.set()
    await watcher.done()
    await stage.runtime.tasks.close()
