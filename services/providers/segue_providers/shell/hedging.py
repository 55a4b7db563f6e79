"""Hedging: when is a second provider asked because the first is slow, and who of both answers?

After J. Dean and L. A. Barroso, "The Tail at Scale" (2013): one more request, sent once the first
is slower than nineteen in twenty, and only for a small share of all calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from segue_contracts.v1.chat import Hedge
from segue_providers.shell.lines import Line, Lines
from segue_providers.shell.ports import ModelCallError
from segue_providers.shell.tries import Tries

_WINDOW: Final = 1_000.0
_UNKNOWN_MS: Final = 2_000.0

Another = Callable[[], Awaitable[Line | None]]
"""Opens a line to another provider; None when there is none."""


class Hedges:
    """How many calls may be hedged: a share of the latest thousand or so."""

    def __init__(self) -> None:
        self._calls = 0.0
        self._hedged = 0.0

    def allowed(self, share: float) -> bool:
        """Count a call that could be hedged, and tell whether it may be."""
        self._calls += 1
        if self._calls > _WINDOW:
            self._calls /= 2
            self._hedged /= 2
        return self._hedged + 1 <= max(share * self._calls, 1 if share else 0)

    def hedged(self) -> None:
        """Count a call that was hedged."""
        self._hedged += 1


async def first_to_speak(
    line: Line, tries: Tries, *, hedge: Hedge, lines: Lines, another: Another
) -> Line:
    """Return the line that says the first word; the other one is closed and charged.

    Args:
        line: The first try.
        tries: The call's tries.
        hedge: When another is asked.
        lines: Knows when a first word is late.
        another: Opens the second try.

    Raises:
        ModelCallError: Neither says anything; both are closed.
    """
    racers = {asyncio.create_task(line.attempt.begin()): line}
    late_s = (hedge.after_ms or lines.late_ms(line.attempt.target) or _UNKNOWN_MS) / 1000
    try:
        done, _ = await asyncio.wait(racers, timeout=late_s)
        if not done and (second := await another()) is not None:
            racers[asyncio.create_task(second.attempt.begin())] = second
        return await _winner(racers, tries)
    except BaseException:
        await _stop(racers, tries, "given up")
        raise


async def _winner(racers: dict[asyncio.Task[None], Line], tries: Tries) -> Line:
    """Wait for the first word of any; those that fail are out of the race."""
    failure: ModelCallError | None = None
    while racers:
        done, _ = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for racer in done:
            line = racers.pop(racer)
            try:
                racer.result()
            except ModelCallError as error:
                failure = error
                await tries.follow("the other provider is still asked")
                await tries.failed(line, error)
            else:
                await _stop(racers, tries, "another provider answered first")
                return line
    raise failure or ModelCallError("cancelled", "nobody was asked")


async def _stop(racers: dict[asyncio.Task[None], Line], tries: Tries, why: str) -> None:
    for racer, line in racers.items():
        racer.cancel()
        await asyncio.wait({racer})
        await tries.given_up(line, why)
    racers.clear()
