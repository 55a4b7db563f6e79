"""The engine's reading and writing: how do messages become entries, and decisions messages?"""

import pytest
from msgspec import UNSET

from segue_contracts.envelope import Message, encode, raw
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.events import frame
from segue_contracts.v1.subjects import SubjectError
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_language import parse
from segue_orchestrator.core.effects import Abandon, Dispatch, End, Park, Skip, TimeOut
from segue_orchestrator.core.entries import Completed, JournalEvent, LeanValue, read, started_of
from segue_orchestrator.core.evolve import begin, evolve
from segue_orchestrator.core.inputs import bind_inputs, input_problems
from segue_orchestrator.core.messages import Durable, Fact, fact_of, value_of
from segue_orchestrator.core.plan import Plan, StepPlan, compile_plan
from segue_orchestrator.core.state import Entry, RunState
from segue_orchestrator.core.view import status_of, view_of

RUN = "01abcdef"
PREFIX = f"segue.v1.default.run.00.{RUN}"


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


def test_turns_and_unknown_types_have_no_body_for_the_engine() -> None:
    """What the engine does not look into costs it nothing, and is no flaw."""
    turn = message("step.a.1.turn.1", TurnCompleted(number=1, kind="tools", messages=Value()))
    unknown = read(
        f"{PREFIX}.later.1",
        b'{"id":"x","source":"x","type":"segue.run.later.v9","time":"t","data":{}}',
        sequence=1,
        time_ms=1,
    )

    assert (turn.entry.body, turn.flaw) == (None, "")
    assert (unknown.entry.body, unknown.flaw) == (None, "")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b'{"id":"x","source":"x","type":"segue.run.step_completed.v1","time":"t","data":[]}',
    ],
)
def test_an_outcome_that_does_not_decode_reads_as_a_failure(data: bytes) -> None:
    """It settles its attempt, and is flawed enough for the dead letters."""
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


def plan_of(text: str) -> Plan:
    """Compile a valid definition."""
    parsed = parse(text)
    assert parsed.workflow is not None, parsed.problems
    return compile_plan(parsed.workflow)


def state_of(plan: Plan, *entries: tuple[str, Message]) -> RunState:
    """Fold a run's history."""
    started = runs.RunStarted(workflow="w", definition="d", inputs=Value(inline={"x": 1}))
    state = begin(RUN, "default", Entry(1, 1000, ("started",), started))
    assert state is not None
    for number, (event, body) in enumerate(entries):
        evolve(state, plan, Entry(2 + number, 2000 + number, tuple(event.split(".")), body))
    return state


PLAN = plan_of("{name: w, steps: [{key: aB, agent: quality, action: look, provider: claude}]}")
STEP: StepPlan = next(iter(PLAN.steps.values()))
ATTEMPT = "segue.v1.default.run.be.01abcdef.step.a_42.1"


@pytest.mark.parametrize(
    ("effect", "subject", "guard"),
    [
        (
            Dispatch(step=STEP, attempt=1, input={}),
            f"{ATTEMPT}.scheduled.agents.p2",
            f"{ATTEMPT}.scheduled.>",
        ),
        (Skip(STEP, "upstream"), f"{ATTEMPT}.outcome.skipped", f"{ATTEMPT}.outcome.*"),
        (
            TimeOut(STEP, 1, Failure(code="timeout", message="late")),
            f"{ATTEMPT}.outcome.timed_out",
            f"{ATTEMPT}.outcome.*",
        ),
        (Abandon(STEP, 1, "no"), f"{ATTEMPT}.outcome.cancelled", f"{ATTEMPT}.outcome.*"),
        (End(status="completed", output={}), "segue.v1.default.run.be.01abcdef.ended", ""),
        (Park("x", "y"), "segue.v1.default.run.be.01abcdef.parked.1", ""),
    ],
    ids=["dispatch", "skip", "timeout", "abandon", "end", "park"],
)
def test_a_decision_has_its_subject_and_its_guard(
    effect: Durable, subject: str, guard: str
) -> None:
    """At most one dispatch and one outcome per attempt, one end per run: the guard says which."""
    fact = fact_of(effect, state_of(PLAN), Value(inline={}))

    assert (fact.subject, fact.guard) == (subject, guard)


def test_a_task_carries_everything_a_worker_needs() -> None:
    """The scheduled event is the task."""
    effect = Dispatch(step=STEP, attempt=2, input={}, not_before_ms=5, deadline_ms=9)

    fact: Fact = fact_of(effect, state_of(PLAN), Value(inline={"q": 1}))

    assert fact.about == f"{RUN}/aB"
    assert fact.body == steps.StepScheduled(
        run=RUN,
        namespace="default",
        workflow="w",
        step="aB",
        attempt=2,
        pool="agents",
        kind="agent",
        input=Value(inline={"q": 1}),
        agent="quality",
        action="look",
        provider="claude",
        not_before_ms=5,
        deadline_ms=9,
    )


def test_an_end_carries_its_output_error_and_usage() -> None:
    """A run that did not complete has no output."""
    usage = UsageTotals(model_calls=2)
    error = Failure(code="x", message="y")
    done = fact_of(
        End(status="completed", output={"a": 1}, usage=usage), state_of(PLAN), Value(inline=1)
    )
    failed = fact_of(End(status="failed", error=error), state_of(PLAN), Value())

    assert done.body == runs.RunEnded(status="completed", output=Value(inline=1), usage=usage)
    assert failed.body == runs.RunEnded(status="failed", error=error)
    assert done.body.output is not UNSET


