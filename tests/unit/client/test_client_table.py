"""Tests of the table that `--watch` shows: which row does each event make?"""

import pytest
from unit.client.client_events import (
    RUN,
    ended,
    run_event,
    scheduled,
    seen,
    started,
    step_event,
)

from segue.core.events import UNDECODABLE, RunEvent, as_json, read_delta
from segue.core.lines import line
from segue.core.table import Row, Table, empty, fold, visible
from segue_contracts.envelope import Message, encode
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.chat import Usage
from segue_contracts.v1.deltas import PartDelta, StepDelta, ToolProgress, UsageDelta
from segue_contracts.v1.events import make_event
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals


def _folded(*events: RunEvent, table: Table | None = None) -> Table:
    state = table or Table()
    for event in events:
        state = fold(state, event)
    return state


def _step(body: Message, *, step: str = "lint", attempt: int = 1, time_ms: int = 1_000) -> RunEvent:
    return seen(step_event(step, body, attempt=attempt), time_ms=time_ms)


def _tokens(number: int, cost: str = "0") -> UsageTotals:
    return UsageTotals(input_tokens=number, cost_usd=cost, model_calls=1)


FAILURE = Failure(code="tool_failed", message="ruff did not start")


def test_every_step_has_a_row_before_anything_happened() -> None:
    """The definition's steps are shown as pending, in its order."""
    table = empty("review", [("lint", "quality"), ("scan", "security")])

    assert [(row.step, row.agent, row.state) for row in table.rows.values()] == [
        ("lint", "quality", "pending"),
        ("scan", "security", "pending"),
    ]


def test_a_completed_step_shows_who_answered_and_what_it_used() -> None:
    """State, provider, usage and duration come from the outcome."""
    table = _folded(
        _step(scheduled("lint"), time_ms=1_000),
        _step(steps.StepCompleted(provider="offline", usage=_tokens(50, "0.25")), time_ms=4_000),
    )
    row = table.rows["lint"]

    assert (row.state, row.provider, row.usage.input_tokens) == ("completed", "offline", 50)
    assert row.duration_ms(now_ms=99_000) == 3_000
    assert (table.usage.cost_usd, table.providers) == ("0.25", ("offline",))


def test_the_duration_of_an_open_step_grows_with_the_clock() -> None:
    """A step that goes on is measured to now, a step that was not scheduled not at all."""
    table = _folded(_step(scheduled("lint"), time_ms=1_000), table=empty("r", [("scan", "s")]))

    assert table.rows["lint"].duration_ms(now_ms=6_500) == 5_500
    assert table.rows["scan"].duration_ms(now_ms=6_500) == 0


def test_turns_count_while_a_step_runs_and_not_twice_afterwards() -> None:
    """The outcome's usage replaces what the attempt's turns told."""
    turn = TurnCompleted(
        number=1, kind="model", messages=runs.Value(), usage=_tokens(10), provider="offline"
    )
    running = _folded(_step(scheduled("lint")), _step(turn))
    done = fold(running, _step(steps.StepCompleted(usage=_tokens(12))))

    assert (running.rows["lint"].state, running.usage.input_tokens) == ("running", 10)
    assert done.usage.input_tokens == 12
    assert done.rows["lint"].provider == "offline"


def test_a_second_attempt_opens_the_row_again_and_keeps_what_the_first_used() -> None:
    """Usage of failed attempts is not forgotten, and the time runs from the first."""
    table = _folded(
        _step(scheduled("lint"), time_ms=1_000),
        _step(steps.StepFailed(error=FAILURE, usage=_tokens(5)), time_ms=2_000),
        _step(scheduled("lint", attempt=2), attempt=2, time_ms=3_000),
        _step(steps.StepStarted(worker="w1"), attempt=2, time_ms=3_250),
    )
    row = table.rows["lint"]

    assert (row.state, row.attempt, row.usage.input_tokens) == ("running", 2, 5)
    assert row.duration_ms(now_ms=5_000) == 4_000


