"""Filling: how does a stream get large before something in it is looked for?"""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import RUNS
from segue_shared.bus import Bus
from segue_shared.journal import Journal

_BATCH: Final = 2_000
"""Two of them are fewer than what a stream lets wait, which is 10,000."""
_STEPS: Final = 49
_EVENTS: Final = 2 * _STEPS + 2
"""Of each run."""
_DATA: Final = b'{"type":"segue.bench.filler.v1"}'
_FOREIGN: Final = str.maketrans("0123456789abcdef", "ghijklmnopqrstuv")


async def fill(bus: Bus, events: int, *, first_run: int = 0) -> None:
    """Store events of runs that nobody owns, as those of 50 steps have them, run by run.

    Only the last one of a batch is acknowledged. A stream takes messages of one connection in
    their order, so that the others are stored by then; it is checked that all of them are.

    Args:
        bus: The connection.
        events: How many, a multiple of what a batch has.
        first_run: The number of the first run.

    Raises:
        RuntimeError: Some were dropped.
    """
    journal = Journal(bus, RUNS)
    before = await journal.last_sequence()
    targets = _subjects(first_run)
    stored: asyncio.Task[int] | None = None
    for _ in range(events // _BATCH):
        *others, last = islice(targets, _BATCH)
        for subject in others:
            await bus.publish(subject, _DATA)
        newest = asyncio.create_task(bus.append(last, _DATA))
        if stored is not None:
            await stored
        stored = newest
    if stored is not None:
        await stored
    if await journal.last_sequence() - before < events:
        raise RuntimeError("the broker dropped events that were not acknowledged one by one")


def _subjects(first_run: int) -> Iterator[str]:
    """Return the subjects of the events of one run after the other, of another namespace."""
    run = first_run
    while True:
        name = f"filler{run:010d}"
        # In the place of shards that no consumer asks for.
        shard = subjects.shard_of(name).translate(_FOREIGN)
        prefix = f"{subjects.PREFIX}.filler.run.{shard}.{name}"
        yield f"{prefix}.started"
        for step in range(_STEPS):
            yield subjects.scheduled(prefix, f"s{step}", 1, pool="filler", priority="p2")
            yield subjects.outcome(prefix, f"s{step}", 1, "completed")
        yield f"{prefix}.ended"
        run += 1
