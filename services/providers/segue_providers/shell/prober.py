"""The prober: does a provider answer that nobody called for a while, or that failed?

A check asks for something that costs nothing, such as the list of models. A model whose breaker is
half-open is checked before a caller has to try; an idle provider only if its configuration says
`probe_s`, since each check is a call that its vendor counts.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.catalogue import Target
from segue_providers.core.fleet import Barred, Fleet
from segue_providers.core.health import Result
from segue_providers.shell.configured import Configured
from segue_providers.shell.ports import ModelCallError
from segue_providers.shell.setup import Setup
from segue_providers.shell.telling import Telling
from segue_shared.clock import Clock

_log = structlog.get_logger()

PACE_S: Final = 1.0
"""Seconds between two checks, whatever the number of providers."""
LONGEST_S: Final = 10.0
"""Seconds that a check may take."""


class Prober:
    """Checks providers, one at a time.

    Args:
        configured: What there is.
        fleet: What may be checked, and what learns from it.
        clock: For the pace.
        draw: Draws a random number from 0 to 1.
        telling: Tells of breakers that a check turned.
        limit_s: Seconds that a check may take.
    """

    def __init__(
        self,
        configured: Configured,
        fleet: Fleet,
        *,
        clock: Clock,
        draw: Callable[[], float],
        telling: Telling,
        limit_s: float = LONGEST_S,
    ) -> None:
        self._configured = configured
        self._fleet = fleet
        self._clock = clock
        self._draw = draw
        self._telling = telling
        self._limit_s = limit_s

    async def watch(self) -> None:
        """Check whoever is due, for ever."""
        while True:
            await self._clock.sleep(PACE_S)
            await self.check()

    async def check(self) -> Target | None:
        """Check who is due first; return whom, None when nobody is."""
        async with self._configured.lease() as setup:
            for target in self._due(setup):
                if await self._checked(setup, target):
                    await self._telling.breakers(self._fleet)
                    return target
        return None

    def _due(self, setup: Setup) -> list[Target]:
        now_ms = self._clock.now_ms()
        waiting = self._fleet.awaiting_probe(now_ms=now_ms)
        idle = [
            entry.default
            for name, entry in setup.catalogue.entries.items()
            if name in setup.clients
            and entry.settings.probe_s
            and self._idle_ms(entry.default, now_ms) >= entry.settings.probe_s * 1000
        ]
        known = (target for target in waiting if target.provider in setup.clients)
        return list(dict.fromkeys([*known, *idle]))

    def _idle_ms(self, target: Target, now_ms: int) -> int:
        vital = self._fleet.vital(target)
        return now_ms if vital is None else now_ms - vital.used_ms

    async def _checked(self, setup: Setup, target: Target) -> bool:
        """Check one; return False when it may not be called now."""
        having = setup.keys(target.provider)
        admission = self._fleet.admit(target, now_ms=self._clock.now_ms(), having=having)
        if isinstance(admission, Barred):
            return False
        began = self._clock.monotonic()
        error: ErrorClass | None = "cancelled"
        try:
            error = await self._asked(setup, target.provider, admission.key)
        finally:
            result = Result(error=error, total_ms=(self._clock.monotonic() - began) * 1000)
            now_ms, jitter = self._clock.now_ms(), self._draw()
            self._fleet.record_probe(admission, result, now_ms=now_ms, jitter=jitter)
        return True

    async def _asked(self, setup: Setup, provider: str, key: str) -> ErrorClass | None:
        try:
            async with asyncio.timeout(self._limit_s):
                await setup.client(provider, key).probe()
        except ModelCallError as error:
            _log.info("probe_failed", provider=provider, error=error.error, reason=str(error))
            return error.error
        except TimeoutError:
            _log.info("probe_failed", provider=provider, error="timeout_first_token")
            return "timeout_first_token"
        return None
