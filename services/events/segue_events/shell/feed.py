"""The feed: how does everything on the bus reach this process once?"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_contracts.v1 import subjects
from segue_events.core.continuity import Continuity
from segue_events.shell.hub import Hub
from segue_events.shell.meters import Meters
from segue_events.shell.ports import FeedBus, OpenHistory
from segue_shared.clock import Clock
from segue_shared.errors import SegueError

_log = structlog.get_logger()

_SEQUENCE: Final = "Nats-Sequence"


class Feed:
    """One subscription to all facts and one to all deltas, watched for losses."""

    def __init__(
        self,
        *,
        bus: FeedBus,
        hub: Hub,
        history: OpenHistory,
        clock: Clock,
        meters: Meters,
        heartbeat_s: float,
    ) -> None:
        self._bus = bus
        self._hub = hub
        self._open_history = history
        self._clock = clock
        self._meters = meters
        self._heartbeat_s = heartbeat_s
        self._continuity = Continuity()
        self._subscriptions: list[Subscription] = []
        self._reconnected = asyncio.Event()
        self._end_callback: Callable[[], None] | None = None
        self._settle = False

    async def open(self) -> None:
        """Subscribe first, then learn where the journal ends: nothing falls between.

        Raises:
            SegueError: The journal cannot be read.
        """
        self._subscriptions = [
            await self._bus.subscribe(subjects.facts(), self._on_fact),
            await self._bus.subscribe(subjects.deltas(), self._on_delta),
        ]
        history = self._open_history()
        self._hub.epoch = await history.epoch()
        self._continuity.open(await history.last_sequence())
        self._end_callback = self._bus.on_reconnect(self._on_reconnect)

    async def close(self) -> None:
        """Stop listening; again does nothing."""
        if self._end_callback is not None:
            self._end_callback()
            self._end_callback = None
        while self._subscriptions:
            await self._subscriptions.pop().unsubscribe()

    async def beat(self) -> None:
        """Give signs of life, and look whether the journal holds what the feed has not seen."""
        while True:
            await self._clock.sleep(self._heartbeat_s)
            self._hub.tick()
            try:
                await self._look()
            except SegueError as error:
                _log.warning("feed_look_failed", error=str(error))

    async def mend(self) -> None:
        """After each reconnect, make sure that the journal is the one it was."""
        while True:
            await self._reconnected.wait()
            self._reconnected.clear()
            try:
                await self._verify()
            except SegueError as error:
                _log.warning("feed_verify_failed", error=str(error))
                await self._clock.sleep(1)
                self._reconnected.set()

    async def _on_fact(self, message: Msg) -> None:
        sequence = int((message.headers or {}).get(_SEQUENCE, "0"))
        if sequence < 1:
            # Only the broker may speak here; what somebody else says is not in the journal.
            _log.warning("fact_without_sequence", subject=message.subject)
            return
        if self._continuity.saw(sequence):
            self._lost("gap", sequence)
        self._hub.fact(message.subject, message.data, sequence)

    async def _on_delta(self, message: Msg) -> None:
        self._hub.delta(message.subject, message.data)

    def _on_reconnect(self) -> None:
        self._reconnected.set()
        self._lost("reconnect", self._continuity.last)

    def _lost(self, why: str, sequence: int) -> None:
        self._meters.rejoin(why)
        # A replica that answers the first reading may lag behind the one that sent the facts.
        self._settle = True
        _log.warning("feed_rejoins", why=why, sequence=sequence, viewers=self._hub.count)
        self._hub.rejoin()

    async def _look(self) -> None:
        stored = await self._open_history().last_sequence()
        if self._settle:
            self._settle = False
            self._hub.rejoin()
        if self._continuity.behind(stored):
            self._lost("behind", stored)

    async def _verify(self) -> None:
        seen = self._continuity.last
        history = self._open_history()
        epoch = await history.epoch()
        stored = await history.last_sequence()
        if epoch == self._hub.epoch and stored >= seen:
            return
        _log.warning("journal_changed", epoch=epoch, stored=stored, seen=seen)
        self._continuity = Continuity()
        self._continuity.open(stored)
        self._hub.change(epoch)
