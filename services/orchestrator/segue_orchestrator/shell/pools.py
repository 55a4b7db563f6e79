"""Pools: how do workers find a consumer to pull their tasks from?"""

from typing import Final

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import pool_consumer
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import Clock

_TRUSTED_S: Final = 30.0
"""How long a pool's consumer is taken to be there after it was seen."""


class Pools:
    """The durable consumers of pools, made before the first task of each."""

    def __init__(self, bus: Bus, clock: Clock, *, ack_wait_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._ack_wait_s = ack_wait_s
        self._seen: dict[str, float] = {}
        bus.on_reconnect(self._seen.clear)  # the broker may be another, with an empty store

    async def ensure(self, pool: str, namespace: str) -> Consumer:
        """Make a pool's consumer unless it is there, and return it."""
        consumer = pool_consumer(pool, namespace=namespace, ack_wait_s=self._ack_wait_s)
        await ensure_consumer(self._bus, consumer)
        self._seen[consumer.name] = self._clock.monotonic()
        return consumer

    async def ready(self, pool: str, namespace: str) -> None:
        """Make a pool's consumer unless it was seen a moment ago."""
        consumer = pool_consumer(pool, namespace=namespace, ack_wait_s=self._ack_wait_s)
        seen = self._seen.get(consumer.name)
        if seen is None or self._clock.monotonic() - seen > _TRUSTED_S:
            await self.ensure(pool, namespace)
