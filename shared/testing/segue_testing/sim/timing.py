"""Timing: what do a process's clock, ids and heartbeats look like in a simulation?"""

import asyncio
from random import Random
from typing import Final

from segue_shared.bus import Bus
from segue_testing.sim.client import Sent, SimClient
from segue_testing.sim.loop import virtual_loop
from segue_testing.sim.server import START_MS

_BEATS_PER_WAIT: Final = 3


class SimClock:
    """A process's clock, which may differ from the server's.

    Args:
        skew_ms: By how much.
    """

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms
        self._loop = virtual_loop()

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return START_MS + self.skew_ms + int(self._loop.time() * 1000)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SimIds:
    """Ids from a seeded source of chance."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def run_id(self, now_ms: int) -> str:
        """Return a run id: 26 hexadecimal digits, ordered by time."""
        return f"{now_ms:012x}{self._random.getrandbits(56):014x}"

    def unique(self) -> str:
        """Return a short id."""
        return f"{self._random.getrandbits(52):013x}"


class SimHeartbeat:
    """Asks for more time for a process's tasks, without the thread that a real one has.

    Args:
        client: The process's connection.
        ack_wait_s: The consumer's patience; a beat comes three times in it.
    """

    def __init__(self, client: SimClient, *, ack_wait_s: float) -> None:
        self._client = client
        self._period_s = ack_wait_s / _BEATS_PER_WAIT
        self._beats: dict[str, asyncio.TimerHandle] = {}

    def watch(self, reply: str) -> None:
        """Begin to keep a task alive; `reply` is where it is settled."""
        self.forget(reply)
        self._beats[reply] = virtual_loop().call_later(self._period_s, self._beat, reply)

    def forget(self, reply: str) -> None:
        """End it; the task is settled."""
        if beat := self._beats.pop(reply, None):
            beat.cancel()

    def stop(self) -> None:
        """End all of it."""
        for reply in tuple(self._beats):
            self.forget(reply)

    def _beat(self, reply: str) -> None:
        if self._client.is_closed:
            self.stop()
        else:
            self._client.post(Sent(reply, b"+WPI"))
            self.watch(reply)


def heartbeat_of(bus: Bus, *, ack_wait_s: float) -> SimHeartbeat:
    """Return the heartbeat of a pull loop whose bus is simulated.

    Raises:
        TypeError: The bus is a real one.
    """
    client: object = bus.client
    if not isinstance(client, SimClient):
        raise TypeError("the bus is a real one; connect it by sim_bus")
    return SimHeartbeat(client, ack_wait_s=ack_wait_s)