@pytest.mark.parametrize(
    ("body", "state", "detail"),
    [
        (steps.StepFailed(error=FAILURE), "failed", "tool_failed: ruff did not start"),
        (steps.StepTimedOut(error=FAILURE), "timed_out", "tool_failed: ruff did not start"),
        (steps.StepCancelled(reason="not wanted"), "cancelled", "not wanted"),
        (steps.StepSkipped(reason="upstream"), "skipped", "upstream"),
    ],
)
def test_a_settled_step_says_why(body: Message, state: str, detail: str) -> None:
    """Each outcome has its state, and its reason is kept."""
    row = _folded(_step(body)).rows["lint"]

    assert (row.state, row.detail) == (state, detail)


def test_a_cancelled_attempt_keeps_what_its_turns_told_when_it_says_nothing() -> None:
    """An outcome without usage does not erase usage that was seen."""
    turn = TurnCompleted(number=1, kind="model", messages=runs.Value(), usage=_tokens(10))
    table = _folded(_step(scheduled("lint")), _step(turn), _step(steps.StepCancelled()))

    assert table.usage.input_tokens == 10


def test_what_a_worker_tells_late_does_not_open_a_settled_step() -> None:
    """The outcome is the last word on an attempt; what was used after it counts all the same."""
    turn = TurnCompleted(number=2, kind="model", messages=runs.Value(), usage=_tokens(5))
    late = Failure(code="timeout", message="late")
    settled = _folded(
        _step(scheduled("lint")), _step(steps.StepTimedOut(error=late, usage=_tokens(10)))
    )

    told = _folded(
        _step(steps.StepStarted(worker="w")),
        _step(turn),
        _step(steps.StepSpent(usage=_tokens(2))),
        table=settled,
    )

    assert (told.rows["lint"].state, told.usage.input_tokens) == ("timed_out", 17)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("started", started(), "running"),
        ("cancel_requested", runs.CancelRequested(), "cancelling"),
        ("paused.1", runs.RunPaused(), "paused"),
        ("resumed.1", runs.RunResumed(), "running"),
        ("parked.1", runs.RunParked(code="too_large", message="make it smaller"), "parked"),
        ("unparked.1", runs.RunUnparked(), "running"),
        ("ended", ended(), "completed"),
    ],
)
def test_the_run_shows_where_it_stands(name: str, body: Message, status: str) -> None:
    """Events of the run as a whole set its status."""
    assert _folded(seen(run_event(name, body))).status == status


def test_an_event_of_an_unknown_type_changes_nothing() -> None:
    """A newer service may tell more than this release knows."""
    unknown = RunEvent(run=RUN, type="segue.run.dreamt.v9")
    table = _folded(_step(scheduled("lint")))

    assert fold(table, unknown) is table
    assert fold(table, RunEvent(run=RUN, type="segue.run.dreamt.v9", step="lint")) is table


def test_each_note_is_shown_once() -> None:
    """Five steps that fell back say so in one line."""
    note = "preferred provider claude has no key; answered by offline"
    table = _folded(
        _step(steps.StepCompleted(notes=[note]), step="lint"),
        _step(steps.StepCompleted(notes=[note]), step="scan"),
    )

    assert table.notes == (note,)


def test_settled_rows_give_way_when_there_is_no_room() -> None:
    """Open steps stay visible, and the number of hidden ones is told."""
    rows = {f"s{n}": Row(step=f"s{n}", state="completed" if n < 6 else "running") for n in range(9)}
    shown, hidden = visible(rows, 5)

    assert [row.step for row in shown] == ["s4", "s5", "s6", "s7", "s8"]
    assert hidden == 4
    assert visible(rows, 9) == (list(rows.values()), 0)


def test_no_more_rows_are_shown_than_fit_even_when_all_are_open() -> None:
    """Two hundred running steps do not overflow a terminal."""
    rows = {f"s{n}": Row(step=f"s{n}", state="running") for n in range(200)}

    assert [len(visible(rows, 10)[0]), visible(rows, 10)[1]] == [10, 190]


