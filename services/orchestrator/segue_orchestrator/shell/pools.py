"""Pools: how do workers find a consumer to pull their tasks from?"""

from typing import Final

import msgspec
import structlog

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import RUNS, pool_consumer
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import TransientError
from segue_shared.journal import Journal

_log = structlog.get_logger()

_TRUSTED_S: Final = 30.0
"""How long a pool's consumer is taken to be there after it was seen."""
_AGAIN_S: Final = 0.5


class Pools:
    """The durable consumers of pools, made before the first task of each."""

    def __init__(self, bus: Bus, clock: Clock, *, ack_wait_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._ack_wait_s = ack_wait_s
        self._journal = Journal(bus, RUNS)
        self._seen: dict[tuple[str, str], float] = {}
        bus.on_reconnect(self._seen.clear)  # the broker may be another, with an empty store

    async def ensure(self, pool: str, namespace: str) -> Consumer:
        """Make a pool's consumer unless it is there, and return it."""
        consumer = pool_consumer(pool, namespace=namespace, ack_wait_s=self._ack_wait_s)
        # "From now on" means to a cluster: from when the consumer has a leader, which may be after
        # the first task was stored.
        now = await self._journal.last_sequence() + 1
        consumer = msgspec.structs.replace(consumer, deliver_new=False, start_sequence=now)
        await ensure_consumer(self._bus, consumer)
        self._seen[pool, namespace] = self._clock.monotonic()
        return consumer

    async def made(self, pool: str, namespace: str) -> None:
        """Make a pool's consumer unless it is there, however long the broker is away."""
        while True:
            try:
                await self.ensure(pool, namespace)
            except TransientError as error:
                _log.info("pool_not_made", pool=pool, reason=str(error))
                await self._clock.sleep(_AGAIN_S)
            else:
                return

    async def exists(self, pool: str, namespace: str) -> bool:
        """Tell whether a pool has its consumer, and make none."""
        consumer = pool_consumer(pool, namespace=namespace)
        subject = f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}"
        answer = msgspec.json.decode(await self._bus.request(subject, b""))
        return "error" not in answer

    def is_ready(self, pool: str, namespace: str) -> bool:
        """Tell whether a pool's consumer was seen a moment ago."""
        seen = self._seen.get((pool, namespace))
        return seen is not None and self._clock.monotonic() - seen <= _TRUSTED_S

    async def ready(self, pool: str, namespace: str) -> None:
        """Make a pool's consumer unless it was seen a moment ago."""
        if not self.is_ready(pool, namespace):
            await self.ensure(pool, namespace)
