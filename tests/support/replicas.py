"""Replicas: how does a test have several instances of a service on one broker, and fast time?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_testing.broker import Broker


class FastClock:
    """A clock that runs so many times as fast as the machine's."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._system = SystemClock()
        self._from_ms, self._from_s = self._system.now_ms(), self._system.monotonic()

    def now_ms(self) -> int:
        """Return the fast Unix time in milliseconds."""
        return self._from_ms + round((self._system.monotonic() - self._from_s) * 1000 * self._speed)

    def monotonic(self) -> float:
        """Return fast seconds that never go back."""
        return self._system.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        """Wait until so many fast seconds are over."""
        await asyncio.sleep(seconds / self._speed)


@asynccontextmanager
async def connections(broker: Broker, count: int) -> AsyncIterator[list[Bus]]:
    """Open connections, one for each replica."""
    opened = [
        await Bus.connect(broker.url, name=f"replica {number}", max_wait_s=10)
        for number in range(count)
    ]
    try:
        yield opened
    finally:
        for bus in opened:
            await bus.close()
