"""Filling: how does a stream get large before something in it is looked for?"""

import asyncio
from typing import Final

from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import TimerFired
from segue_shared.bus import Bus

_NOWHERE: Final = "zz"
"""In the place of a shard; no consumer asks for it."""
_BATCH: Final = 2_000
_RUN_EVENTS: Final = 100


async def fill(bus: Bus, events: int) -> None:
    """Store events of runs that nobody owns."""
    for first in range(0, events, _BATCH):
        await asyncio.gather(*(_store(bus, number) for number in range(first, first + _BATCH)))


async def _store(bus: Bus, number: int) -> None:
    run = f"f{number // _RUN_EVENTS:012d}"
    real = subjects.run_event("filler", run, f"timer.{number % _RUN_EVENTS}")
    subject = real.replace(f".run.{subjects.shard_of(run)}.", f".run.{_NOWHERE}.")
    body = TimerFired(deadline_ms=number)
    data = frame(body, subject=subject, source="bench", about=run, time="2026-01-01T00:00:00Z")
    await bus.append(subject, data)
