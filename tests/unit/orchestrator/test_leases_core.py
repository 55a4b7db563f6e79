"""Leases: what does a run ask for before it begins, and who holds what?"""

from itertools import pairwise

from support.history import (
    CANCEL,
    PARKED,
    PAUSED,
    RESUMED,
    UNPARKED,
    Event,
    History,
    completed,
    scheduled,
)
from support.journal import T0, Task, World, workflow_of
from support.owners import Owner, echo, finish, outcome

from segue_contracts.envelope import Message
from segue_contracts.v1 import runs, subjects
from segue_orchestrator.core.effects import Acquire, Dispatch, End, Park, Release
from segue_orchestrator.core.leases import Holder, Lease, granted, queued, without, without_gone
from segue_orchestrator.core.policies import LEASE_LOOK_MS

ONE = """
name: w
inputs: {who: me}
concurrency: {key: "{{ who }}", limit: 2}
steps: [{key: a, pool: p}]
"""
BOTH = """
name: w
concurrency: {key: k, limit: 1}
rate: {key: k, limit: 1, per: 30s}
steps: [{key: a, pool: p}]
"""
NAME = subjects.lease_name("concurrency", "w", "me")


def got(kind: runs.LeaseKind = "concurrency", name: str = NAME) -> Event:
    """Return the grant of a lease."""
    return f"granted.{name}", runs.LeaseGranted(key="k", kind=kind)


def test_a_run_asks_for_its_lease_before_anything_begins() -> None:
    """The key is rendered from its inputs, and a timer has it ask again."""
    run = History(ONE)

    assert run.then() == [
        Acquire(name=NAME, key="me", limit=2, kind="concurrency", policy="queue", per_ms=0)
    ]
    assert run.arms() == [1 + LEASE_LOOK_MS]


def test_a_run_begins_when_it_holds_its_lease() -> None:
    """What was touched before is not forgotten."""
    run = History(ONE).decided()
    run.given((f"held.{NAME}", runs.LeaseHeld(key="me", limit=2))).decided()

    run.given(got())

    assert run.dispatched() == [("a", 1)]
    assert run.state.leases_held == {}


def test_a_run_begins_when_it_holds_all_its_leases() -> None:
    """One of two is not enough."""
    run = History(BOTH)
    assert [effect.kind for effect in run.then() if isinstance(effect, Acquire)] == [
        "concurrency",
        "rate",
    ]

    run.given(got(name=subjects.lease_name("concurrency", "w", "k")))
    [effect] = run.then()
    assert isinstance(effect, Acquire)
    assert (effect.kind, effect.per_ms) == ("rate", 30_000)

    run.given(got("rate", subjects.lease_name("rate", "w", "k")))
    assert run.dispatched() == [("a", 1)]


def test_a_key_that_cannot_be_rendered_parks_the_run() -> None:
    """Nothing is asked for, nor given back."""
    text = ONE.replace("{{ who }}", "{{ who.x.y }}")
    run = History(text)

    [park] = run.then()
    ended = run.given(PARKED, CANCEL, ("ended", runs.RunEnded(status="cancelled"))).then()

    assert isinstance(park, Park)
    assert park.code == "expression_failed"
    assert ended == []


def test_a_run_that_is_held_back_asks_for_nothing() -> None:
    """It asks when it goes on."""
    assert History(ONE).given(PAUSED).then() == []
    assert History(ONE).given(PARKED).then() == []
    assert [type(e) for e in History(ONE).given(PAUSED, RESUMED).then()] == [Acquire]
    assert [type(e) for e in History(ONE).given(PARKED, UNPARKED).then()] == [Acquire]


def test_a_run_can_be_cancelled_while_it_waits_for_a_lease() -> None:
    """It ends, and leaves the queue."""
    run = History(ONE).given((f"held.{NAME}", runs.LeaseHeld(key="me", limit=2)), CANCEL)
    assert [type(effect) for effect in run.then()] == [End]

    run.given(("ended", runs.RunEnded(status="cancelled")))

    assert run.then() == [Release((NAME,))]


def test_an_ended_run_gives_its_lease_back() -> None:
    """A rate's is over by itself."""
    run = History(BOTH).given(
        got(name=subjects.lease_name("concurrency", "w", "k")),
        got("rate", subjects.lease_name("rate", "w", "k")),
        scheduled("a"),
        completed("a", 1),
        ("ended", runs.RunEnded(status="completed")),
    )

    assert run.then() == [Release((subjects.lease_name("concurrency", "w", "k"),))]


def test_no_more_runs_than_allowed_go_on_at_once() -> None:
    """Whoever came first is first, and all end."""
    world = World(workflow_of(ONE))
    started = [world.start("w") for _ in range(5)]
    owner = Owner(world)
    most = 0

    def serve(task: Task) -> Message:
        nonlocal most
        most = max(most, len(world.tasks))
        return echo(task)

    finish(world, owner, serve=serve)

    assert most == 2
    assert {outcome(world, run).status for run in started} == {"completed"}
    ends = [event.subject for event in world.log if event.subject.endswith(".ended")]
    assert [subjects.parse_run(subject).run for subject in ends] == started


def test_a_rate_lets_runs_begin_one_after_the_other() -> None:
    """So many in a span of time."""
    text = "{name: w, rate: {key: k, limit: 1, per: 30s}, steps: [{key: a, pool: p}]}"
    world = World(workflow_of(text))
    started = [world.start("w") for _ in range(3)]

    finish(world, Owner(world))

    begun = [event.time - T0 for event in world.log if ".scheduled." in event.subject]
    assert len(begun) == len(started)
    assert all(later - earlier > 29_900 for earlier, later in pairwise(begun))


def test_a_lease_goes_to_those_who_wait_in_their_order() -> None:
    """As many as may hold it do."""
    lease = Lease(limit=2)
    for run in ("a", "b", "c", "a"):
        lease = queued(lease, run)

    lease, newly = granted(lease, now_ms=5)

    assert newly == ("a", "b")
    assert lease == Lease(holders=(Holder("a"), Holder("b")), waiters=("c",), limit=2)
    assert queued(lease, "a") == lease
    assert not lease.is_free
    assert lease.holds("b")


def test_a_rates_lease_is_over_after_its_time() -> None:
    """Whether the run has ended does not matter."""
    lease, _ = granted(Lease(waiters=("a",), per_ms=10), now_ms=5)

    assert lease.holders == (Holder("a", 15),)
    assert without_gone(lease, lambda run: True, now_ms=14).holders == (Holder("a", 15),)
    assert without_gone(lease, lambda run: False, now_ms=15).holders == ()


def test_runs_that_are_gone_hold_nothing() -> None:
    """Nor do they wait."""
    lease = Lease(holders=(Holder("a"), Holder("b")), waiters=("c", "d"))

    assert without_gone(lease, {"a", "c"}.__contains__, now_ms=0) == Lease(
        holders=(Holder("b"),), waiters=("d",)
    )
    assert without(lease, "b") == Lease(holders=(Holder("a"),), waiters=("c", "d"))
    assert without(lease, "d") == Lease(holders=lease.holders, waiters=("c",))


def test_dispatches_follow_the_grant() -> None:
    """A run that holds its lease is like any other."""
    run = History(ONE).given(got())

    assert [type(effect) for effect in run.then()] == [Dispatch]
