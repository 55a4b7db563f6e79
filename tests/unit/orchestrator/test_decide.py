"""The decider by given, when, then: what must exist next after a history?"""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import UNSET

from segue_contracts.envelope import Message, raw
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.values import Failure, UsageTotals
from segue_language import parse
from segue_orchestrator.core.decide import Known, decide
from segue_orchestrator.core.effects import (
    Abandon,
    Arm,
    Dispatch,
    Effect,
    End,
    HintCancel,
    Park,
    Skip,
    TimeOut,
)
from segue_orchestrator.core.entries import Completed, LeanValue
from segue_orchestrator.core.evolve import begin, evolve, touch_all
from segue_orchestrator.core.plan import Plan, compile_plan
from segue_orchestrator.core.policies import CANCEL_GRACE_MS
from segue_orchestrator.core.state import Entry, OutputAt, RunState

T0 = 1_000_000
"""When every run of these tests starts, Unix milliseconds."""

Event = tuple[str, Message | None]


def plan_of(text: str) -> Plan:
    """Compile a definition that must be valid."""
    parsed = parse(text)
    assert parsed.problems == ()
    assert parsed.workflow is not None
    return compile_plan(parsed.workflow)


class Run:
    """A history, what was decided on it, and the values the core may ask for."""

    def __init__(self, text: str, inputs: dict[str, Any] | None = None) -> None:
        self.plan = plan_of(text)
        self.inputs = inputs or {}
        self.outputs: dict[OutputAt, Any] = {}
        started = runs.RunStarted(workflow="w", definition="d")
        state = begin("run1", "default", Entry(1, T0, ("started",), started))
        assert state is not None
        self.state: RunState = state
        self.sequence = 1
        touch_all(self.state, self.plan)

    def given(self, *events: Event, at_ms: int = 0) -> "Run":
        """Fold events, `at_ms` after the start."""
        for subject, body in events:
            self.sequence += 1
            entry = Entry(self.sequence, T0 + at_ms, tuple(subject.split(".")), body)
            evolve(self.state, self.plan, entry)
        return self

    def output(self, value: object) -> "Run":
        """Make the newest event's output known to the core."""
        self.outputs[OutputAt(self.sequence)] = value
        return self

    def decided(self) -> "Run":
        """Take the pending decision as stored."""
        self.state.touched.clear()
        return self

    def then(self) -> Sequence[Effect]:
        """Return what is decided, with everything that is needed at hand."""
        decision = decide(self.state, self.plan, Known(inputs=self.inputs, outputs=self.outputs))
        assert decision.needs == ()
        return decision.effects

    def dispatched(self) -> list[tuple[str, int]]:
        """Return the keys and attempts of what is dispatched now."""
        return [(e.step.key, e.attempt) for e in self.then() if isinstance(e, Dispatch)]


def scheduled(step: str, attempt: int = 1, *, deadline_ms: int = 0) -> Event:
    """Return a dispatch."""
    body = steps.StepScheduled(
        run="run1",
        namespace="default",
        workflow="w",
        step=step,
        attempt=attempt,
        pool="p",
        kind="pool",
        deadline_ms=deadline_ms,
    )
    return f"step.{step}.{attempt}.scheduled.p.p2", body


def completed(step: str, attempt: int = 1, **fields: Any) -> Event:
    """Return a success."""
    return f"step.{step}.{attempt}.outcome.completed", Completed(**fields)


def failed(step: str, attempt: int = 1, *, code: str = "boom", retryable: bool = True) -> Event:
    """Return a failure."""
    error = Failure(code=code, message="it broke", retryable=retryable)
    return f"step.{step}.{attempt}.outcome.failed", steps.StepFailed(error=error)


def fired(at_ms: int) -> Event:
    """Return a timer of `at_ms` after the start."""
    return f"timer.{T0 + at_ms}", runs.TimerFired(deadline_ms=T0 + at_ms)


DIAMOND = """
name: diamond
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: c, pool: p, dependsOn: [a]}
  - {key: d, pool: p, dependsOn: [b, c]}
"""


def test_a_run_begins_with_the_steps_that_wait_for_nothing() -> None:
    """After the start only roots are dispatched."""
    assert Run(DIAMOND).dispatched() == [("a", 1)]


def test_a_step_is_dispatched_when_all_it_waits_for_is_done() -> None:
    """A join waits for both of its branches."""
    run = Run(DIAMOND).given(scheduled("a"), completed("a"), scheduled("b"), scheduled("c"))

    assert run.decided().given(completed("b")).dispatched() == []
    assert run.decided().given(completed("c")).dispatched() == [("d", 1)]


