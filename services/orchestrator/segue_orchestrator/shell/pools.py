"""Pools: how do workers find a consumer to pull their tasks from?"""

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import pool_consumer
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus


class Pools:
    """The durable consumers of pools, made before the first task of each."""

    def __init__(self, bus: Bus, *, ack_wait_s: float) -> None:
        self._bus = bus
        self._ack_wait_s = ack_wait_s
        self._ready: set[str] = set()

    async def ensure(self, pool: str, namespace: str) -> Consumer:
        """Make a pool's consumer unless it is there, and return it."""
        consumer = pool_consumer(pool, namespace=namespace, ack_wait_s=self._ack_wait_s)
        if consumer.name not in self._ready:
            await ensure_consumer(self._bus, consumer)
            self._ready.add(consumer.name)
        return consumer
