"""The janitor on a real broker: does the journal get small, and lose nothing that matters?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from support.runs import Desk, Runs
from support.worker import worker

from segue_contracts.v1 import registry, topology
from segue_contracts.v1.commands import CheckRuns, RunsChecked, SignalRun
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.steps import StepWaiting
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.janitor import Cleaned, Janitor
from segue_orchestrator.wiring import wire
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_testing.broker import Broker
from segue_testing.services import serving

DAY_MS = 24 * 3_600_000
SLEEPER = """
name: sleeper
steps:
  - {key: work, pool: POOL, with: {text: kept}}
  - {key: hold, dependsOn: [work], wait: {signal: go}}
  - {key: more, dependsOn: [hold], pool: POOL, with: {seen: "{{ steps.work.output.text }}"}}
outputs: {seen: "{{ steps.more.output.seen }}", said: "{{ steps.hold.output }}"}
"""


class LaterClock(SystemClock):
    """The time, some days later."""

    def __init__(self, days: int) -> None:
        self._ahead_ms = days * DAY_MS

    def now_ms(self) -> int:
        """Return the time then."""
        return super().now_ms() + self._ahead_ms


@dataclass
class Stand:
    """A broker of its own with a running orchestrator."""

    runs: Runs
    settings: Settings

    async def clean(self, *, days: int = 0, sweep: bool = False) -> Cleaned:
        """Clean as a janitor would some days later."""
        runtime: Any = _Runtime(self.runs.bus, self.settings, LaterClock(days), SystemIds())
        janitor: Janitor = wire(self.settings, runtime).janitor
        return await janitor.clean(sweep=sweep)

    async def stored(self) -> list[str]:
        """Return the subjects of the events that the journal holds."""
        kept = await Journal(self.runs.bus, topology.RUNS).all_after(">", 0)
        return [message.subject for message in kept]


@dataclass
class _Runtime:
    bus: Bus
    settings: Settings
    clock: SystemClock
    ids: SystemIds


@asynccontextmanager
async def orchestrated(broker: Broker) -> AsyncIterator[Stand]:
    """Serve an orchestrator and a worker on a broker."""
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10)
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    pool, desk = SystemIds().unique(), Desk()
    try:
        await apply(bus, topology.topology())
        async with (
            serving(NAME, settings, build, requires=REQUIRES),
            worker(bus, pool, desk.serve),
        ):
            yield Stand(Runs(bus, pool, desk), settings)
    finally:
        await bus.close()


async def signal(runs: Runs, run: str, payload: Any) -> None:
    """End the wait of a run."""
    await runs.call(registry.SIGNAL_RUN, SignalRun(run=run, name="go", payload=payload))


async def test_a_run_sleeps_through_the_end_of_its_events(fresh_broker: Broker) -> None:
    """Its outputs from before the purge are there when it goes on; it was woken meanwhile."""
    async with orchestrated(fresh_broker) as stand:
        run = await stand.runs.start(SLEEPER)
        await stand.runs.event(run, "step.hold.1.waiting", StepWaiting)

        cleaned = await stand.clean(days=8)

        [kept] = await stand.stored()
        assert (cleaned.snapshots, cleaned.nudged, ".timer." in kept) == (1, 1, True)
        await signal(stand.runs, run, {"n": 1})
        ended = await stand.runs.event(run, "ended", RunEnded)
        assert ended.output is not None
        assert await stand.runs.output(run) == {"seen": "kept", "said": {"n": 1}}
        assert stand.runs.desk.steps == ["work", "more"]


async def test_a_run_sleeps_through_two_purges_and_a_restart(fresh_broker: Broker) -> None:
    """A snapshot of a state that came from a snapshot is as good."""
    async with orchestrated(fresh_broker) as stand:
        run = await stand.runs.start(SLEEPER)
        await stand.runs.event(run, "step.hold.1.waiting", StepWaiting)
        await stand.clean(days=8)
        await stand.clean(days=16)
        bus, pool = stand.runs.bus, stand.runs.pool
        assert pool
        assert bus.connected
    async with orchestrated(fresh_broker) as again:
        task = asyncio.create_task(_serve_other_pool(again, pool))
        await signal(again.runs, run, "late")
        ended = await again.runs.event(run, "ended", RunEnded)
        task.cancel()
    assert ended.status == "completed"


async def _serve_other_pool(stand: Stand, pool: str) -> None:
    async with worker(stand.runs.bus, pool, Desk().serve):
        await asyncio.Event().wait()


async def test_runs_that_outlive_their_start_are_checked(fresh_broker: Broker) -> None:
    """They come first, and page by page nothing is left out."""
    async with orchestrated(fresh_broker) as stand:
        runs = [await stand.runs.start(SLEEPER) for _ in range(3)]
        for run in runs:
            await stand.runs.event(run, "step.hold.1.waiting", StepWaiting)
        await stand.clean(days=8)
        runs += [await stand.runs.start(SLEEPER) for _ in range(2)]
        pages, after = [], ""
        while not pages or after:
            request = CheckRuns(after=after, limit=2)
            page: RunsChecked = await stand.runs.call(registry.CHECK_RUNS, request)
            pages.append(page)
            after = page.next

    assert [page.checked for page in pages] == [2, 2, 1]
    assert [page.next for page in pages] == [sorted(runs[:3])[1], runs[3], ""]
    assert [page.violations for page in pages] == [[], [], []]


async def test_what_is_younger_than_the_window_stays(fresh_broker: Broker) -> None:
    """Nothing is purged before its time."""
    async with orchestrated(fresh_broker) as stand:
        run = await stand.runs.start("{name: w, steps: [{key: a, pool: POOL}]}")
        await stand.runs.ended(run)
        before = await stand.stored()

        cleaned = await stand.clean(days=6)

        assert cleaned.purged_to == 0
        assert await stand.stored() == before


async def test_a_run_that_ended_long_ago_is_gone(fresh_broker: Broker) -> None:
    """Asking for it says so, instead of showing half of it."""
    async with orchestrated(fresh_broker) as stand:
        run = await stand.runs.start("{name: w, steps: [{key: a, pool: POOL}]}")
        await stand.runs.ended(run)

        cleaned = await stand.clean(days=8)

        assert (cleaned.snapshots, await stand.stored()) == (0, [])
        with pytest.raises(RefusedError) as caught:
            await stand.runs.view(run)
        assert caught.value.refused.code == "not_found"


async def test_a_payload_stays_as_long_as_something_refers_to_it(fresh_broker: Broker) -> None:
    """A sleeping run's large input survives; an ended run's goes."""
    text = "{name: big, inputs: {x: ''}, steps: [{key: hold, wait: {signal: go}}]}"
    async with orchestrated(fresh_broker) as stand:
        kept = await stand.runs.start(text, inputs={"x": "k" * 100_000})
        gone = await stand.runs.start(text, inputs={"x": "g" * 100_000})
        await stand.runs.event(kept, "step.hold.1.waiting", StepWaiting)
        await stand.runs.event(gone, "step.hold.1.waiting", StepWaiting)
        await signal(stand.runs, gone, None)
        await stand.runs.ended(gone)

        assert (await stand.clean(days=2, sweep=True)).swept == 0
        await stand.clean(days=8)
        assert (await stand.clean(days=10, sweep=True)).swept >= 1

        await signal(stand.runs, kept, None)
        assert (await stand.runs.event(kept, "ended", RunEnded)).status == "completed"
        assert (await stand.runs.view(kept)).status == "completed"


async def test_cleaning_is_done_by_one_at_a_time(fresh_broker: Broker) -> None:
    """Whoever takes the turn sets when the next is due."""
    async with orchestrated(fresh_broker) as stand:
        runtime: Any = _Runtime(stand.runs.bus, stand.settings, LaterClock(1), SystemIds())
        first = wire(stand.settings, runtime).janitor
        second = wire(stand.settings, runtime).janitor

        assert [await first.take_turn(), await second.take_turn()].count(None) == 1


async def test_a_run_whose_timer_was_lost_is_woken(fresh_broker: Broker) -> None:
    """The janitor writes a timer event, on which the run looks at its deadlines."""
    text = "{name: w, steps: [{key: a, pool: POOL, timeout: 1h}]}"
    async with orchestrated(fresh_broker) as stand:
        stand.runs.desk.hold("a")
        run = await stand.runs.start(text)
        await stand.runs.desk.came("a")

        assert (await stand.clean(days=8)).nudged == 1

        assert (await stand.runs.error(run)).details["code"] == "timeout"
        stand.runs.desk.release("a")