def test_deciding_again_on_the_whole_state_decides_the_same() -> None:
    """A cold owner comes to what the warm one decided."""
    run = Run(DIAMOND).given(scheduled("a")).decided().given(completed("a"))
    warm = run.then()
    touch_all(run.state, run.plan)

    assert run.then() == warm


def test_a_run_completes_with_the_outputs_of_its_last_steps() -> None:
    """Without declared outputs, the sinks' outputs are the run's."""
    run = Run("{name: w, steps: [{key: a b, pool: p}]}")
    run.given(("step.a_20b.1.scheduled.p.p2", scheduled("a b")[1]))
    run.given(("step.a_20b.1.outcome.completed", Completed())).output({"n": 1})

    [end] = run.then()

    assert end == End(status="completed", output={"a b": {"n": 1}}, usage=UsageTotals())


def test_declared_outputs_are_rendered_from_inputs_and_outputs() -> None:
    """Outputs keep the type of a whole expression."""
    text = """
name: w
inputs: {who: world}
steps: [{key: a, pool: p}]
outputs: {n: "{{ steps.a.output.n }}", text: "hello {{ who }}"}
"""
    run = Run(text, {"who": "you"}).given(scheduled("a"), completed("a")).output({"n": 7})

    [end] = run.then()

    assert isinstance(end, End)
    assert end.output == {"n": 7, "text": "hello you"}


def test_an_output_that_is_not_at_hand_is_asked_for() -> None:
    """The core names what it needs instead of reading it."""
    run = Run("{name: w, steps: [{key: a, pool: p}]}").given(scheduled("a"), completed("a"))

    decision = decide(run.state, run.plan, Known(inputs={}, outputs={}))

    assert decision.needs == (OutputAt(3),)
    assert decision.effects == ()


def test_what_a_step_reads_is_asked_for_before_it_is_dispatched() -> None:
    """Nothing is dispatched on a value that is not at hand."""
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a], with: {n: "{{ steps.a.output.n }}"}}
"""
    run = Run(text).given(scheduled("a"), completed("a"))

    decision = decide(run.state, run.plan, Known(inputs={}, outputs={}))

    assert decision.needs == (OutputAt(3),)
    assert decision.effects == ()


def test_a_retry_whose_input_cannot_be_filled_any_more_parks_the_run() -> None:
    """The same rule holds for every attempt."""
    text = """
name: w
inputs: {x: 1}
steps: [{key: a, pool: p, retry: {maxAttempts: 2}, with: {x: "{{ inputs.x.y }}"}}]
"""
    run = Run(text, {"x": {}}).given(scheduled("a"), failed("a"))

    assert [type(e) for e in run.then()] == [Park]


def test_a_large_output_is_asked_for_by_its_claim_check() -> None:
    """The state keeps the reference, not the value."""
    ref = PayloadRef(sha256="ab", size=70_000)
    run = Run("{name: w, steps: [{key: a, pool: p}]}")
    run.given(scheduled("a"), completed("a", output=LeanValue(ref=ref)))

    assert decide(run.state, run.plan, Known(inputs={}, outputs={})).needs == (OutputAt(3, ref),)


def test_inputs_and_outputs_are_rendered_into_the_task() -> None:
    """A dispatch carries values, not templates."""
    text = """
name: w
inputs: {x: 1}
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a], with: {n: "{{ steps.a.output.n }}", x: "{{ inputs.x }}"}}
"""
    run = Run(text, {"x": 5}).given(scheduled("a"), completed("a")).output({"n": [1, 2]})

    [task] = [e for e in run.then() if isinstance(e, Dispatch)]

    assert task.input == {"n": [1, 2], "x": 5}


def test_a_model_call_carries_its_filled_prompt() -> None:
    """Placeholders of a prompt are filled from `with` and the inputs."""
    text = """
name: w
inputs: {lang: Python}
steps:
  - key: ask
    llm: {prompt: "Review this {lang}: {code}", system: Be brief, provider: claude}
    with: {code: "x = 1"}
"""
    [task] = [e for e in Run(text, {"lang": "Python"}).then() if isinstance(e, Dispatch)]

    assert task.input == {
        "code": "x = 1",
        "prompt": "Review this Python: x = 1",
        "system": "Be brief",
        "responseType": "text",
    }
    assert (task.step.pool, task.step.provider) == ("llm", "claude")


RETRIED = """
name: w
steps:
  - {key: a, pool: p, retry: {maxAttempts: 3, delay: 1s, factor: 2, maxDelay: 10m}}
