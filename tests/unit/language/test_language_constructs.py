"""Constructs: does each part of a definition hold what the reference says, and refuse the rest?"""

import pytest
from pydantic import ValidationError

from segue_language import workflow_reference
from segue_language.canonical import canonical_json, content_hash
from segue_language.models import Step, Timeouts, Workflow


def step(**fields: object) -> Step:
    """Read a step as files have it; an agent's unless it says otherwise."""
    kind = {} if fields.keys() & {"wait", "approval", "workflow"} else {"agent": "a"}
    return Step.model_validate({"key": "k", **kind, **fields})


def workflow(**fields: object) -> Workflow:
    """Read a workflow as files have it."""
    return Workflow.model_validate({"name": "x", "steps": [{"key": "k", "agent": "a"}], **fields})


def test_a_step_has_the_workflows_priority_unless_it_has_its_own() -> None:
    """The workflow's is p2 when nothing is said."""
    steps = [{"key": "a", "agent": "x"}, {"key": "b", "agent": "x", "priority": "p3"}]
    given = workflow(priority="p1", steps=steps)
    assert [given.priority_of(each) for each in given.steps] == ["p1", "p3"]
    assert workflow().priority_of(workflow().steps[0]) == "p2"


def test_a_priority_that_repeats_the_workflows_is_no_other_definition() -> None:
    """What is said twice is said once."""
    spelled = workflow(priority="p1", steps=[{"key": "k", "agent": "a", "priority": "p1"}])
    assert content_hash(spelled) == content_hash(workflow(priority="p1"))
    assert b'"priority":"p1"' in canonical_json(spelled)


def test_finished_steps_are_undone_after_a_failure_unless_said_otherwise() -> None:
    """A cancelled run undoes nothing by itself."""
    assert workflow().compensate_on == ("failed",)
    assert workflow(compensateOn=["cancelled"]).compensate_on == ("cancelled",)


def test_concurrency_and_rate_have_a_key_and_a_limit() -> None:
    """One too many waits, unless the policy says otherwise."""
    given = workflow(
        concurrency={"key": "{{ inputs.a }}", "limit": 2},
        rate={"key": "all", "limit": 10, "per": "1m"},
    )
    assert given.concurrency is not None
    assert (given.concurrency.limit, given.concurrency.policy) == (2, "queue")
    assert given.rate is not None
    assert (given.rate.key, given.rate.limit, given.rate.per) == ("all", 10, 60_000)


def test_timeouts_limit_the_phases_of_a_step() -> None:
    """All of them are optional durations."""
    given = step(timeouts={"queue": "1m", "startToClose": "2m", "heartbeat": "1s"}).timeouts
    assert given == Timeouts(queue="1m", start_to_close="2m", heartbeat="1s")  # type: ignore[arg-type]  # text is read
    assert given.schedule_to_close is None


def test_a_retry_can_park_and_differ_by_code() -> None:
    """A class overrides only what it names."""
    retry = step(
        retry={
            "onExhausted": "park",
            "nonRetryable": ["auth", "net_*", "*"],
            "classes": {"rate_limited": {"maxAttempts": 9, "delay": "30s"}},
        }
    ).retry
    assert retry is not None
    assert (retry.on_exhausted, retry.non_retryable) == ("park", ("auth", "net_*", "*"))
    other = retry.classes["rate_limited"]
    assert (other.max_attempts, other.delay, other.factor, other.max_delay) == (
        9,
        30_000,
        None,
        None,
    )


def test_a_compensation_knows_its_kind_and_its_pool() -> None:
    """As a step does."""
    undo = step(
        compensate={"agent": "b", "action": "undo", "with": {"id": "{{ k.id }}"}}
    ).compensate
    assert undo is not None
    assert (undo.kind, undo.pool, undo.action) == ("agent", "agents", "undo")
    undo = step(compensate={"pool": "gpu"}).compensate
    assert undo is not None
    assert (undo.kind, undo.pool) == ("pool", "gpu")


def test_an_approval_can_ask_several_and_escalate() -> None:
    """One vote is enough unless a quorum is named."""
    assert step(approval=True).approval == step(approval={"quorum": 1}).approval
    given = step(
        approval={
            "message": "Ship?",
            "approvers": ["a", "b"],
            "quorum": 2,
            "form": {"type": "object"},
            "escalation": {"after": "1h", "step": "call"},
        }
    ).approval
    assert given is not None
    assert given.escalation is not None
    assert (given.quorum, given.escalation.after, given.escalation.step) == (2, 3_600_000, "call")


@pytest.mark.parametrize(
    "wait",
    [
        {"event": "orders.paid", "match": "event.order == inputs.order"},
        {"signal": "go"},
        {"until": "2030-01-31T09:00:00Z"},
        {"until": "2030-01-31T09:00:00.5+02:00"},
        {"until": "{{ inputs.when }}"},
    ],
)
def test_a_wait_ends_by_an_event_a_signal_or_a_moment(wait: dict[str, object]) -> None:
    """What it waits for can be matched."""
    assert step(wait=wait).wait is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"timeouts": {"heartbeat": "999ms"}},
        {"timeouts": {"queue": 0}},
        {"retry": {"nonRetryable": ["a*b"]}},
        {"retry": {"onExhausted": "stop"}},
        {"retry": {"classes": {"x": {"maxAttempts": 0}}}},
        {"compensate": {}},
        {"compensate": {"agent": "b", "pool": "c"}},
        {"compensate": {"wait": "5m"}},
        {"compensate": {"pool": "c", "model": "m"}},
        {"forEach": {"items": [], "maxConcurrency": 0}},
        {"wait": {"duration": "1s", "match": "true"}},
        {"wait": {"event": "orders..paid"}},
        {"wait": {"event": "orders.*"}},
        {"wait": {"until": "tomorrow"}},
        {"wait": {"until": "2030-02-31T09:00:00Z"}},
        {"wait": {"until": "2030-01-31T09:00:00"}},
        {"approval": {"approvers": ["a", "a"], "quorum": 2}},
        {"approval": {"quorum": 0}},
        {"approval": {"escalation": {"step": "x"}}},
        {"workflow": "x@"},
        {"workflow": "x@1.2"},
        {"workflow": "@stable"},
        {"workflow": "x@Stable"},
    ],
)
def test_what_could_not_run_is_refused(fields: dict[str, object]) -> None:
    """Each construct keeps its bounds."""
    with pytest.raises(ValidationError):
        step(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"concurrency": {"key": "x", "limit": 0}},
        {"concurrency": {"key": "x", "limit": 1, "policy": "drop"}},
        {"rate": {"key": "x", "limit": 1, "per": 0}},
        {"rate": {"key": "x", "limit": 1}},
        {"compensateOn": ["completed"]},
        {"priority": "p4"},
    ],
)
def test_a_workflows_own_constructs_keep_their_bounds(fields: dict[str, object]) -> None:
    """A limit of nothing would hold every run for ever."""
    with pytest.raises(ValidationError):
        workflow(**fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("report", ("report", "")),
        ("report@1.4.0", ("report", "1.4.0")),
        ("report@2.0.0-rc.1", ("report", "2.0.0-rc.1")),
        ("report@stable", ("report", "stable")),
        ("me@home@stable", ("me@home", "stable")),
    ],
)
def test_a_reference_to_a_workflow_has_a_name_and_a_selector(
    text: str, expected: tuple[str, str]
) -> None:
    """The selector is a version or an alias."""
    assert workflow_reference(text) == expected
    assert step(workflow=text).workflow == text
