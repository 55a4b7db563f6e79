"""Waits on a real broker: does what a run waits for end the wait, once and in time?"""

from typing import Any

import pytest
from support.runs import Runs
from support.wait import until

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import ListWaits, SignalAccepted, SignalRun, WaitList
from segue_contracts.v1.runs import SignalReceived, WaitView
from segue_contracts.v1.steps import StepWaiting
from segue_shared.errors import RefusedError

SIGNAL = """
name: signalled
steps: [{key: hold, wait: {signal: go}}]
outputs: {said: "{{ steps.hold.output }}"}
"""


async def signal(runs: Runs, run: str, **fields: Any) -> SignalAccepted:
    """Send a run a signal."""
    request = SignalRun(run=run, **{"name": "go", **fields})
    accepted: SignalAccepted = await runs.call(registry.SIGNAL_RUN, request)
    return accepted


async def waits(runs: Runs, **fields: Any) -> list[WaitView]:
    """List waits."""
    listed: WaitList = await runs.call(registry.LIST_WAITS, ListWaits(**fields))
    return listed.waits


async def test_a_wait_for_a_duration_ends_by_itself(runs: Runs) -> None:
    """The run's own timer ends it."""
    run = await runs.start("{name: w, steps: [{key: nap, wait: {duration: 60ms}}]}")

    assert (await runs.ended(run)).status == "completed"
    assert any(event.startswith("timer.") for event in await runs.story(run))


async def test_a_wait_until_a_moment_that_has_passed_ends_at_once(runs: Runs) -> None:
    """The moment may come from an input."""
    text = '{name: w, inputs: {at: ""}, steps: [{key: nap, wait: {until: "{{ inputs.at }}"}}]}'
    run = await runs.start(text, inputs={"at": "2026-01-01T00:00:00Z"})

    assert (await runs.ended(run)).status == "completed"


async def test_a_moment_that_is_none_parks_the_run(runs: Runs) -> None:
    """The reason names the step and the text."""
    text = '{name: w, inputs: {at: ""}, steps: [{key: nap, wait: {until: "{{ inputs.at }}"}}]}'
    run = await runs.start(text, inputs={"at": "teatime"})

    view = await runs.is_at(run, "parked")

    assert "teatime" in str(view.error)


async def test_a_signal_ends_the_wait_and_is_its_output(runs: Runs) -> None:
    """Its payload is what the step gives."""
    run = await runs.start(SIGNAL)
    await runs.event(run, "step.hold.1.waiting", StepWaiting)

    await signal(runs, run, payload={"ok": True}, by="ann")

    assert await runs.output(run) == {"said": {"ok": True}}


async def test_a_signal_that_comes_before_the_wait_is_kept(runs: Runs) -> None:
    """The step that waits later takes it at once."""
    text = """
name: w
steps:
  - {key: work, pool: POOL}
  - {key: hold, dependsOn: [work], wait: {signal: go}}
outputs: {said: "{{ steps.hold.output }}"}
"""
    runs.desk.hold("work")
    run = await runs.start(text)
    await runs.desk.came("work")

    await signal(runs, run, payload="early")
    runs.desk.release("work")

    assert await runs.output(run) == {"said": "early"}


async def test_two_waits_for_one_name_take_a_signal_each(runs: Runs) -> None:
    """One signal ends one wait, the longest first."""
    text = """
name: w
steps:
  - {key: one, wait: {signal: go}}
  - {key: two, dependsOn: [gate], wait: {signal: go}}
  - {key: gate, pool: POOL}
outputs: {one: "{{ steps.one.output }}", two: "{{ steps.two.output }}"}
"""
    run = await runs.start(text)
    await runs.event(run, "step.two.1.waiting", StepWaiting)

    await signal(runs, run, payload=1)
    held = await until(lambda: _waits_left(runs, run, 1))
    await signal(runs, run, payload=2)

    assert [wait.step for wait in held] == ["two"]
    assert await runs.output(run) == {"one": 1, "two": 2}


async def _waits_left(runs: Runs, run: str, count: int) -> list[WaitView]:
    found = await waits(runs, run=run)
    return found if len(found) == count else []


async def test_the_same_key_is_the_same_signal(runs: Runs) -> None:
    """A signal sent again under its key is told so; another under it is a conflict."""
    run = await runs.start(SIGNAL.replace("[{key", "[{key: other, wait: {signal: go}}, {key"))

    first = await signal(runs, run, payload=1, key="k")
    again = await signal(runs, run, payload=1, key="k")
    with pytest.raises(RefusedError, match="conflict: key 'k' has sent another signal"):
        await signal(runs, run, payload=2, key="k")

    assert (again.signal, again.existing, first.existing) == (first.signal, True, False)
    assert len([e for e in await runs.story(run) if e.startswith("signal.")]) == 1