"""


def test_a_failed_attempt_is_followed_by_the_next_after_a_backoff() -> None:
    """The next attempt says when it may begin; the wait grows, with jitter of at most a quarter."""
    run = Run(RETRIED).given(scheduled("a"), failed("a"), at_ms=100)

    [task] = [e for e in run.then() if isinstance(e, Dispatch)]

    assert task.attempt == 2
    assert 750 <= task.not_before_ms - T0 - 100 <= 1000


def test_backoff_jitter_is_the_same_for_every_owner() -> None:
    """Two folds of one history decide on the same moment."""
    histories = [Run(RETRIED).given(scheduled("a"), failed("a")) for _ in range(2)]

    assert histories[0].then() == histories[1].then()


def test_the_last_attempts_failure_ends_the_run() -> None:
    """Exhausted retries fail the run with the cause and the step."""
    run = Run(RETRIED)
    for attempt in (1, 2, 3):
        run.given(scheduled("a", attempt), failed("a", attempt))

    [end] = run.then()

    assert isinstance(end, End)
    assert end.status == "failed"
    assert end.error is not None
    assert end.error.details == {"step": "a", "code": "boom"}


def test_a_failure_that_retrying_cannot_help_is_not_retried() -> None:
    """The failure itself says whether another attempt could help."""
    run = Run(RETRIED).given(scheduled("a"), failed("a", retryable=False))

    assert [type(e) for e in run.then()] == [End]


def test_a_code_that_the_author_excluded_is_not_retried() -> None:
    """`nonRetryable` names codes after which no attempt follows."""
    text = "{name: w, steps: [{key: a, pool: p, retry: {maxAttempts: 3, nonRetryable: [boom]}}]}"

    assert [type(e) for e in Run(text).given(scheduled("a"), failed("a")).then()] == [End]


def test_a_long_backoff_is_kept_by_a_timer() -> None:
    """A wait longer than a worker keeps is dispatched when the run's timer wakes it up."""
    text = """
name: w
steps: [{key: a, pool: p, retry: {maxAttempts: 2, delay: 2m, maxDelay: 5m}}]
"""
    run = Run(text).given(scheduled("a"), failed("a"))

    [arm] = run.then()
    assert isinstance(arm, Arm)
    assert 60_000 <= arm.at_ms - T0 <= 90_000

    run.decided().given(fired(arm.at_ms - T0), at_ms=arm.at_ms - T0)
    assert run.dispatched() == [("a", 2)]


def test_an_attempt_past_its_deadline_is_timed_out() -> None:
    """The run's timer settles what no worker did."""
    text = "{name: w, steps: [{key: a, pool: p, timeout: 10s}]}"
    run = Run(text)
    [task, *_] = run.then()
    assert isinstance(task, Dispatch)
    assert task.deadline_ms == T0 + 10_000

    run.given(scheduled("a", deadline_ms=task.deadline_ms)).decided()
    assert run.then() == (Arm(T0 + 10_000),)

    [outcome] = run.given(fired(10_000), at_ms=10_050).then()
    assert isinstance(outcome, TimeOut)
    assert outcome.error.code == "timeout"


def test_a_timed_out_attempt_is_retried_like_a_failed_one() -> None:
    """A deadline is a failure that retrying may help."""
    error = Failure(code="timeout", message="late")
    outcome = ("step.a.1.outcome.timed_out", steps.StepTimedOut(error=error))

    assert Run(RETRIED).given(scheduled("a"), outcome).dispatched() == [("a", 2)]


def test_a_false_condition_skips_the_step_and_lets_others_run() -> None:
    """A step skipped by its condition counts as settled for those that wait for it."""
    text = """
name: w
inputs: {deep: false}
steps:
  - {key: a, pool: p, when: inputs.deep}
  - {key: b, pool: p, dependsOn: [a]}
"""
    run = Run(text, {"deep": False})
    [skip] = run.then()
    assert isinstance(skip, Skip)
    assert skip.reason == "condition"

    skipped = ("step.a.1.outcome.skipped", steps.StepSkipped(reason="condition"))
    assert run.decided().given(skipped).dispatched() == [("b", 1)]


def test_what_waits_for_a_failed_step_is_skipped_and_the_rest_goes_on() -> None:
    """A failure stops its own branch only; the run fails when everything is settled."""
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: c, pool: p, dependsOn: [b]}
  - {key: d, pool: p}
