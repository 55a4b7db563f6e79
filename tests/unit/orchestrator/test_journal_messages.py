"""The engine's reading and writing: how do messages become entries, and decisions messages?"""

import pytest
from msgspec import UNSET
from support.history import History
from support.journal import T0, workflow_of

from segue_contracts.envelope import Message, encode
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs, steps, subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.subjects import SubjectError
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.effects import (
    Abandon,
    BeginWait,
    Check,
    Dispatch,
    Durable,
    End,
    Fail,
    Join,
    OpenMap,
    Park,
    Resolve,
    Skip,
    StartChild,
    TimeOut,
)
from segue_orchestrator.core.entries import (
    Completed,
    JournalEvent,
    LeanValue,
    Turn,
    read,
    started_of,
    value_of,
)
from segue_orchestrator.core.inputs import bind_inputs, input_problems, refused_inputs
from segue_orchestrator.core.messages import NOTHING, Content, content_of, fact_of
from segue_orchestrator.core.state import Entry, OutputAt

RUN = "01abcdef"
PREFIX = f"segue.v1.default.run.00.{RUN}"
NEWER = b'{"id":"x","source":"x","type":"segue.run.later.v9","time":"t","data":{}}'


def message(event: str, body: Message) -> JournalEvent:
    """Read a framed body back, as from the journal."""
    subject = f"{PREFIX}.{event}"
    data = frame(body, subject=subject, source="test", about=RUN, time="t")
    return read(subject, data, sequence=7, time_ms=9)


def test_a_framed_body_is_read_with_its_place() -> None:
    """Sequence, time and tokens come with the decoded body."""
    event = message("ended", runs.RunEnded(status="failed"))

    assert event.place.run == RUN
    assert event.flaw == ""
    assert event.entry == Entry(7, 9, ("ended",), runs.RunEnded(status="failed"))
    assert started_of(event) is None


def test_a_start_is_told_from_other_events() -> None:
    """Lists need the first event's body."""
    body = runs.RunStarted(workflow="w", definition="d")

    assert started_of(message("started", body)) == body


def test_an_output_is_read_without_being_decoded() -> None:
    """The fold gets the bytes of an output, or its claim check."""
    inline = message("step.a.1.outcome.completed", steps.StepCompleted(output=Value(inline=[1])))
    ref = PayloadRef(sha256="x", size=1)
    large = message("step.a.1.outcome.completed", steps.StepCompleted(output=Value(ref=ref)))

    assert isinstance(inline.entry.body, Completed)
    assert encode(inline.entry.body.output.inline) == b"[1]"
    assert large.entry.body == Completed(output=LeanValue(ref=ref))


@pytest.mark.parametrize(
    ("event", "body", "value"),
    [
        ("step.a.1.outcome.completed", steps.StepCompleted(output=Value(inline=[1])), b"[1]"),
        ("step.a.1.outcome.completed", steps.StepCompleted(), b""),
        ("step.a.1.mapped", steps.StepMapped(count=1, items=Value(inline=[2])), b"[2]"),
        (
            "child.x.started",
            runs.ChildStarted(
                step="a", attempt=1, run="x", workflow="w", definition="d", inputs=Value(inline={})
            ),
            b"{}",
        ),
        (
            "child.x.ended",
            runs.ChildEnded(
                step="a", attempt=1, run="x", status="completed", output=Value(inline=3)
            ),
            b"3",
        ),
        ("child.x.ended", runs.ChildEnded(step="a", attempt=1, run="x", status="failed"), b""),
        ("signal.1", runs.SignalReceived(name="s", payload=Value(inline="p")), b'"p"'),
        ("paused.1", runs.RunPaused(), b""),
    ],
)
def test_the_value_that_an_event_carries_is_at_hand(
    event: str, body: Message, value: bytes
) -> None:
    """As JSON; empty where there is none, or only a claim check."""
    assert value_of(message(event, body).entry.body) == value


def test_of_a_turn_the_engine_reads_what_it_used() -> None:
    """What was said in it costs nothing to fold."""
    usage = UsageTotals(model_calls=1)
    body = TurnCompleted(number=1, kind="model", messages=Value(inline=["hi"]), usage=usage)

    turn = message("step.a.1.turn.1", body)

    assert (turn.entry.body, turn.flaw) == (Turn(usage=usage), "")


