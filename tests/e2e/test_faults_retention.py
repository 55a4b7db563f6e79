"""Retention: do runs that sleep wake up right after their events were purged?"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.faults_load import PATIENCE_S, Load, Started
from support.faults_shapes import BULKY, SHAPES
from support.faults_site import Site, single, site
from support.wait import until

from segue_contracts.v1.steps import StepWaiting

pytestmark = pytest.mark.timeout(240)

SLEEPERS = 5
OTHERS = 40
"""Runs whose values push those of sleeping runs out of an orchestrator's memory."""


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Site]:
    """A site that keeps events for a moment only, with one of its orchestrators down."""
    kept = {"retention_window_s": "2", "janitor_every_s": "0.5"}
    with site(tmp_path, servers=[single(tmp_path)], **kept) as made:
        made.find("orchestrator-1")[0].kill()
        yield made


@pytest.fixture
async def load(forgetful: Site) -> AsyncIterator[Load]:
    """What starts runs there."""
    bus = await forgetful.connect()
    yield Load(bus, problems=forgetful.problems)
    await bus.close()


async def asleep(load: Load) -> list[Started]:
    """Start runs that wait for a signal, and wait until all do."""
    started = [await load.start(SHAPES["signalled"]) for _ in range(SLEEPERS)]
    for one in started:
        await load.first(one.run, "step.held.1.waiting", StepWaiting)
    return started


async def purged(load: Load, runs: list[Started]) -> None:
    """Wait until the journal holds nothing of what some runs began with."""

    async def gone() -> bool:
        return not [event for one in runs for event in await load.events(one.run, "started")]

    await until(gone, patience_s=PATIENCE_S)


async def woken(load: Load, runs: list[Started]) -> None:
    """Send runs what they wait for, and hold each against what it must become."""
    await asyncio.gather(*(load.signal(one) for one in runs))
    await asyncio.gather(*(load.check_run(one) for one in runs))


async def test_sleeping_runs_outlive_their_events(forgetful: Site, load: Load) -> None:
    """Purged while they wait, they go on from what was kept, whether their owner lives or died."""
    known, forgotten = await asleep(load), await asleep(load)
    await purged(load, known + forgotten)
    others = await asyncio.gather(*(load.start(BULKY) for _ in range(OTHERS)))
    await asyncio.gather(*(load.check_run(one) for one in others))

    await woken(load, known)
    forgetful.find("orchestrator-1")[0].start()
    forgetful.find("orchestrator-0")[0].kill()
    await woken(load, forgotten)
