"""The orchestrator on a simulated broker: what do its tests share?"""

from typing import Final

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, subjects
from segue_contracts.v1.events import frame
from segue_language import parse
from segue_orchestrator.settings import Settings
from segue_orchestrator.wiring import Parts, wire
from segue_shared.background import BackgroundTasks
from segue_shared.bus import Bus
from segue_shared.health import Health
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_testing.sim import SimClock, SimIds, SimServer

NS: Final = "default"
RUN: Final = "01a3185c690b7c65c182e2e662"
TEXT: Final = "{name: w, steps: [{key: a, pool: p}]}"


def parts_of(server: SimServer, bus: Bus, *, pool_window: int = 4_096) -> Parts:
    """Return an orchestrator's parts."""
    settings = Settings(instance="test", janitor_every_s=600, pool_window=pool_window)
    runtime = Runtime(
        settings=settings,
        bus=bus,
        clock=SimClock(),
        ids=SimIds(server.faults.random),
        metrics=Metrics("orchestrator"),
        health=Health(),
        tasks=BackgroundTasks(),
    )
    return wire(settings, runtime)


async def begun(
    parts: Parts, text: str = TEXT, *, parent: runs.ParentRun | UnsetType = UNSET
) -> int:
    """Store a definition and the start of a run of it, and return its sequence."""
    workflow = parse(text).workflow
    assert workflow is not None
    kept = await parts.loader.definitions.save(NS, workflow)
    body = runs.RunStarted(
        workflow="w", definition=kept.hash, inputs=Value(inline={}), parent=parent
    )
    parts.loader.definitions._recent.clear()
    return await told(parts, "started", body)


async def told(parts: Parts, event: str, body: Message) -> int:
    """Store an event of the run and return its sequence."""
    subject = subjects.run_event(NS, RUN, event)
    data = frame(body, subject=subject, source="test", about=RUN, time="2027-01-15T08:00:00Z")
    return (await parts.writer._bus.create(subject, data)).sequence