def test_only_tasks_and_ends_carry_values() -> None:
    """Everything else fits into its message."""
    assert value_of(Dispatch(step=STEP, attempt=1, input={"a": 1})) == {"a": 1}
    assert value_of(End(status="completed", output={"b": 1})) == {"b": 1}
    assert value_of(Park("x", "y")) is None


SCHEDULED = steps.StepScheduled(
    run=RUN,
    namespace="default",
    workflow="w",
    step="aB",
    attempt=1,
    pool="agents",
    kind="agent",
)
FAILED = steps.StepFailed(error=Failure(code="x", message="broke"))


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ([], "pending"),
        ([("step.a_42.1.scheduled.agents.p2", SCHEDULED)], "running"),
        ([("parked.1", runs.RunParked(code="x", message="held"))], "parked"),
        ([("ended", runs.RunEnded(status="cancelled"))], "cancelled"),
    ],
)
def test_a_run_says_where_it_stands(history: list[tuple[str, Message]], status: str) -> None:
    """The status follows from the journal alone."""
    assert status_of(state_of(PLAN, *history)) == status


def test_a_run_in_backoff_is_retrying() -> None:
    """Nothing in flight and a retry to come is told apart from work."""
    plan = plan_of("{name: w, steps: [{key: aB, agent: q, action: a, retry: {maxAttempts: 2}}]}")
    history = [
        ("step.a_42.1.scheduled.agents.p2", SCHEDULED),
        ("step.a_42.1.outcome.failed", FAILED),
    ]

    assert status_of(state_of(plan, *history)) == "retrying"


def test_a_view_shows_every_step_and_the_reason_of_the_end() -> None:
    """Steps appear in the definition's order, also before anything happened to them."""
    error = Failure(code="step_failed", message="step aB: broke")
    state = state_of(
        PLAN,
        ("step.a_42.1.scheduled.agents.p2", SCHEDULED),
        ("step.a_42.1.started", steps.StepStarted(worker="w1")),
        ("step.a_42.1.outcome.failed", FAILED),
        ("ended", runs.RunEnded(status="failed", error=error)),
    )

    view = view_of(state, PLAN, cursor="e-5")

    assert (view.status, view.error, view.cursor, view.inputs) == ("failed", error, "e-5", {"x": 1})
    [step] = view.steps
    assert (step.step, step.status, step.attempt, step.agent) == ("aB", "failed", 1, "quality")
    assert (step.scheduled_ms, step.ended_ms) == (2000, 2002)


def test_a_parked_run_shows_its_reason() -> None:
    """Who looks at a parked run sees why."""
    view = view_of(
        state_of(PLAN, ("parked.1", runs.RunParked(code="x", message="held"))), PLAN, cursor="e-2"
    )

    assert view.error == Failure(code="x", message="held")
    assert view_of(state_of(PLAN), PLAN, cursor="e-1").error is UNSET


def test_a_worker_that_started_shows_as_running() -> None:
    """`started` is told while the outcome is still to come."""
    state = state_of(
        PLAN,
        ("step.a_42.1.scheduled.agents.p2", SCHEDULED),
        ("step.a_42.1.started", steps.StepStarted(worker="w1")),
    )

    assert state.steps["a_42"].status == "running"


@pytest.mark.parametrize(
    "body", [runs.RunResumed(), TurnCompleted(number=1, kind="tools", messages=Value())]
)
def test_a_body_that_is_no_outcome_counts_as_a_failure_on_an_outcomes_subject(
    body: Message,
) -> None:
    """The guard is taken, so the attempt must be settled all the same."""
    event = message("step.a.1.outcome.completed", body)

    assert isinstance(event.entry.body, steps.StepFailed)
    assert event.flaw != ""


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
    workflow = parse(INPUTS).workflow
    assert workflow is not None

    assert bind_inputs(workflow, {"path": "x"}) == {"path": "x", "depth": 3, "tags": []}
    assert bind_inputs(workflow, {}) == {"depth": 3, "tags": []}


def test_wrong_inputs_are_all_named() -> None:
    """Unknown, missing and mistyped values are problems at once."""
    workflow = parse(INPUTS).workflow
    assert workflow is not None

    problems = {p.pointer: p.code for p in input_problems(workflow, {"tags": "x", "deep": 1})}

    assert problems == {
        "/inputs/deep": "unknown_input",
        "/inputs/path": "missing_input",
        "/inputs/tags": "wrong_type",
    }
    assert [*input_problems(workflow, {"path": "x", "tags": None})] == []


def test_a_kind_without_tasks_has_no_plan() -> None:
    """What admission must refuse is refused here too."""
    with pytest.raises(ValueError, match="wait"):
        plan_of("{name: w, steps: [{key: a, wait: 1s}]}")


def test_a_plan_knows_what_a_condition_and_a_prompt_read() -> None:
    """Outputs are fetched before they are read, wherever a template stands."""
    plan = plan_of(
        """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p}
  - key: c
    llm: {prompt: "sum up {{ b }}"}
    when: steps.a.output.ok
    dependsOn: [a, b]
"""
    )

    assert plan.steps["c"].reads == ("a", "b")
    assert encode(raw(1)) == b"1"
