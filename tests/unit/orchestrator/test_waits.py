"""Waits: what ends them, and who gets a signal?"""

import pytest
from support.history import (
    PAUSED,
    RESUMED,
    History,
    completed,
    fired,
    scheduled,
    settled,
    waiting,
)
from support.journal import T0

from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.values import Failure
from segue_orchestrator.core.effects import BeginWait, Park, Resolve, TimeOut
from segue_orchestrator.core.moments import LATEST_MS, MomentError, moment_ms
from segue_orchestrator.core.state import OutputAt, OverWait


def one(wait: str, more: str = "") -> History:
    """Return a run of one step that waits."""
    return History(f"{{name: w, inputs: {{at: 5}}, steps: [{{key: a, wait: {wait}}}{more}]}}")


def signal(
    name: str = "go", payload: object = None, *, number: int = 1, step: str = ""
) -> tuple[str, runs.SignalReceived]:
    """Return a signal."""
    body = runs.SignalReceived(name=name, payload=Value(inline=payload), step=step)
    return f"signal.{number}", body


def asked(run: History) -> steps.StepWaiting:
    """Return what the run's only decision waits for."""
    [effect] = run.then()
    assert isinstance(effect, BeginWait)
    return effect.asked


def test_a_wait_for_a_time_ends_when_it_has_passed() -> None:
    """A timer is armed for just then."""
    run = one("10s")
    until_ms = asked(run).until_ms
    run.decided().given(waiting("a", kind="duration", until_ms=until_ms))
    assert run.then() == []
    [at] = run.decided().arms()

    [effect] = run.given(fired(at), at_ms=at).then()

    assert at == until_ms - T0 == 10_001
    assert effect == Resolve(step=run.plan.steps["a"], token="a", attempt=1)


def test_a_wait_of_no_length_ends_at_once() -> None:
    """It is a wait like any other, and its moment has come when it is read back."""
    run = one("0s")
    until_ms = asked(run).until_ms
    run.decided().given(waiting("a", kind="duration", until_ms=until_ms))

    assert [type(effect) for effect in run.then()] == [Resolve]


@pytest.mark.parametrize(
    ("until", "moment"),
    [
        ("'2026-11-21T18:00:00Z'", 1_795_284_000_000),
        ("'{{ at }}'", 5),
        ("'1969-01-01T00:00:00Z'", 1),
    ],
)
def test_a_wait_until_a_moment_knows_it(until: str, moment: int) -> None:
    """A text or a template; what has long passed is the first moment there is."""
    assert asked(one(f"{{until: {until}}}")).until_ms == moment


def test_a_moment_that_is_none_parks_the_run() -> None:
    """The step is named."""
    [park] = one("{until: '{{ run.id }}'}").then()

    assert isinstance(park, Park)
    assert "is no moment such as 2026-11-21T18:00:00Z" in park.message


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T01:00:01+01:00", 1_000),
        (7.9, 7),
        (0, 1),
        (-4, 1),
    ],
)
def test_moments_are_milliseconds_since_the_epoch(value: object, moment: int) -> None:
    """A text without an offset is UTC; nothing is earlier than the first millisecond."""
    assert moment_ms(value) == moment


@pytest.mark.parametrize("value", [True, "soon", None, LATEST_MS + 1, float("inf"), float("nan")])
def test_what_names_no_moment_is_refused(value: object) -> None:
    """Also numbers that no calendar reaches."""
    with pytest.raises(MomentError):
        moment_ms(value)


def test_a_signal_ends_the_wait_for_it() -> None:
    """What it carries is the step's output."""
    run = one("{signal: go}")
    assert asked(run) == steps.StepWaiting(kind="signal", name="go")
    run.decided().given(waiting("a", kind="signal", name="go"))
    assert run.then() == []

    [effect] = run.given(signal(payload=7)).then()

    assert effect == Resolve(step=run.plan.steps["a"], token="a", attempt=1, at=OutputAt(3))


def test_a_signal_that_came_before_is_kept() -> None:
    """The first that was sent is the first that is taken."""
    run = one("{signal: go}").given(signal(payload=1), signal(payload=2, number=2))

    [effect] = run.given(waiting("a", kind="signal", name="go")).then()

    assert isinstance(effect, Resolve)
    assert effect.at == OutputAt(2)
    assert list(run.state.signals.values()) == [[OutputAt(3)]]


def test_another_signal_ends_nothing() -> None:
    """Names must be the same."""
    run = one("{signal: go}").given(waiting("a", kind="signal", name="go")).decided()

    assert run.given(signal("stop")).then() == []


