"""Snapshots: does a state outlive the events that it was folded from?"""

import msgspec
from support.history import (
    History,
    child_started,
    completed,
    failed,
    mapped,
    scheduled,
    waiting,
)

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs
from segue_contracts.v1.runs import BudgetExtended
from segue_orchestrator.core.effects import Dispatch
from segue_orchestrator.core.invariants import copied, differences, same_state
from segue_orchestrator.core.snapshot import (
    decode_state,
    encode_state,
    journaled,
    references,
    relocate,
)
from segue_orchestrator.core.state import OutputAt

TEXT = """
name: w
inputs: {x: 1}
steps:
  - {key: a, pool: p, compensate: {pool: u}, retry: {maxAttempts: 3, delay: 40s}}
  - {key: m, pool: p, forEach: [1, 2]}
  - {key: s, wait: {signal: go}}
  - {key: c, workflow: sub}
"""


def rich() -> History:
    """Return a run that has something of everything."""
    return History(TEXT).given(
        scheduled("a"),
        failed("a", tokens=3),
        scheduled("a", 2),
        completed("a", 1, 2, usd="0.10"),
        mapped("m", [1, 2]),
        scheduled("m~0", deadline_ms=1_760_000_099_000),
        waiting("s", kind="signal", name="go", deadline_ms=1_760_000_099_000),
        ("signal.1", runs.SignalReceived(name="go", payload=Value(inline=1))),
        ("signal.2", runs.SignalReceived(name="later", payload=Value(inline=2))),
        child_started("c", inputs=Value(inline={"x": 2})),
        ("budget.1", BudgetExtended(usd="0.5")),
        ("held.x", runs.LeaseHeld(key="k", limit=1)),
    )


def test_a_state_is_read_back_as_it_was() -> None:
    """Money, sets, alarms and places included."""
    run = rich()

    copy = copied(run.state)

    assert differences(copy, run.state) == []
    assert copy.undoable == ["a"]


def test_what_follows_is_the_same_after_a_snapshot() -> None:
    """Nothing that the core decides by is lost."""
    run = rich().given(scheduled("m~1")).decided()
    other = rich().given(scheduled("m~1")).decided()
    other.state = copied(other.state)
    more = (completed("m~0", 1), ("granted.x", runs.LeaseGranted(key="k")))

    assert run.given(*more).then() == other.given(*more).then()
    assert same_state(run.state, other.state)


def test_what_only_an_owner_knows_is_left_out() -> None:
    """Items that it has dispatched are dispatched again by the next, which is harmless."""
    run = History(TEXT).given(mapped("m", [1, 2])).decided()
    run.state = copied(run.state)
    run.state.touched.add("m")

    assert [e.token for e in run.then() if isinstance(e, Dispatch)] == ["m~0", "m~1"]


def test_a_snapshot_of_another_form_is_none() -> None:
    """Whoever cannot read it folds the journal."""
    data = msgspec.json.decode(encode_state(rich().state))

    assert decode_state(msgspec.json.encode({**data, "format": 0})) is None
    assert decode_state(b'{"format": 1}') is None
    assert decode_state(b"no json") is None


def test_values_that_only_the_journal_holds_are_named() -> None:
    """Those of outputs, items, signals and child runs; not those with a claim check."""
    run = rich().given(scheduled("m~1"), completed("m~1", PayloadRef(sha256="x", size=1)))

    assert {at.sequence for at in journaled(run.state)} == {5, 6, 9, 10, 11}


def test_places_can_be_moved() -> None:
    """Values are read from where they went, and the state is the same otherwise."""
    run, moved = rich(), rich()
    ref = PayloadRef(sha256="y", size=1)

    relocate(moved.state, {at: OutputAt(at.sequence, ref) for at in journaled(moved.state)})

    assert journaled(moved.state) == set()
    assert moved.state.step("a").output == OutputAt(5, ref)
    assert same_state(run.state, moved.state)


def test_every_payload_that_a_state_needs_is_named() -> None:
    """Of outputs, of inputs, of what a fork took over, and of the end."""
    settled, ended, inputs = (Value(ref=PayloadRef(sha256=name, size=1)) for name in "sei")
    run = rich().given(scheduled("m~1"), completed("m~1", PayloadRef(sha256="x", size=1)))
    assert references(run.state) == {"x"}

    fork = runs.ForkedFrom(run="old", cursor="1-1", settled=settled)
    run.state.started = runs.RunStarted(workflow="w", definition="d", inputs=inputs, fork=fork)
    run.given(("ended", runs.RunEnded(status="completed", output=ended)))

    assert references(run.state) == {"x", "s", "e", "i"}
