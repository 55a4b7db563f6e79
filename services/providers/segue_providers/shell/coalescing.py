"""Coalescing: how do equal requests that come at the same time share one call?

The call runs in a task of its own. Everybody who waits for it sees its events from the first, each
at their own pace; the call is at most a few events ahead of the fastest of them. It ends early when
nobody waits any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

E = TypeVar("E")
A = TypeVar("A")

See = Callable[[E], Awaitable[None]]
"""Takes one event."""
Work = Callable[[See[E]], Awaitable[A]]
"""Makes the call, tells its events, and returns the answer."""

_AHEAD: Final = 16


class Coalescing(Generic[E, A]):
    """The calls in flight of one process, by what they ask."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[E, A]] = {}

    @property
    def running(self) -> int:
        """How many calls are in flight."""
        return len(self._flights)

    def joins(self, key: str) -> bool:
        """Tell whether a call for this key is in flight, so that `run` would only follow it."""
        return key in self._flights

    async def run(self, key: str, work: Work[E, A], see: See[E]) -> tuple[A, bool]:
        """Return the answer of the call in flight, or make the call; and whether it was made.

        Args:
            key: What is asked, with its namespace.
            work: Makes the call; it is cancelled when nobody waits for it any more.
            see: Is told every event of the call, in order.

        Raises:
            Exception: Whatever the call raises, for everybody who waits.
        """
        flight = self._flights.get(key)
        led = flight is None
        if flight is None:
            flight = self._flights[key] = _Flight(work)
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        try:
            return await flight.follow(see), led
        finally:
            if flight.leave():
                self._landed(key, flight)
                await flight.end()

    def _landed(self, key: str, flight: "_Flight[E, A]") -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class _Flight(Generic[E, A]):
    """One call and those who wait for it."""

    def __init__(self, work: Work[E, A]) -> None:
        self._events: list[E] = []
        self._front = 0
        self._waiting = 0
        self._moved = asyncio.Event()
        self.task: Final = asyncio.ensure_future(work(self._tell))
        self.task.add_done_callback(lambda _: self._move())

    async def follow(self, see: See[E]) -> A:
        """Show every event, and return the answer."""
        self._waiting += 1
        place = 0
        while True:
            moved, done = self._moved, self.task.done()
            while place < len(self._events):
                await see(self._events[place])
                place += 1
                if place > self._front:
                    self._front = place
                    self._move()
            if done:
                return self.task.result()
            if place == len(self._events):
                await moved.wait()

    def leave(self) -> bool:
        """Wait no more, and tell whether the call runs for nobody now."""
        self._waiting -= 1
        return not self._waiting and not self.task.done()

    async def end(self) -> None:
        """Cancel the call, and wait until it has let go of everything."""
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.exception()

    async def _tell(self, event: E) -> None:
        self._events.append(event)
        self._move()
        while len(self._events) - self._front > _AHEAD:
            await self._moved.wait()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
