"""The admission window: how many tasks lie before a pool's workers, and which run is next?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from segue_contracts.v1.topology import RUNS, pool_consumer
from segue_orchestrator.core.room import FairQueue, Held, Queued, Room
from segue_orchestrator.core.state import RunState
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import SegueError

_log = structlog.get_logger()

_LOOK_S: Final = 0.05
"""How often a pool is looked at while runs wait for it."""
_TASKS_A_TURN: Final = 16
"""What a run that was waiting is given at once, so that the next is not kept for long."""

Wake = Callable[[str, str, str, int], Awaitable[None]]
"""Has a run decide again: its namespace and id, the pool that has room, and for how many tasks."""


class _Info(msgspec.Struct, frozen=True):
    num_pending: int = 0
    error: dict[str, object] | None = None


class _Pool:
    """What is known of one pool of one namespace."""

    __slots__ = ("left", "looking", "queue", "storing", "subject", "taken")

    def __init__(self, subject: str, size: int) -> None:
        self.subject = subject
        self.left = size
        self.queue = FairQueue()
        self.looking = False
        self.taken = 0
        """Tasks ever dispatched by this process."""
        self.storing = 0
        """Tasks that are dispatched and may not be stored yet, so that no look shows them."""


class Window:
    """Keeps what lies before each pool's workers below a limit."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        size_of: Callable[[str], int],
        share: Callable[[], int],
    ) -> None:
        """Make the window of one process.

        Args:
            bus: Where pools are looked at.
            clock: For waiting times.
            size_of: How many tasks may lie before the workers of a pool.
            share: Among how many processes that is divided.
        """
        self._bus = bus
        self._clock = clock
        self._size_of = size_of
        self._share = share
        self._pools: dict[tuple[str, str], _Pool] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self.wake: Wake | None = None
        """Set by who decides; runs that wait are woken by it."""

    def room(self, namespace: str) -> Room:
        """Return what a decision may dispatch; runs that wait go first."""

        def left(pool: str) -> int:
            known = self._pool(namespace, pool)
            return 0 if len(known.queue) else known.left

        return Room(left)

    def took(self, namespace: str, room: Room) -> None:
        """Count what a decision dispatches."""
        for pool, tasks in room.taken.items():
            known = self._pool(namespace, pool)
            known.left -= tasks
            known.taken += tasks
            known.storing += tasks
            if known.left <= self._size_of(pool) // 2:
                self._look(namespace, pool)

    def stored(self, namespace: str, room: Room) -> None:
        """Note that what a decision dispatches is stored, or will be dispatched again."""
        for pool, tasks in room.taken.items():
            self._pool(namespace, pool).storing -= tasks

    def stores_again(self, namespace: str, room: Room) -> None:
        """Note that what a decision dispatches, and what was not stored, is tried once more."""
        for pool, tasks in room.taken.items():
            self._pool(namespace, pool).storing += tasks

    def hold(self, state: RunState, held: tuple[Held, ...]) -> None:
        """Have a run wait for the pools that have no room for its steps."""
        for pool in {one.pool for one in held}:
            priority = min(one.priority for one in held if one.pool == pool)
            queued = Queued(
                namespace=state.namespace,
                workflow=state.workflow,
                run=state.run,
                priority=priority,
                since_ms=self._clock.now_ms(),
            )
            self._pool(state.namespace, pool).queue.add(queued)
            self._look(state.namespace, pool)

    def _pool(self, namespace: str, pool: str) -> _Pool:
        known = self._pools.get((namespace, pool))
        if known is None:
            name = pool_consumer(pool, namespace=namespace).name
            known = _Pool(f"$JS.API.CONSUMER.INFO.{RUNS}.{name}", self._size_of(pool))
            self._pools[namespace, pool] = known
        return known

    # Looking.

    def _look(self, namespace: str, pool: str) -> None:
        """Keep looking at a pool until nobody waits for it."""
        known = self._pool(namespace, pool)
        if known.looking:
            return
        known.looking = True
        task = asyncio.create_task(self._keep_looking(known, pool), name=f"window {pool}")
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _keep_looking(self, known: _Pool, pool: str) -> None:
        try:
            await self._measure(known, pool)
            while len(known.queue):
                if known.left > 0:
                    await self._release(known, pool)
                await self._clock.sleep(_LOOK_S)
                await self._measure(known, pool)
        finally:
            known.looking = False

    async def _measure(self, known: _Pool, pool: str) -> None:
        unseen = known.storing - known.taken
        try:
            info = msgspec.json.decode(await self._bus.request(known.subject, b""), type=_Info)
        except SegueError as error:
            _log.info("pool_not_seen", pool=pool, reason=str(error))
            return
        pending = 0 if info.error else info.num_pending
        unseen += known.taken
        free = self._size_of(pool) - pending - unseen
        known.left = max(0, free) // max(1, self._share())

    async def _release(self, known: _Pool, pool: str) -> None:
        """Give the room there is to runs that wait, in turns."""
        while known.left > 0:
            queued = known.queue.pop(now_ms=self._clock.now_ms())
            if queued is None or self.wake is None:
                return
            tasks = min(known.left, _TASKS_A_TURN)
            before = known.left
            await self.wake(queued.namespace, queued.run, pool, tasks)
            known.queue.serve(queued, max(before - known.left, 1))

    async def close(self) -> None:
        """Stop looking."""
        for task in tuple(self._looks):
            task.cancel()
        if self._looks:
            await asyncio.wait(tuple(self._looks))
