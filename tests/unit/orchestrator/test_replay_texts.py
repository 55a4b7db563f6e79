"""Tests of replays: how is each kind of decision told, and told once?"""

import pytest

from segue_contracts.v1.runs import EndStatus
from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.effects import (
    Abandon,
    Acquire,
    Arm,
    BeginWait,
    Check,
    Dispatch,
    Effect,
    End,
    Fail,
    HintCancel,
    Join,
    OpenMap,
    Park,
    Resolve,
    Skip,
    StartChild,
    StopChild,
    TimeOut,
)
from segue_orchestrator.core.plan import StepPlan
from segue_orchestrator.core.replay import Track, digest

STEP = StepPlan(key="a b", token="a_20b", pool="p")
AGENT = StepPlan(key="a", token="a", pool="agents", agent="quality", action="lint")
CHILD = StepPlan(key="a", token="a", kind="workflow", reference="other@1")
ERROR = Failure(code="boom", message="no")
ENDED: EndStatus = "failed"
EMPTY = digest({})


def told(effect: Effect) -> list[str]:
    """Return how a decision is told."""
    return Track().new((effect,))


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (
            Dispatch(step=STEP, token="a_20b~3", attempt=2, input={}),
            f"dispatch a b~3.2 to p, input {EMPTY}",
        ),
        (
            Dispatch(step=AGENT, token="a", attempt=1, input={}),
            f"dispatch a.1 to agents (quality.lint), input {EMPTY}",
        ),
        (
            StartChild(step=CHILD, token="a", attempt=1, run="r", definition="d" * 64, input={}),
            f"start child of a.1: other@1 (dddddddddddd), input {EMPTY}",
        ),
        (
            BeginWait(step=AGENT, token="a", attempt=1, asked=StepWaiting(kind="duration")),
            "wait in a.1 for duration",
        ),
        (
            BeginWait(
                step=AGENT,
                token="a",
                attempt=1,
                asked=StepWaiting(kind="event", name="orders"),
                match="event.id == 1",
            ),
            "wait in a.1 for event orders if event.id == 1",
        ),
        (OpenMap(step=STEP, items=[1]), f"repeat a b for 1 items {digest([1])}"),
        (Join(step=STEP, attempt=1, places=(None,)), "join a b.1, 1 items"),
        (Resolve(step=STEP, token="a_20b", attempt=1), "resolve a b.1"),
        (Fail(step=STEP, token="a_20b", attempt=1, error=ERROR), "fail a b.1: boom"),
        (TimeOut(STEP, "a_20b", 1, ERROR), "fail a b.1: boom"),
        (Check(step=AGENT, token="a", attempt=1), "accept the output of a.1"),
        (Check(step=AGENT, token="a", attempt=1, problems=("x",)), "refuse the output of a.1"),
        (Abandon(AGENT, "a", 1, "late"), "abandon a.1"),
        (Skip(AGENT, "condition"), "skip a: condition"),
        (End(status="completed", output={}), f"end completed, output {EMPTY}"),
        (End(status=ENDED, error=ERROR), f"end failed, boom, output {digest(None)}"),
        (Park("too_deep", "no", "a"), "park: too_deep of a"),
        (Park("payload_missing", "no"), "park: payload_missing"),
        (StopChild("r", "late"), "stop child r"),
        (
            Acquire(name="n", key="k", limit=2, kind="rate", policy="queue", per_ms=1),
            "acquire rate 'k', limit 2",
        ),
    ],
)
def test_each_decision_is_one_sentence(effect: Effect, text: str) -> None:
    """Who, which attempt, with what; large values by their hash."""
    assert told(effect) == [text]


@pytest.mark.parametrize("effect", [Arm(1), HintCancel("no")])
def test_what_only_follows_is_not_told(effect: Effect) -> None:
    """Timers and hints decide nothing about a run."""
    assert told(effect) == []


def test_a_decision_is_told_once() -> None:
    """A decision that is made again at a later event is no other one."""
    track = Track()

    first = track.new((Skip(AGENT, "x"), Skip(AGENT, "x")))

    assert first == ["skip a: x"]
    assert track.new((Skip(AGENT, "x"), Skip(AGENT, "y"))) == ["skip a: y"]


def test_equal_values_have_one_digest_however_they_are_ordered() -> None:
    """The order of keys says nothing."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