def test_unknown_types_have_no_body_for_the_engine() -> None:
    """What the engine does not look into costs it nothing, and is no flaw."""
    unknown = read(f"{PREFIX}.later.1", NEWER, sequence=1, time_ms=1)

    assert (unknown.entry.body, unknown.flaw) == (None, "")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b'{"id":"x","source":"x","type":"segue.run.step_completed.v1","time":"t","data":[]}',
        NEWER,
        frame(runs.RunResumed(), subject="s", source="x", about="a", time="t"),
        frame(
            TurnCompleted(number=1, kind="tools", messages=Value()),
            subject="s",
            source="x",
            about="a",
            time="t",
        ),
    ],
    ids=["noise", "misfit", "newer", "no outcome", "a turn"],
)
def test_an_outcome_that_is_none_reads_as_a_failure(data: bytes) -> None:
    """It settles its attempt, for its guard is taken, and is fit for the dead letters."""
    event = read(f"{PREFIX}.step.a.1.outcome.completed", data, sequence=1, time_ms=1)

    assert isinstance(event.entry.body, steps.StepFailed)
    assert event.entry.body.error.code == "invalid_outcome"
    assert event.flaw != ""


def test_another_event_that_does_not_decode_reads_as_nothing() -> None:
    """Only outcomes need a meaning in any case."""
    event = read(f"{PREFIX}.signal.x", b"\x00", sequence=1, time_ms=1)

    assert event.entry.body is None
    assert event.flaw != ""


def test_a_subject_of_another_kind_is_refused() -> None:
    """The journal's reader reads journals."""
    with pytest.raises(SubjectError):
        read("segue.v1.default.cmd.x.y", b"", sequence=1, time_ms=1)


# Writing.

TEXT = "{name: w, steps: [{key: aB, agent: quality, action: look, provider: claude}]}"
RUNNING = History(TEXT)
STEP = RUNNING.plan.steps["a_42"]
ROOT = subjects.run_prefix("default", RUNNING.run)
ATTEMPT = f"{ROOT}.step.a_42.1"
ERROR = Failure(code="x", message="y")
ASKED = steps.StepWaiting(kind="signal", name="s")


