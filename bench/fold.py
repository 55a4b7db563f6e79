"""The fold: how soon is a run read that nobody holds, in a large journal?"""

import time
from collections.abc import Sequence
from typing import Final

from bench.filling import fill
from bench.frame import Figure, figure
from bench.stand import chain, ends, stand, start
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import GetRun, StartRun
from segue_contracts.v1.runs import RunView
from segue_shared.bus import Bus

_CHAIN: Final = chain(500)
"""Two events a step, and few more."""
_GET_RUN: Final = subjects.command("default", registry.GET_RUN.service, registry.GET_RUN.verb)


async def cold_fold(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Asking for runs of 1,000 events in a large journal, whose events lie close or far apart."""
    others, places = (200_000, 4) if quick else (5_000_000, 10)
    async with stand() as made:
        bus = await Bus.connect(made.url, name="bench", max_wait_s=10)
        close, spread = await _among_others(bus, others, places)
        samples = {
            "cold_fold1000": [await _ask_ms(bus, run) for run in close],
            "cold_spread_fold1000": [await _ask_ms(bus, run) for run in spread],
            "warm_spread_fold1000": [await _ask_ms(bus, run) for run in spread],
        }
        await bus.close()
    return [
        figure(f"engine.{name}_of_{others}.ms", times, unit="ms", goal=50, better="lower")
        for name, times in samples.items()
    ]


async def _among_others(bus: Bus, others: int, places: int) -> tuple[list[str], list[str]]:
    """Store so many events of other runs, with two of ours beginning at each of some places.

    Returns:
        The runs that went on while nothing else was stored, and those amid the others' events.
    """
    close: list[str] = []
    spread: list[str] = []
    each = others // places
    async with ends(bus, lambda _run: None) as ended:
        for number in range(places):
            close.append((await start(bus, StartRun(text=_CHAIN))).run)
            await ended(len(close) + len(spread))
            spread.append((await start(bus, StartRun(text=_CHAIN))).run)
            await fill(bus, each, first_run=number * each)
            await ended(len(close) + len(spread))
    return close, spread


async def _ask_ms(bus: Bus, run: str) -> float:
    begin = time.perf_counter()
    await bus.call(_GET_RUN, GetRun(run=run), RunView)
    return (time.perf_counter() - begin) * 1000
