"""The pure core of the events service: are frames, queues, cursors and losses right?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.cursor import Cursor
from segue_contracts.envelope import Event, encode, raw
from segue_events.core import frames, resume
from segue_events.core.backlog import Backlog
from segue_events.core.continuity import Continuity
from segue_events.core.frames import Frame
from segue_events.core.resume import Bounds, Start
from segue_events.core.unsent import unsent

SUBJECT = "segue.v1.default.run.00.run0000000001.signal.1"


def an_event(kind: str) -> bytes:
    """A framed event of some type."""
    return encode(Event(id="1", source="segue/tests", type=kind, time="t", data=raw({})))


def a_frame(sequence: int) -> Frame:
    """A durable frame, or a delta for 0."""
    return Frame(b"%d " % sequence, sequence)


def test_a_frame_ends_with_a_blank_line_and_begins_with_its_cursor() -> None:
    """The form is that of server-sent events."""
    data = an_event("segue.x.v1")

    frame = frames.durable(SUBJECT, data, sequence=7, epoch="e1")

    assert frame == Frame(b"id: e1-7\nevent: segue.x.v1\ndata: " + data + b"\n\n", 7)


def test_a_type_cannot_break_out_of_its_line() -> None:
    """A type with a line break would forge fields, so its event is not shown."""
    data = an_event("x\nid: e1-99")

    assert frames.durable(SUBJECT, data, sequence=7, epoch="e1") == Frame(b"", 7)


@pytest.mark.parametrize(
    ("subject", "last"),
    [
        ("segue.v1.default.run.00.run0000000001.ended", True),
        ("segue.v1.default.fact.00.run0000000001.ended", True),
        ("segue.v1.default.run.00.run0000000001.child.1.ended", False),
        ("somebody.elses.subject", False),
    ],
)
def test_only_the_runs_own_end_is_the_last_frame(subject: str, *, last: bool) -> None:
    """The end of a child is not the end of its parent."""
    frame = frames.durable(subject, an_event("segue.x.v1"), sequence=7, epoch="e1")

    assert frame.last is last


@given(st.text(max_size=20))
def test_viewers_come_back_spread_over_twice_the_base(salt: str) -> None:
    """No viewer comes back sooner than the base, or later than twice of it."""
    wait = int(frames.retry(1_000, salt).removeprefix(b"retry: "))

    assert 1_000 <= wait < 2_000


def test_a_full_backlog_drops_a_delta_first() -> None:
    """A durable frame takes the place of a delta that waits."""
    backlog = Backlog(2)
    for frame in (a_frame(0), a_frame(1), a_frame(2)):
        backlog.offer(frame)

    assert backlog.take() == [a_frame(1), a_frame(2)]
    assert (backlog.dropped, backlog.overflowed) == (1, False)


def test_a_full_backlog_takes_no_delta() -> None:
    """A delta never makes a durable frame give way."""
    backlog = Backlog(1)
    for frame in (a_frame(1), a_frame(0)):
        backlog.offer(frame)

    assert backlog.take() == [a_frame(1)]
    assert (backlog.dropped, backlog.overflowed) == (1, False)


def test_after_an_overflow_nothing_is_taken_until_the_reset() -> None:
    """What is taken before an overflow has no hole."""
    backlog = Backlog(1)
    for frame in (a_frame(1), a_frame(2)):
        backlog.offer(frame)
    assert (backlog.take(), backlog.overflowed) == ([a_frame(1)], True)

    backlog.offer(a_frame(3))
    assert backlog.take() == []

    backlog.reset()
    backlog.offer(a_frame(4))
    assert (backlog.take(), backlog.overflowed) == ([a_frame(4)], False)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 8), st.data())
def test_a_backlog_never_makes_a_hole_before_its_overflow(
    durable: list[bool], limit: int, data: st.DataObject
) -> None:
    """Whatever comes and whenever it is taken, durable frames stay whole, in order, bounded."""
    backlog = Backlog(limit)
    taken: list[int] = []
    sequence = 0
    for is_durable in durable:
        sequence += is_durable
        backlog.offer(a_frame(sequence if is_durable else 0))
        if data.draw(st.booleans()):
            page = backlog.take()
            assert len(page) <= limit
            taken += [frame.sequence for frame in page if frame.sequence]
    taken += [frame.sequence for frame in backlog.take() if frame.sequence]

    assert taken == list(range(1, len(taken) + 1))
    assert backlog.overflowed is (len(taken) < sequence)


@given(
    st.integers(0, 20),
    st.lists(st.lists(st.integers(0, 20), max_size=20), max_size=4),
)
def test_nothing_is_written_twice_or_out_of_order(after: int, batches: list[list[int]]) -> None:
    """Whatever overlaps, a viewer's durable frames only ever go forward."""
    written: list[int] = []
    sequence = after
    for batch in batches:
        chosen = unsent(map(a_frame, batch), sequence)
        written += [int(text) for text in chosen.data.split() if text != b"0"]
        sequence = chosen.sequence

    assert written == sorted(set(written))
    assert all(number > after for number in written)


def test_nothing_is_written_after_the_end() -> None:
    """The end is noticed even by a viewer who has it already."""
    end = Frame(b"3 ", 3, last=True)

    chosen = unsent([a_frame(2), end, a_frame(4)], 0)
    assert (chosen.data, chosen.sequence, chosen.over) == (b"2 3 ", 3, True)
    again = unsent([a_frame(2), end, a_frame(4)], 3)
    assert (again.data, again.sequence, again.over) == (b"", 3, True)


def test_a_feed_without_holes_misses_nothing() -> None:
    """Facts that follow each other, and repeated ones, are no loss."""
    continuity = Continuity()
    continuity.open(4)

    assert [continuity.saw(sequence) for sequence in (5, 6, 6, 7)] == [False] * 4


def test_a_hole_in_the_feed_is_a_loss_once() -> None:
    """The fact after a hole tells of the loss, the next one does not."""
    continuity = Continuity()
    continuity.open(4)

    assert [continuity.saw(sequence) for sequence in (6, 7)] == [True, False]


def test_facts_before_the_feed_is_open_are_no_loss() -> None:
    """Nobody watches yet, so nothing can be missing."""
    continuity = Continuity()

    assert continuity.saw(9) is False
    continuity.open(8)
    assert continuity.last == 9


def test_what_was_stored_since_the_last_look_may_be_on_its_way() -> None:
    """Only what the journal held a whole heartbeat ago, and the feed lacks, is lost."""
    continuity = Continuity()
    continuity.open(4)

    assert [continuity.behind(stored) for stored in (5, 5, 5)] == [False, True, False]


BOUNDS = Bounds("e1", 10, 20)


@pytest.mark.parametrize(
    ("cursor", "start"),
    [
        (Cursor("e1", 15), Start(15)),
        (Cursor("e1", 20), Start(20)),
        (Cursor("e1", 9), Start(9)),
        (Cursor("e1", 0), Start(0)),
        (Cursor("e1", 8), Start(reset="expired")),
        (Cursor("e1", 21), Start(reset="ahead_of_journal")),
        (Cursor("e2", 15), Start(reset="other_epoch")),
    ],
)
def test_a_stream_begins_after_the_cursor_or_is_reset(cursor: Cursor, start: Start) -> None:
    """Only a cursor with everything after it still in this journal is resumed."""
    assert resume.start(cursor, BOUNDS) == start
