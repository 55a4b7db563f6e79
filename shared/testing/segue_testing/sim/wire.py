"""The wire: in which order, and how late, does a message travel?"""

import asyncio
from collections import deque
from collections.abc import Callable

from segue_testing.sim.faults import Faults


class Wire:
    """One direction of a connection: everything arrives in order, after a while."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._travelling: deque[Callable[[], object]] = deque()
        self._last = 0.0

    def send(self, arrive: Callable[[], object], *, delay_s: float = 0) -> None:
        """Have something happen at the other end."""
        now = self._loop.time()
        late = self._faults.up_to(self._faults.plan.latency_s) + delay_s
        self._last = max(self._last, now + late)
        self._travelling.append(arrive)
        if self._last <= now:
            self._loop.call_soon(self._arrive)
        else:
            self._loop.call_at(self._last, self._arrive)

    def cut(self) -> None:
        """Lose what is on its way; nothing may be sent afterwards."""
        self._travelling.clear()

    def _arrive(self) -> None:
        # Timers of one instant come in any order; what travels does not.
        if self._travelling:
            self._travelling.popleft()()
