"""Room: how many tasks may be handed to a pool, and who is next when there is none?

What is dispatched is served first in, first out. So tasks beyond what a pool's workers will take
soon stay in their runs, and that is where priorities and fairness act.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from segue_contracts.v1.subjects import PRIORITIES

AGEING_MS: Final = 30_000
"""Waiting for so long counts as much as the next better priority."""


class Room:
    """What one decision may dispatch."""

    def __init__(self, left: Callable[[str], int] | None = None) -> None:
        self._left = left
        self.taken: dict[str, int] = {}
        """Tasks dispatched, by pool."""

    def take(self, pool: str) -> bool:
        """Take a place; tell whether there was one."""
        if self._left is None:
            return True
        taken = self.taken.get(pool, 0)
        if taken >= self._left(pool):
            return False
        self.taken[pool] = taken + 1
        return True


class Held(msgspec.Struct, frozen=True):
    """A step that waits until its pool has room."""

    token: str
    pool: str
    priority: str


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A run with steps that wait until a pool has room."""

    namespace: str
    workflow: str
    run: str
    priority: str
    """The best of its steps."""
    since_ms: int


class FairQueue:
    """Runs that wait for one pool.

    The best priority goes first, and waiting betters it, so that nobody starves. Among equals the
    namespace that was served least goes first, then its workflow that was, then who came first.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Queued] = {}
        self._served: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, queued: Queued) -> None:
        """Have a run wait; one that waits already keeps its place in time."""
        key = (queued.namespace, queued.run)
        known = self._waiting.get(key)
        if known is not None:
            queued = msgspec.structs.replace(queued, since_ms=known.since_ms)
        self._waiting[key] = queued

    def pop(self, *, now_ms: int) -> Queued | None:
        """Take out who is next; None when nobody waits."""
        if not self._waiting:
            return None
        queued = min(self._waiting.values(), key=lambda one: self._rank(one, now_ms))
        del self._waiting[queued.namespace, queued.run]
        return queued

    def serve(self, queued: Queued, tasks: int) -> None:
        """Count what a run was given; counts are forgotten once nobody waits."""
        if not self._waiting:
            self._served.clear()
            return
        for key in ((queued.namespace,), (queued.namespace, queued.workflow)):
            self._served[key] = self._served.get(key, 0) + tasks

    def _rank(self, queued: Queued, now_ms: int) -> tuple[int, int, int, int]:
        aged = max(0, now_ms - queued.since_ms) // AGEING_MS
        namespace = (queued.namespace,)
        return (
            PRIORITIES.index(queued.priority) - aged,
            self._served.get(namespace, 0),
            self._served.get((*namespace, queued.workflow), 0),
            queued.since_ms,
        )