async def test_a_large_payload_travels_by_reference(runs: Runs) -> None:
    """It is stored once, and the run's output refers to it."""
    run = await runs.start(SIGNAL)

    sent = await signal(runs, run, payload="x" * 100_000)
    end = await runs.ended(run)

    body = await runs.event(run, f"signal.{sent.signal}", SignalReceived)
    assert body.payload.ref
    assert end.status == "completed"


async def test_a_signal_that_nobody_waits_for_is_refused(runs: Runs) -> None:
    """The refusal names the signals that there are."""
    run = await runs.start(SIGNAL)

    with pytest.raises(RefusedError, match="its signals are go") as caught:
        await signal(runs, run, name="Go")

    assert caught.value.refused.code == "not_found"


async def test_a_signal_whose_answer_was_lost_is_told_although_it_ended_the_run(runs: Runs) -> None:
    """Sent again under its key after the end, it is the same signal and no conflict."""
    run = await runs.start(SIGNAL)
    first = await signal(runs, run, payload=1, key="k")
    await runs.ended(run)

    again = await signal(runs, run, payload=1, key="k")

    assert (again.signal, again.existing) == (first.signal, True)


async def test_an_ended_run_takes_no_signal(runs: Runs) -> None:
    """It is a conflict, not a loss."""
    run = await runs.start(SIGNAL)
    await signal(runs, run)
    await runs.ended(run)

    with pytest.raises(RefusedError, match="has ended"):
        await signal(runs, run)


async def test_an_event_of_a_users_system_ends_the_wait_that_it_matches(runs: Runs) -> None:
    """Other topics and events that do not match pass by; the event is the output."""
    text = """
name: w
inputs: {order: 7}
steps:
  - {key: paid, wait: {event: orders.paid, match: "{{ event.order == inputs.order }}"}}
outputs: {paid: "{{ steps.paid.output }}"}
"""
    run = await runs.start(text)
    await runs.event(run, "step.paid.1.waiting", StepWaiting)

    await runs.publish("orders.refused", {"order": 7})
    await runs.publish("orders.paid", {"order": 8})
    await runs.publish("orders.paid", "no order at all")
    await runs.publish("orders.paid", {"order": 7, "amount": 3})

    assert await runs.output(run) == {"paid": {"order": 7, "amount": 3}}
    assert len([e for e in await runs.story(run) if e.startswith("signal.in-")]) == 1


@pytest.mark.parametrize(
    ("tolerant", "status", "ran"), [("false", "failed", []), ("true", "completed", ["after"])]
)
async def test_a_wait_that_nothing_ends_times_out(
    runs: Runs, tolerant: str, status: str, ran: list[str]
) -> None:
    """The step fails; what depends on it goes on only where that is wanted."""
    text = f"""
name: w
steps:
  - {{key: hold, wait: {{signal: go, timeout: 60ms}}, continueOnError: {tolerant}}}
  - {{key: after, pool: POOL, dependsOn: [hold]}}
"""
    run = await runs.start(text)

    assert (await runs.ended(run)).status == status
    assert runs.desk.steps == ran
    assert "step.hold.1.outcome.timed_out" in await runs.story(run)


async def test_waits_are_listed_with_what_ends_them(runs: Runs) -> None:
    """Kind, name and time are told; filters and the limit hold; ended waits are gone."""
    name = f"go-{runs.pool}"
    text = f"""
name: w
steps:
  - {{key: word, wait: {{signal: {name}, timeout: 1h}}}}
  - {{key: nap, wait: {{duration: 1h}}}}
"""
    run, other = await runs.start(text), await runs.start(text)
    for one in (run, other):
        await runs.event(one, "step.word.1.waiting", StepWaiting)
        await runs.event(one, "step.nap.1.waiting", StepWaiting)

    found = await waits(runs, run=run)
    named = await waits(runs, name=name)
    limited = await waits(runs, name=name, limit=1)
    await signal(runs, run, name=name)
    left = await until(lambda: _only(runs, name, other))

    assert sorted((w.step, w.kind, w.name) for w in found) == [
        ("nap", "duration", ""),
        ("word", "signal", name),
    ]
    assert all(wait.until_ms > wait.since_ms > 0 for wait in found)
    assert [wait.run for wait in named] == [run, other]
    assert limited == named[:1]
    assert left
    assert await waits(runs, name=name, kind="duration") == []


async def _only(runs: Runs, name: str, run: str) -> bool:
    return [wait.run for wait in await waits(runs, name=name)] == [run]


async def test_a_kind_of_wait_that_there_is_not_is_refused(runs: Runs) -> None:
    """The refusal names the kinds."""
    with pytest.raises(RefusedError, match="none of duration, until, signal"):
        await waits(runs, kind="signals")