@pytest.mark.parametrize(
    ("effect", "subject", "guard"),
    [
        (
            Dispatch(step=STEP, token="a_42", attempt=1, input={}),
            f"{ATTEMPT}.scheduled.agents.p2",
            f"{ATTEMPT}.scheduled.>",
        ),
        (Skip(STEP, "upstream"), f"{ATTEMPT}.outcome.skipped", f"{ATTEMPT}.outcome.*"),
        (TimeOut(STEP, "a_42", 1, ERROR), f"{ATTEMPT}.outcome.timed_out", f"{ATTEMPT}.outcome.*"),
        (Abandon(STEP, "a_42", 1, "n"), f"{ATTEMPT}.outcome.cancelled", f"{ATTEMPT}.outcome.*"),
        (
            Fail(step=STEP, token="a_42", attempt=1, error=ERROR),
            f"{ATTEMPT}.outcome.failed",
            f"{ATTEMPT}.outcome.*",
        ),
        (
            Resolve(step=STEP, token="a_42", attempt=1),
            f"{ATTEMPT}.outcome.completed",
            f"{ATTEMPT}.outcome.*",
        ),
        (
            Join(step=STEP, attempt=1, places=()),
            f"{ATTEMPT}.outcome.completed",
            f"{ATTEMPT}.outcome.*",
        ),
        (BeginWait(step=STEP, token="a_42", attempt=1, asked=ASKED), f"{ATTEMPT}.waiting", ""),
        (OpenMap(step=STEP, items=[]), f"{ATTEMPT}.mapped", ""),
        (Check(step=STEP, token="a_42", attempt=1), f"{ATTEMPT}.checked", ""),
        (
            StartChild(
                step=STEP, token="a_42", attempt=1, run="child001", definition="d", input={}
            ),
            f"{ROOT}.child.child001.started",
            "",
        ),
        (End(status="completed", output={}), f"{ROOT}.ended", ""),
        (Park("x", "y"), f"{ROOT}.parked.1", ""),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_a_decision_has_its_subject_and_its_guard(
    effect: Durable, subject: str, guard: str
) -> None:
    """At most one dispatch and one outcome per attempt, one end per run: the guard says which."""
    fact = fact_of(effect, RUNNING.state, Value(inline={}))

    assert (fact.subject, fact.guard) == (subject, guard)


@pytest.mark.parametrize(
    "effect",
    [
        Dispatch(step=STEP, token="a_42~undo", attempt=1, input={}, after=9),
        StartChild(
            step=STEP, token="a_42~undo", attempt=1, run="c", definition="d", input={}, after=9
        ),
        End(status="failed", error=ERROR, after=9),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_of_the_whole_journal_is_guarded_by_all_of_it(effect: Durable) -> None:
    """The run may have nothing newer than what the decision knew."""
    fact = fact_of(effect, RUNNING.state, Value())

    assert (fact.guard, fact.after) == (f"{ROOT}.>", 9)


def test_a_task_carries_everything_a_worker_needs() -> None:
    """The scheduled event is the task."""
    effect = Dispatch(
        step=STEP, token="a_42~1~undo", attempt=2, input={}, not_before_ms=5, deadline_ms=9
    )

    fact = fact_of(effect, RUNNING.state, Value(inline={"q": 1}))

    assert fact.about == f"{RUNNING.run}/aB~1~undo"
    assert fact.body == steps.StepScheduled(
        run=RUNNING.run,
        namespace="default",
        workflow="w",
        step="aB~1~undo",
        attempt=2,
        pool="agents",
        kind="agent",
        input=Value(inline={"q": 1}),
        agent="quality",
        action="look",
        provider="claude",
        not_before_ms=5,
        deadline_ms=9,
        compensates="aB~1",
    )


def test_the_start_of_a_child_run_carries_how_it_starts() -> None:
    """Whoever reads it can start the same."""
    effect = StartChild(
        step=STEP, token="a_42", attempt=3, run="child001", definition="d", input={}, deadline_ms=T0
    )

    assert fact_of(effect, RUNNING.state, Value(inline={})).body == runs.ChildStarted(
        step="a_42",
        attempt=3,
        run="child001",
        workflow="",
        definition="d",
        inputs=Value(inline={}),
        deadline_ms=T0,
    )


def test_what_the_engine_notes_of_a_step_says_so() -> None:
    """A wait what it is for, a list how long it is, a check what is wrong."""
    wait = BeginWait(step=STEP, token="a_42", attempt=1, asked=ASKED)
    mapped = OpenMap(step=STEP, items=[1, 2])
    check = Check(step=STEP, token="a_42", attempt=1, problems=("no",))

    bodies = [
        fact_of(effect, RUNNING.state, Value(inline=0)).body for effect in (wait, mapped, check)
    ]

    assert bodies == [
        ASKED,
        steps.StepMapped(count=2, items=Value(inline=0)),
        steps.StepChecked(accepted=False, problems=["no"]),
    ]


def test_an_end_carries_its_output_error_and_usage() -> None:
    """A run that did not complete has no output."""
    usage = UsageTotals(model_calls=2)
    ending = End(status="completed", output={"a": 1}, usage=usage)
    done = fact_of(ending, RUNNING.state, Value(inline=1))
    failed = fact_of(End(status="failed", error=ERROR), RUNNING.state, Value())

    assert done.body == runs.RunEnded(status="completed", output=Value(inline=1), usage=usage)
    assert failed.body == runs.RunEnded(status="failed", error=ERROR)
    assert done.body.output is not UNSET


@pytest.mark.parametrize(
    ("effect", "content"),
    [
        (Dispatch(step=STEP, token="a", attempt=1, input={"a": 1}), Content(value={"a": 1})),
        (Dispatch(step=STEP, token="a", attempt=1, input={}), NOTHING),
        (End(status="completed", output={"b": 1}), Content(value={"b": 1})),
        (End(status="failed"), NOTHING),
        (OpenMap(step=STEP, items=[]), Content(value=[])),
        (Resolve(step=STEP, token="a", attempt=1, at=OutputAt(4)), Content(at=OutputAt(4))),
        (Resolve(step=STEP, token="a", attempt=1, output=5), Content(value=5)),
        (Resolve(step=STEP, token="a", attempt=1), Content(value=None)),
        (Join(step=STEP, attempt=1, places=(None,)), Content(places=(None,))),
        (Park("x", "y"), NOTHING),
    ],
)
def test_what_may_be_large_travels_beside_the_other_fields(
    effect: Durable, content: Content
) -> None:
    """As a value at hand, as a place, or as a list of places."""
    assert content_of(effect) == content


# Inputs.

INPUTS = """
name: w
inputs:
  path: {type: string, required: true}
  depth: 3
  tags: {type: array, default: []}
steps: [{key: a, pool: p}]
"""


def test_inputs_are_given_values_else_defaults() -> None:
    """What the caller leaves out is filled from the definition."""
    workflow = workflow_of(INPUTS)

    assert bind_inputs(workflow, {"path": "x"}) == {"path": "x", "depth": 3, "tags": []}
    assert bind_inputs(workflow, {}) == {"depth": 3, "tags": []}


def test_wrong_inputs_are_all_named() -> None:
    """Unknown, missing and mistyped values are problems at once."""
    workflow = workflow_of(INPUTS)

    problems = {p.pointer: p.code for p in input_problems(workflow, {"tags": "x", "deep": 1})}

    assert problems == {
        "/inputs/deep": "unknown_input",
        "/inputs/path": "missing_input",
        "/inputs/tags": "wrong_type",
    }
    assert [*input_problems(workflow, {"path": "x", "tags": None})] == []


def test_a_child_run_with_wrong_inputs_is_refused_with_all_of_them() -> None:
    """Trying again with the same would not help."""
    workflow = workflow_of(INPUTS)

    failure = refused_inputs(workflow, {"tags": "x"})

    assert failure is not None
    assert (failure.code, failure.retryable) == ("invalid_inputs", False)
    assert "'path' is required" in failure.message
    assert "'tags' must be of type array" in failure.message
    assert refused_inputs(workflow, {"path": "x"}) is None
