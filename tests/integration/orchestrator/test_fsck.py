"""The check of journals on a real broker: is what is broken found, and nothing else?"""

from typing import Any

import pytest
from support.runs import Runs
from support.wait import until

from segue_contracts.envelope import Message, encode
from segue_contracts.v1 import registry, steps, subjects, topology
from segue_contracts.v1 import runs as run_events
from segue_contracts.v1.commands import CheckRuns, RunsChecked, Violation
from segue_contracts.v1.events import frame
from segue_contracts.v1.values import Failure
from segue_language import parse
from segue_orchestrator.core.effects import BeginWait
from segue_orchestrator.core.evolve import begin
from segue_orchestrator.core.leases import Holder, Lease
from segue_orchestrator.core.plan import StepPlan
from segue_orchestrator.core.state import Entry
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.fsck import Fsck
from segue_orchestrator.shell.live import Loader
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.timers import Timers
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

ONE = "{name: one, steps: [{key: a, pool: POOL}]}"
WAITING = "{name: waiting, steps: [{key: a, wait: {signal: go}}]}"
LATER = "{name: later, steps: [{key: a, wait: 1h}]}"
CHILD = "{name: child, steps: [{key: a, workflow: one}]}"
HOUR_MS = 3_600_000


class LateClock(SystemClock):
    """A clock that is an hour ahead: everything that was stored is quiet."""

    def now_ms(self) -> int:
        """Return the time in an hour."""
        return super().now_ms() + HOUR_MS


class Bench:
    """Journals made by hand, and the check of them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.journal = Journal(bus, topology.RUNS)
        self.payloads = Payloads(bus, topology.PAYLOADS)
        self.outputs = Outputs(self.journal, self.payloads)
        self.definitions = Definitions(KeyValue(bus, topology.WORKFLOWS))
        self.leases = KeyValue(bus, topology.LEASES)
        self.pools = Pools(bus, SystemClock(), ack_wait_s=2)
        self.waits = WaitIndex(KeyValue(bus, topology.WAITS), Journal(bus, f"KV_{topology.WAITS}"))
        self.snapshots = Snapshots(KeyValue(bus, topology.SNAPSHOTS), self.payloads, self.outputs)
        self.loader = Loader(
            self.journal, self.definitions, self.payloads, self.outputs, self.snapshots
        )
        self.fsck = Fsck(
            loader=self.loader,
            waits=self.waits,
            pools=self.pools,
            timers=Journal(bus, topology.TIMERS),
            leases=Journal(bus, f"KV_{topology.LEASES}"),
            clock=LateClock(),
        )

    async def start(self, text: str) -> str:
        """Store the start of a run."""
        workflow = parse(text.replace("POOL", "nobodys")).workflow
        assert workflow is not None
        definition = await self.definitions.save("default", workflow)
        run = SystemIds().run_id(0)
        body = run_events.RunStarted(workflow=workflow.name, definition=definition.hash)
        await self.put(run, "started", body)
        return run

    async def put(self, run: str, event: str, body: Message) -> None:
        """Store an event, whatever there is."""
        subject = subjects.run_event("default", run, event)
        time = "2026-01-01T00:00:00Z"
        data = frame(body, subject=subject, source="tests", about=run, time=time)
        await self.bus.append(subject, data)

    async def schedule(self, run: str) -> None:
        """Store the dispatch of the run's step."""
        body = steps.StepScheduled(
            run=run, namespace="default", workflow="one", step="a", attempt=1, pool="nobodys",
            kind="pool",
        )  # fmt: skip
        await self.put(run, "step.a.1.scheduled.nobodys.p2", body)

    async def found(self, run: str) -> list[tuple[str, str]]:
        """Return what is found of a run."""
        checked = await self.fsck.run("default", run)
        assert {one.run for one in checked.violations} <= {run}
        return [(one.invariant, one.message) for one in checked.violations]


