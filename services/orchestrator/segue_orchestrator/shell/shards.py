"""Shards: which shard consumers does this process read now?

How many there are is stored on the bus, and which of them are this process's follows from who is
alive. Both are looked up again and again and may be seen late: the broker's pin keeps a consumer to
one reader, and two readers would do no harm.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from segue_contracts.v1 import topology
from segue_orchestrator.core.shares import owned
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.consumers import deliver_again
from segue_shared.errors import InvalidMessageError, SegueError, TransientError
from segue_shared.layouts import stored_count
from segue_shared.members import Members
from segue_shared.pinned import PinnedConsumer

_log = structlog.get_logger()

_POLL_S: Final = 0.5
_STALLED: Final = 5
_PATIENCE_S: Final = 1.0
"""How long a broker may take to answer where an answer only saves time."""

Read = Callable[[str], PinnedConsumer]
"""Makes the loop over a shard consumer of this name."""


class Shards:
    """The loops over this process's share of the shard consumers."""

    def __init__(self, bus: Bus, *, members: Members, clock: Clock, read: Read) -> None:
        self._bus = bus
        self._members = members
        self._clock = clock
        self._read = read
        self._layout = topology.shard_layout()
        self._names: tuple[str, ...] = ()
        self._running: dict[str, tuple[PinnedConsumer, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()

    @property
    def share(self) -> frozenset[str]:
        """The shard consumers that this process reads."""
        return frozenset(self._running)

    @property
    def silent(self) -> int:
        """Requests in a row that the most silent of them did not answer as it should."""
        return max((consumer.silent for consumer, _ in self._running.values()), default=0)

    def problem(self) -> str | None:
        """Say what keeps the shards from being read; None when nothing does."""
        if not self._names:
            return "the number of shard consumers is not known; 'segue bus apply' stores it"
        if self.silent < _STALLED:
            return None
        return "a shard consumer does not answer; 'segue bus apply' makes it if it is missing"

    async def run(self) -> None:
        """Read one's share until cancelled."""
        forget = self._members.on_change(self._changed.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_layout(), name="shard layout")
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._adjust(group)
        finally:
            forget()
            self._running.clear()

    async def _follow_layout(self) -> None:
        """Look up again and again how many shard consumers there are."""
        while True:
            try:
                self._see(await stored_count(self._bus, self._layout))
            except (TransientError, InvalidMessageError) as error:
                _log.info("layout_unseen", reason=str(error))
            await self._clock.sleep(_POLL_S)

    def _see(self, count: int | None) -> None:
        """Go by a number of consumers; when there is none any more, by the last one."""
        names = tuple(consumer.name for consumer in self._layout.consumers(count)) if count else ()
        if names and names != self._names:
            self._names = names
            self._changed.set()

    async def _adjust(self, group: asyncio.TaskGroup) -> None:
        """Leave what is no longer one's own, and only then begin with what is new."""
        instances = [member.instance for member in self._members.live]
        share = owned(self._names, instances, self._members.me.instance)
        left = [self._running.pop(name)[1] for name in self._running.keys() - share]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        new = share - self._running.keys()
        for name in sorted(new):
            consumer = self._read(name)
            self._running[name] = (
                consumer,
                group.create_task(self._own(name, consumer), name=name),
            )
        if left or new:
            _log.info("share_changed", reads=len(share), of=len(self._names), left=len(left))

    async def _own(self, name: str, consumer: PinnedConsumer) -> None:
        """Read a shard consumer until cancelled, and leave nothing to whoever read it before.

        A new owner notices that it is one by the first message. While there is none, what the last
        owner received and did not settle would wait for the broker's patience with that one to end.
        """
        await self._deliver_again(name)
        try:
            await consumer.run()
        finally:
            await self._deliver_again(name)

    async def _deliver_again(self, name: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await deliver_again(self._bus, stream=topology.RUNS, consumer=name)
        except (TimeoutError, SegueError) as error:
            _log.info("not_delivered_again", consumer=name, reason=str(error) or "no answer")