def _delta(body: StepDelta) -> RunEvent:
    event = make_event(body, id="d", source="segue/test", subject=RUN, time="2026-11-21T12:00:00Z")
    return read_delta(RUN, encode(event))


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (seen(run_event("started", started())), "12:03:04 run of review started"),
        (seen(run_event("ended", ended())), "12:03:04 run completed"),
        (
            seen(run_event("ended", ended(status="failed", error=FAILURE))),
            "12:03:04 run failed: tool_failed: ruff did not start",
        ),
        (
            seen(run_event("cancel_requested", runs.CancelRequested(reason="enough"))),
            "12:03:04 cancel requested: enough",
        ),
        (
            seen(run_event("signal.1", runs.SignalReceived(name="go"))),
            "12:03:04 signal go received",
        ),
        (
            seen(run_event("parked.1", runs.RunParked(code="too_large", message="shrink it"))),
            "12:03:04 run parked: too_large: shrink it",
        ),
        (seen(run_event("paused.1", runs.RunPaused())), "12:03:04 run paused"),
        (seen(run_event("resumed.1", runs.RunResumed())), "12:03:04 run goes on"),
        (
            _step(steps.StepFailed(error=FAILURE)),
            "12:03:04 lint: failed: tool_failed: ruff did not start",
        ),
        (
            _step(steps.StepTimedOut(error=FAILURE)),
            "12:03:04 lint: timed out: tool_failed: ruff did not start",
        ),
        (_step(steps.StepCancelled(reason="enough")), "12:03:04 lint: cancelled: enough"),
        (_step(scheduled("lint")), "12:03:04 lint: scheduled for quality"),
        (_step(steps.StepStarted(worker="w1")), "12:03:04 lint: running on w1"),
        (
            _step(steps.StepCompleted(provider="offline", usage=_tokens(1_200)), attempt=2),
            "12:03:04 lint: completed, answered by offline, 1,200 tokens, attempt 2",
        ),
        (
            _step(TurnCompleted(number=3, kind="tools", messages=runs.Value())),
            "12:03:04 lint: turn 3, tools answered",
        ),
        (_step(steps.StepSkipped(reason="condition")), "12:03:04 lint: skipped: condition"),
        (RunEvent(run=RUN, type="segue.run.dreamt.v9"), "--:--:-- segue.run.dreamt.v9"),
        (
            _delta(
                StepDelta(
                    run=RUN,
                    step="lint",
                    delta=ToolProgress(
                        request="r", name="lint_code", state="completed", summary="9 findings"
                    ),
                )
            ),
            "12:00:00 lint: tool lint_code completed: 9 findings",
        ),
        (
            _delta(StepDelta(run=RUN, step="s", delta=PartDelta(request="r", index=0, text="hi"))),
            "12:00:00 s: hi",
        ),
        (
            _delta(StepDelta(run=RUN, step="s", delta=UsageDelta(request="r", usage=Usage()))),
            "12:00:00 s: UsageDelta",
        ),
    ],
)
def test_each_event_has_its_line(event: RunEvent, text: str) -> None:
    """A plain log reads as sentences with the time, the step and what happened."""
    assert line(event) == text


def test_a_step_key_reads_as_its_author_wrote_it() -> None:
    """Escaped subject tokens are shown unescaped."""
    event = seen(step_event("Parse Changes_2", steps.StepSkipped(reason="condition")))

    assert (event.step, event.attempt) == ("Parse Changes_2", 1)


def test_a_message_that_is_no_event_is_told_and_harms_nothing() -> None:
    """Foreign bytes on a run's subject become an event of their own type."""
    subject, _ = run_event("started", started())
    event = seen((subject, b"\xff not json"))

    assert (event.type, event.body, fold(Table(), event)) == (UNDECODABLE, None, Table())
    assert "no event" in line(event)


def test_an_event_as_json_has_its_cursor_and_plain_data() -> None:
    """`-o json` gives what the contract says, for other programs."""
    event = seen(run_event("ended", ended()), sequence=42)

    assert as_json(event) == {
        "run": RUN,
        "type": "segue.run.ended.v1",
        "step": "",
        "attempt": 0,
        "cursor": "e1-42",
        "time": "2026-11-21T12:03:04.000Z",
        "data": {"status": "completed"},
    }