@pytest.fixture
def bench(bus: Bus) -> Bench:
    """Journals made by hand."""
    return Bench(bus)


async def check(runs: Runs, **fields: Any) -> RunsChecked:
    """Check runs by command."""
    checked: RunsChecked = await runs.call(registry.CHECK_RUNS, CheckRuns(**fields))
    return checked


async def test_runs_of_the_engine_break_nothing(runs: Runs) -> None:
    """Every event is counted, and all runs are gone through page by page."""
    done = [await runs.start(ONE) for _ in range(3)]
    for run in done:
        await runs.ended(run)
    seen, after = 0, ""
    while True:
        page = await check(runs, after=after, limit=2)
        seen += page.checked
        assert page.violations == []
        if not (after := page.next):
            break

    one = await check(runs, run=done[0])

    assert seen >= 3
    assert (one.checked, one.events, one.violations) == (1, 4, [])


async def test_a_run_that_there_is_not_cannot_be_checked(runs: Runs) -> None:
    """Neither it nor what comes after it."""
    for fields in ({"run": "nosuchrun"}, {"after": "nosuchrun"}, {"run": "%"}, {"after": "%"}):
        with pytest.raises(RefusedError, match="no run"):
            await check(runs, **fields)


async def test_a_run_that_nothing_drives_is_found(bench: Bench) -> None:
    """What is due and will not be stored is named."""
    run = await bench.start(ONE)

    assert await bench.found(run) == [
        ("next_cause", "a: all it depends on is settled, and it was not dispatched"),
        ("next_cause", "step.a.1.scheduled is due, and nothing will store it"),
    ]


async def test_a_timer_that_is_near_is_a_cause(bench: Bench) -> None:
    """It looks at the whole run, and makes up for what was missed."""
    run = await bench.start(ONE)
    await Timers(bench.bus, SystemClock()).arm("default", run, LateClock().now_ms() + 1_000)

    assert await bench.found(run) == []


async def test_two_outcomes_of_an_attempt_are_found(bench: Bench) -> None:
    """Their guard was not kept by whoever wrote the second."""
    run = await bench.start(ONE)
    await bench.schedule(run)
    await bench.put(run, "step.a.1.outcome.completed", steps.StepCompleted())
    failure = Failure(code="x", message="y")
    await bench.put(run, "step.a.1.outcome.failed", steps.StepFailed(error=failure))
    await bench.put(run, "ended", run_events.RunEnded(status="completed"))

    [(invariant, message)] = await bench.found(run)

    assert invariant == "one_outcome_per_attempt"
    assert "attempt a.1 had an outcome before" in message


async def test_a_second_event_on_a_subject_is_found(bench: Bench) -> None:
    """All messages are read, not the newest of each subject."""
    run = await bench.start(ONE)
    await bench.schedule(run)
    await bench.schedule(run)

    assert "one_event_per_subject" in {invariant for invariant, _ in await bench.found(run)}


async def test_a_task_in_a_pool_without_a_consumer_is_found(bench: Bench) -> None:
    """Nobody could ever take it; looking makes no consumer."""
    run = await bench.start(ONE)
    await bench.schedule(run)

    assert await bench.found(run) == [("pool_is_served", "pool nobodys has no consumer")]
    assert not await bench.pools.exists("nobodys", "default")
    await bench.pools.ensure("nobodys", "default")
    assert await bench.found(run) == []
    await bench.bus.request("$JS.API.CONSUMER.DELETE.RUNS.pool_default~nobodys", b"")


async def test_a_wait_for_time_without_a_timer_is_found(bench: Bench) -> None:
    """And none that is armed for the moment, or before."""
    run = await bench.start(LATER)
    until_ms = SystemClock().now_ms() + 2 * HOUR_MS
    await bench.put(run, "step.a.1.waiting", steps.StepWaiting(kind="duration", until_ms=until_ms))

    [(invariant, message)] = await bench.found(run)
    await Timers(bench.bus, SystemClock()).arm("default", run, until_ms)

    assert invariant == "timer_is_armed"
    assert str(until_ms) in message
    assert await bench.found(run) == []


