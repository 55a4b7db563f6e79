"""Reporting: who learns how the providers fare without asking?"""

from collections.abc import Callable
from typing import Final

from segue_contracts.v1.providers import ProviderList
from segue_providers.shell.telling import Telling
from segue_shared.clock import Clock

PACE_S: Final = 15.0
"""Seconds between two reports at least."""


class Reporter:
    """Tells how the providers fare whenever that changed.

    Args:
        status: Tells how they stand.
        telling: Tells it to others.
        clock: For the pace.
    """

    def __init__(
        self, status: Callable[[], ProviderList], *, telling: Telling, clock: Clock
    ) -> None:
        self._status = status
        self._telling = telling
        self._clock = clock
        self._told: ProviderList | None = None

    async def watch(self) -> None:
        """Report for ever."""
        while True:
            state = self._status()
            if state != self._told:
                await self._telling.report(state)
                self._told = state
            await self._clock.sleep(PACE_S)