"""
    run = Run(text).given(scheduled("a"), scheduled("d"), failed("a"))
    [skip] = run.then()
    assert isinstance(skip, Skip)
    assert (skip.step.key, skip.reason) == ("b", "upstream")

    upstream = steps.StepSkipped(reason="upstream")
    run.decided().given(("step.b.1.outcome.skipped", upstream))
    assert [e.step.key for e in run.then() if isinstance(e, Skip)] == ["c"]
    run.decided().given(("step.c.1.outcome.skipped", upstream))
    assert run.then() == ()

    [end] = run.given(completed("d")).then()
    assert isinstance(end, End)
    assert end.status == "failed"


def test_a_step_may_fail_without_stopping_what_waits_for_it() -> None:
    """`continueOnError` lets dependents run, with no output to read."""
    text = """
name: w
steps:
  - {key: a, pool: p, continueOnError: true}
  - {key: b, pool: p, dependsOn: [a], with: {a: "{{ steps.a.output }}"}}
"""
    run = Run(text).given(scheduled("a"), failed("a"))
    [task] = run.then()
    assert isinstance(task, Dispatch)
    assert task.input == {"a": None}

    run.given(scheduled("b"), completed("b")).output(1)
    [end] = run.then()
    assert isinstance(end, End)
    assert end.status == "completed"


CANCEL: Event = ("cancel_requested", runs.CancelRequested(reason="enough"))


def test_cancelling_asks_first_and_schedules_nothing_new() -> None:
    """Workers are told, a timer is armed for those that do not listen."""
    run = Run(DIAMOND).given(scheduled("a"), CANCEL)

    assert run.then() == (HintCancel("enough"), Arm(T0 + CANCEL_GRACE_MS))


def test_a_cancelled_run_ends_once_nothing_is_in_flight() -> None:
    """The last outcome, whatever it is, lets the run end as cancelled."""
    run = Run(DIAMOND).given(scheduled("a"), CANCEL, completed("a"))

    [end] = run.then()

    assert isinstance(end, End)
    assert end.status == "cancelled"
    assert end.error is not None
    assert end.error.message == "enough"


def test_after_the_grace_what_is_in_flight_is_abandoned() -> None:
    """A worker that does not answer cannot keep a run from being cancelled."""
    run = Run(DIAMOND).given(scheduled("a"), CANCEL)

    [abandon] = run.given(fired(CANCEL_GRACE_MS), at_ms=CANCEL_GRACE_MS).then()

    assert isinstance(abandon, Abandon)
    assert (abandon.step.key, abandon.attempt) == ("a", 1)


def test_a_runs_own_timeout_closes_it_as_failed() -> None:
    """The limit of a run is armed at its start and ends it."""
    text = "{name: w, timeout: 1m, steps: [{key: a, pool: p}, {key: b, pool: p, dependsOn: [a]}]}"
    run = Run(text)
    assert Arm(T0 + 60_000) in run.then()

    run.given(scheduled("a")).decided().given(fired(60_000), at_ms=60_000)
    assert isinstance(run.then()[0], HintCancel)
    [end] = run.given(completed("a")).then()
    assert isinstance(end, End)
    assert end.status == "failed"
    assert end.error is not None
    assert end.error.code == "timeout"


def test_a_template_that_cannot_be_filled_parks_the_run() -> None:
    """The run is held with the reason and the step, instead of looping or failing for good."""
    text = """
name: w
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a], with: {n: "{{ steps.a.output.nope }}"}}
"""
    run = Run(text).given(scheduled("a"), completed("a")).output({"n": 1})

    [park] = run.then()

    assert isinstance(park, Park)
    assert (park.code, park.step) == ("expression_failed", "b")
    assert "nope" in park.message


def test_a_parked_run_decides_nothing_until_it_is_unparked() -> None:
    """Unparking looks at the whole state again."""
    parked = ("parked.1", runs.RunParked(code="x", message="y"))
    run = Run(DIAMOND).given(parked)
    assert run.then() == ()

    run.decided().given(("unparked.1", runs.RunUnparked()))
    assert run.dispatched() == [("a", 1)]


def test_a_parked_run_can_be_cancelled() -> None:
    """Cancelling needs no mending first."""
    run = Run(DIAMOND).given(("parked.1", runs.RunParked(code="x", message="y")), CANCEL)

    assert [type(e) for e in run.then()] == [End]


def test_outputs_that_cannot_be_rendered_park_the_run() -> None:
    """The work is kept; only its last word is missing."""
    text = """
