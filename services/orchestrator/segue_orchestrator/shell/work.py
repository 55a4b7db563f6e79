"""Work: what is to be stored for one run, and what does the engine reach the world by?"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from segue_orchestrator.core.effects import Durable
from segue_orchestrator.core.room import Room
from segue_orchestrator.shell.contents import Contents
from segue_orchestrator.shell.leases import Leases
from segue_orchestrator.shell.live import Live, Loader
from segue_orchestrator.shell.neighbours import Neighbours
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.timers import Timers
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_orchestrator.shell.window import Window
from segue_orchestrator.shell.writer import Writer
from segue_shared.bus import Creation
from segue_shared.dead import DeadLetters
from segue_shared.errors import TransientError

Step = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Ports:
    """What the engine reaches the rest of the world by."""

    loader: Loader
    contents: Contents
    pools: Pools
    timers: Timers
    leases: Leases
    waits: WaitIndex
    neighbours: Neighbours
    window: Window
    writer: Writer
    dead: DeadLetters


@dataclass(slots=True)
class Work:
    """What is to be stored for one run."""

    live: Live
    before: list[Step] = field(default_factory=list)
    """What must be done before events are stored."""
    creations: list[Creation] = field(default_factory=list)
    """Events that are ready."""
    slow: list[Durable] = field(default_factory=list)
    """Events whose content has to be fetched or stored first."""
    after: list[Step] = field(default_factory=list)
    room: Room = field(default_factory=Room)
    """What it dispatches to each pool."""
    whole: bool = False
    """Whether it is stored only once all that was decided before for its run is."""
    earlier: frozenset[asyncio.Future[bool]] = frozenset()
    """What was being stored for its run when its own turn came."""

    @property
    def is_simple(self) -> bool:
        """Whether it takes no more than to store events that are ready."""
        return not (self.before or self.slow or self.after or self.whole)

    def begin(self, storing: asyncio.Future[bool]) -> None:
        """Note that it is being stored."""
        self.earlier = frozenset(self.live.storing)
        self.live.storing.add(storing)

    def end(self, storing: asyncio.Future[bool]) -> None:
        """Note that this is over."""
        self.live.storing.discard(storing)

    async def follow(self) -> None:
        """Return once all that was decided before is stored, if that matters.

        Raises:
            TransientError: Not all of it was, so that it will be decided anew.
        """
        if self.whole and self.earlier:
            await asyncio.wait(self.earlier)
            if not all(one.result() for one in self.earlier):
                raise TransientError("what was decided before is not stored")
