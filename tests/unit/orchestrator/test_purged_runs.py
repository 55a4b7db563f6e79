"""Purged runs: what is read, kept and told of a run that the journal lets go of?"""

import asyncio
from typing import Final

import pytest
from unit.orchestrator.sim_orchestrator import NS, RUN, begun, parts_of, told
from unit.testing.sim_world import simulated

from segue_contracts.payload import Value
from segue_contracts.v1 import runs, subjects
from segue_contracts.v1.topology import LEASES, RUNS
from segue_orchestrator.shell.janitor import Cleaned, Janitor
from segue_orchestrator.shell.live import UnknownRunError
from segue_orchestrator.wiring import Parts
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.errors import TimedOutError
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_testing.sim import FaultPlan, SimClock, SimServer, sim_bus

PIECEMEAL: Final = FaultPlan(batch_most=1, latency_s=1)
PARENT: Final = "01a3185c690b7c65c182e2e663"
ENDED: Final = runs.RunEnded(status="completed", output=Value(inline={}))
WEEK_S: Final = 7 * 24 * 3_600
MONTH_S: Final = 5 * WEEK_S


async def paused_often(parts: Parts, numbers: range) -> int:
    """Store so many events of the run, and return the newest sequence."""
    return [await told(parts, f"paused.{n}", runs.RunPaused()) for n in numbers][-1]


async def keep(parts: Parts) -> None:
    """Take a snapshot of the run as it is."""
    await parts.snapshots.save((await parts.loader.load(NS, RUN)).state)


async def found(parts: Parts) -> str:
    """Read the run, and return what became of it."""
    try:
        live = await parts.loader.load(NS, RUN)
    except UnknownRunError:
        return "unknown"
    return "live" if live.state.ended is None else "ended"


def janitor_of(parts: Parts, bus: Bus, journal: Journal) -> Janitor:
    """Return a janitor that purges a journal."""
    return Janitor(
        journal=journal,
        loader=parts.loader,
        snapshots=parts.snapshots,
        payloads=parts.payloads,
        turns=KeyValue(bus, LEASES),
        writer=parts.writer,
        clock=SimClock(),
        window_s=WEEK_S,
        every_s=600,
    )


@pytest.mark.parametrize("after_s", range(0, 16, 2))
def test_a_run_that_is_purged_while_it_is_read_lacks_nothing(after_s: int) -> None:
    """What one answer did not hold is gone by the next; the snapshot has it."""

    async def body(server: SimServer, bus: Bus) -> int:
        parts = parts_of(server, bus)
        await begun(parts)
        newest = await paused_often(parts, range(1, 13))
        reader = parts_of(server, await sim_bus(server, "reader"))
        reading = asyncio.create_task(reader.loader.load(NS, RUN))
        await asyncio.sleep(after_s)
        await keep(parts)
        await parts.journal.purge(newest - 3)
        return (await reading).state.pauses

    assert simulated(body, PIECEMEAL) == 12


@pytest.mark.parametrize("after_s", range(0, 16, 2))
def test_a_run_that_is_forgotten_while_it_is_read_does_not_live_again(after_s: int) -> None:
    """Its last snapshot may be from before its end."""

    async def body(server: SimServer, bus: Bus) -> str:
        parts = parts_of(server, bus)
        await begun(parts)
        newest = await paused_often(parts, range(1, 4))
        await keep(parts)
        await parts.journal.purge(newest)
        await paused_often(parts, range(4, 8))
        last = await told(parts, "ended", ENDED)
        reader = parts_of(server, await sim_bus(server, "reader"))
        reading = asyncio.create_task(found(reader))
        await asyncio.sleep(after_s)
        await parts.snapshots.drop(NS, RUN)
        await parts.journal.purge(last + 1)
        return await reading

    assert simulated(body, PIECEMEAL) in {"ended", "unknown"}


def test_a_cleaning_that_is_cut_off_brings_no_run_back() -> None:
    """Its snapshot, which is from before its end, goes before its end does."""

    class CutOff(Journal):
        async def purge(self, before: int) -> None:
            await super().purge(before)
            raise TimedOutError("nobody heard of it")

    async def body(server: SimServer, bus: Bus) -> str:
        parts = parts_of(server, bus)
        await begun(parts)
        await keep(parts)
        await told(parts, "ended", ENDED)
        await asyncio.sleep(2 * WEEK_S)
        with pytest.raises(TimedOutError):
            await janitor_of(parts, bus, CutOff(bus, RUNS)).clean(sweep=False)
        return await found(parts)

    assert simulated(body, limit_s=MONTH_S) == "unknown"


def test_a_snapshot_that_outlives_its_run_goes_with_the_next_cleaning() -> None:
    """It is neither kept for ever, nor is the run woken that has ended."""

    async def body(server: SimServer, bus: Bus) -> tuple[Cleaned, bool, int]:
        parts = parts_of(server, bus)
        await begun(parts)
        last = await told(parts, "ended", ENDED)
        await keep(parts)
        await parts.journal.purge(last + 1)
        await asyncio.sleep(2 * WEEK_S)
        cleaned = await janitor_of(parts, bus, parts.journal).clean(sweep=False)
        return cleaned, await parts.snapshots.holds(NS, RUN), await parts.journal.last_sequence()

    cleaned, kept, newest = simulated(body, limit_s=MONTH_S)
    assert (cleaned.snapshots, cleaned.nudged, kept, newest) == (0, 0, False, 2)


@pytest.mark.parametrize(("event", "tells"), [("ended", True), ("timer.5", False)])
def test_only_an_end_tells_the_run_above(event: str, *, tells: bool) -> None:
    """What comes after it comes when the end was told, which the journal may have let go of."""

    async def body(server: SimServer, bus: Bus) -> bool:
        parts = parts_of(server, bus)
        await begun(parts, parent=runs.ParentRun(run=PARENT, step="a", attempt=1))
        sequences = {
            "ended": await told(parts, "ended", ENDED),
            "timer.5": await told(parts, "timer.5", runs.TimerFired(deadline_ms=5)),
        }
        stored = await parts.journal.get(sequences[event])
        assert stored is not None
        delivery = Delivery(
            stored.subject, stored.data, stored.sequence, stored.time_ms, 1, "$JS.ACK", {}
        )
        await (await parts.engine.on_batch(parts.engine.new_cache(), [delivery]))
        return bool(await parts.journal.last([subjects.run_all(NS, PARENT)]))

    assert simulated(body) is tells