name: w
steps: [{key: a, pool: p}]
outputs: {n: "{{ steps.a.output.nope }}"}
"""
    run = Run(text).given(scheduled("a"), completed("a")).output({})

    [park] = run.then()

    assert isinstance(park, Park)
    assert park.message.startswith("outputs:")


def test_an_ended_run_decides_nothing() -> None:
    """No event after the end changes anything."""
    ended = ("ended", runs.RunEnded(status="completed"))
    run = Run(DIAMOND).given(ended, scheduled("a"), completed("a"))

    assert run.then() == ()
    assert run.state.steps == {}


def test_usage_of_all_attempts_is_added_up() -> None:
    """A failed attempt is charged too."""
    spent = UsageTotals(input_tokens=3, cost_usd="0.10", model_calls=1)
    failure = steps.StepFailed(error=Failure(code="x", message="y"), usage=spent)
    run = Run(RETRIED).given(
        scheduled("a"), ("step.a.1.outcome.failed", failure), scheduled("a", 2)
    )
    run.given(completed("a", 2, usage=spent)).output(None)

    [end] = run.then()

    assert isinstance(end, End)
    assert end.usage == UsageTotals(input_tokens=6, cost_usd="0.20", model_calls=2)


def test_a_workers_own_cancellation_fails_the_run_that_was_not_cancelled() -> None:
    """An attempt that its worker gave up counts as not done, and is charged."""
    usage = UsageTotals(tool_calls=1)
    body = steps.StepCancelled(reason="gave up", usage=usage)
    run = Run("{name: w, steps: [{key: a, pool: p}]}")
    run.given(scheduled("a"), ("step.a.1.outcome.cancelled", body))

    [end] = run.then()

    assert isinstance(end, End)
    assert end.status == "failed"
    assert end.usage == usage
    assert steps.StepCancelled().usage is UNSET


def test_an_attempt_given_up_by_its_worker_is_not_retried_for_an_earlier_failure() -> None:
    """What counts is the latest attempt's own outcome."""
    gave_up = ("step.a.2.outcome.cancelled", steps.StepCancelled(reason="gave up"))
    run = Run(RETRIED).given(scheduled("a"), failed("a"), scheduled("a", 2), gave_up)

    [end] = run.then()

    assert isinstance(end, End)
    assert end.error is not None
    assert end.error.message == "step a: gave up"


@pytest.mark.parametrize(
    "stray",
    [
        ("step.a.1.outcome.completed", Completed()),
        ("step.a.9.started", steps.StepStarted(worker="w")),
        ("step.unknown.1.outcome.completed", Completed()),
        ("step.a.1.turn.1", None),
        ("signal.x", None),
        ("step.a.1.outcome.completed", None),
    ],
)
def test_an_event_out_of_place_changes_nothing(stray: Event) -> None:
    """Outcomes of what was never dispatched, unknown steps and unknown types are ignored."""
    run = Run(DIAMOND).given(stray)

    assert run.dispatched() == [("a", 1)]


def test_an_older_attempts_late_words_change_nothing() -> None:
    """Once a newer attempt exists, the older one is history."""
    run = Run(RETRIED).given(scheduled("a"), failed("a"), scheduled("a", 2)).decided()

    run.given(("step.a.1.started", steps.StepStarted(worker="w")), failed("a", 1))

    assert run.state.steps["a"].status == "scheduled"
    assert run.then() == ()


def test_an_event_is_folded_once() -> None:
    """A redelivered event is recognised by its sequence."""
    parked = runs.RunParked(code="x", message="y")
    run = Run(DIAMOND).given(("parked.1", parked), ("unparked.1", runs.RunUnparked()))

    evolve(run.state, run.plan, Entry(2, T0, ("parked", "1"), parked))

    assert run.state.parked is None
    assert run.state.parks == 1


def test_a_run_begins_with_its_start_only() -> None:
    """Any other first event makes no run."""
    assert begin("r", "default", Entry(1, T0, ("ended",), None)) is None


def test_inline_values_are_not_decoded_by_the_fold() -> None:
    """The state holds where an output is, never the output."""
    run = Run(DIAMOND).given(scheduled("a"), completed("a", output=LeanValue(inline=raw([1]))))

    assert run.state.steps["a"].output == OutputAt(3)
    assert Value().inline is UNSET
