"""Fakes: what stands in for time and chance in a test?"""

import asyncio


class FakeClock:
    """A clock that moves only when told; sleepers wake in order."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """Return the fake's time in Unix milliseconds."""
        return self._now_ms

    def monotonic(self) -> float:
        """Return the fake's time in seconds."""
        return self._now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved past the wake-up."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now_ms + round(seconds * 1000), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, wake whoever is due, and let them run."""
        self._now_ms += round(seconds * 1000)
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._now_ms]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._now_ms]
        for _, woken in sorted(due, key=lambda sleeper: sleeper[0]):
            if not woken.done():
                woken.set_result(None)
        await asyncio.sleep(0)


class FakeIds:
    """Ids that count."""

    def __init__(self) -> None:
        self._count = 0

    def run_id(self, now_ms: int) -> str:  # noqa: ARG002 - the port hands it in
        """Return the next run id; the time does not matter."""
        self._count += 1
        return f"run{self._count:023d}"

    def unique(self) -> str:
        """Return the next short id."""
        self._count += 1
        return f"id{self._count:011d}"