async def test_a_wait_that_is_listed_after_its_run_has_ended_is_found(bench: Bench) -> None:
    """Whoever looks for waits would find it."""
    run = await bench.start(WAITING)
    asked = steps.StepWaiting(kind="signal", name="go")
    started = run_events.RunStarted(workflow="w", definition="d")
    state = begin(run, "default", Entry(1, 1, ("started",), started))
    assert state is not None
    plan = StepPlan(key="a", token="a")
    await bench.waits.put(state, BeginWait(step=plan, token="a", attempt=1, asked=asked))
    await bench.put(run, "step.a.1.waiting", asked)
    assert await bench.found(run) == []

    await bench.put(run, "ended", run_events.RunEnded(status="cancelled"))

    assert await bench.found(run) == [("wait_has_open_run", "step a is listed as waiting")]


async def test_a_child_run_that_was_never_started_is_found(bench: Bench) -> None:
    """Its parent would wait for ever."""
    run, child = await bench.start(CHILD), SystemIds().run_id(0)
    body = run_events.ChildStarted(step="a", attempt=1, run=child, workflow="one", definition="d")
    await bench.put(run, f"child.{child}.started", body)

    assert await bench.found(run) == [("child_is_linked", f"step a: run {child} was never started")]
    await bench.put(child, "started", run_events.RunStarted(workflow="one", definition="d"))
    assert await bench.found(run) == []
    await bench.put(child, "ended", run_events.RunEnded(status="failed"))
    assert await bench.found(run) == [
        ("child_is_linked", f"step a: run {child} has ended, which its parent was not told")
    ]


async def test_a_lease_of_no_live_run_is_found(bench: Bench) -> None:
    """A run that has ended, or that there never was; a rate's lease is over by itself."""
    live, over, name = await bench.start(ONE), await bench.start(ONE), "0" * 32
    await bench.put(over, "ended", run_events.RunEnded(status="failed"))
    holders = (Holder(live), Holder(over), Holder("neverwas"), Holder("neverwas", 5))
    await bench.leases.put(f"default.{name}", encode(Lease(holders=holders, limit=9)))

    found = await bench.fsck.held("default")
    await bench.leases.delete(f"default.{name}")

    assert found == [
        Violation(
            run=run,
            invariant="lease_has_live_owner",
            message=f"lease {name} is held by a run that {why}",
        )
        for run, why in ((over, "has ended"), ("neverwas", "does not exist"))
    ]
    assert await bench.fsck.held("default") == []


async def test_a_run_that_cannot_be_loaded_must_say_so(bench: Bench) -> None:
    """Once it is parked somebody knows."""
    run = SystemIds().run_id(0)
    await bench.put(run, "started", run_events.RunStarted(workflow="w", definition="0" * 64))

    assert [invariant for invariant, _ in await bench.found(run)] == ["next_cause"]
    await bench.put(run, "parked.1", run_events.RunParked(code="x", message="y"))
    assert await bench.found(run) == []


async def test_a_run_is_checked_from_its_snapshot_on(bench: Bench) -> None:
    """When its older events are gone."""
    run = await bench.start(WAITING)
    await bench.put(run, "step.a.1.waiting", steps.StepWaiting(kind="signal", name="go"))
    live = await bench.loader.load("default", run)
    await bench.snapshots.save(live.state)
    await bench.bus.request(
        f"$JS.API.STREAM.PURGE.{topology.RUNS}",
        encode({"filter": subjects.run_all("default", run)}),
    )

    assert await bench.found(run) == []
    await bench.put(run, "step.a.1.outcome.completed", steps.StepCompleted())
    assert {invariant for invariant, _ in await bench.found(run)} == {"next_cause"}
    assert await until(lambda: bench.snapshots.load("default", run)) is not None