def test_the_step_that_waits_longest_gets_the_signal() -> None:
    """One signal ends one wait."""
    run = one("{signal: go}", ", {key: b, wait: {signal: go}}")
    run.given(waiting("b", kind="signal", name="go"), waiting("a", kind="signal", name="go"))

    effects = run.decided().given(signal()).then()

    assert [e.token for e in effects if isinstance(e, Resolve)] == ["b"]


def test_a_signal_that_was_not_used_goes_to_the_next() -> None:
    """A wait that was settled otherwise gives back what it had taken."""
    run = one("{signal: go}", ", {key: b, wait: {signal: go}}")
    run.given(
        waiting("a", kind="signal", name="go"), signal(), waiting("b", kind="signal", name="go")
    )

    run.given(settled("a", steps.StepTimedOut(error=Failure(code="x", message="y"))))

    wait = run.state.step("b").wait
    assert wait is not None
    assert wait.answer == OutputAt(3)


def test_a_wait_that_ends_in_another_way_takes_no_signal() -> None:
    """It no longer stands in the queue."""
    run = one("{signal: go}").given(waiting("a", kind="signal", name="go"))

    run.given(settled("a", steps.StepTimedOut(error=Failure(code="x", message="y"))), signal())

    assert run.state.waiters == {}
    assert list(run.state.signals.values()) == [[OutputAt(4)]]


def test_an_event_is_for_the_step_that_its_condition_is_of() -> None:
    """What the condition reads goes into the index of waits."""
    text = """
name: w
inputs: {who: me}
steps:
  - {key: a, pool: p}
  - key: b
    dependsOn: [a]
    wait: {event: orders.paid, match: "event.id == steps.a.output.id"}
"""
    run = History(text).given(scheduled("a"), completed("a", {"id": 4}))

    [effect] = run.then()
    run.decided().given(waiting("b", kind="event", name="orders.paid")).decided()
    run.given(signal("orders.paid", {"id": 4}, step="b"))

    assert isinstance(effect, BeginWait)
    assert effect.match == "event.id == steps.a.output.id"
    assert effect.scope["inputs"] == {"who": "me"}
    assert effect.scope["outputs"] == {"a": {"id": 4}}
    assert [type(effect) for effect in run.then()] == [Resolve]


def test_a_wait_that_nothing_ends_times_out() -> None:
    """Its own limit counts from its beginning."""
    run = one("{signal: go, timeout: 3s}")
    deadline_ms = asked(run).deadline_ms
    run.decided().given(waiting("a", kind="signal", name="go", deadline_ms=deadline_ms))

    [effect] = run.given(fired(3_001), at_ms=3_001).then()

    assert isinstance(effect, TimeOut)
    assert effect.error.code == "wait_timeout"


def test_waits_end_after_a_pause() -> None:
    """A signal that came meanwhile is not lost, and goes before the wait's limit."""
    run = one("{signal: go, timeout: 3s}")
    run.given(waiting("a", kind="signal", name="go", deadline_ms=T0 + 3_000), PAUSED).decided()

    assert run.given(signal(), fired(4_000), at_ms=4_000).then() == []
    assert [type(effect) for effect in run.decided().given(RESUMED).then()] == [Resolve]


def test_waits_that_are_over_are_told() -> None:
    """So that they can be taken out of the index, also when the run ends around them."""
    body = waiting("a", kind="signal", name="go")
    run = one("{signal: go}", ", {key: b, wait: {signal: no}}").given(body)
    run.given(waiting("b", kind="signal", name="no"), completed("a", 1))

    over = list(run.state.over)
    run.decided().given(("ended", runs.RunEnded(status="cancelled")))

    assert over == [OverWait("a", steps.StepWaiting(kind="signal", name="go"))]
    assert run.state.over == [OverWait("b", steps.StepWaiting(kind="signal", name="no"))]


def test_a_wait_begins_once() -> None:
    """A second beginning of the same attempt changes nothing."""
    run = one("{signal: go}").given(waiting("a", kind="signal", name="go"), signal())
    run.given(waiting("a", kind="signal", name="go"))

    wait = run.state.step("a").wait
    assert wait is not None
    assert wait.answer == OutputAt(3)


def test_a_signal_is_not_lost_on_a_wait_that_is_over() -> None:
    """A step that stands in the queue without waiting is passed over."""
    run = one("{signal: go}").given(waiting("a", kind="signal", name="go"))
    run.given(waiting("a", 2, kind="signal", name="go"), completed("a", 1, 2))

    run.given(signal())

    assert list(run.state.signals.values()) == [[OutputAt(5)]]
