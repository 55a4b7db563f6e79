"""The composition root: how is the events service put together?"""

import asyncio
from typing import Final

import structlog

from segue_contracts.v1 import topology
from segue_events.settings import Settings
from segue_events.shell.endpoint import Endpoint
from segue_events.shell.feed import Feed
from segue_events.shell.hub import Hub
from segue_events.shell.meters import Meters
from segue_events.shell.ports import OpenHistory
from segue_shared.journal import Journal
from segue_shared.runtime import Requires, Runtime

NAME: Final = "events"

REQUIRES: Final = Requires(streams=(topology.RUNS,))

_log = structlog.get_logger()


class Events:
    """The feed, its viewers, and the endpoint they come to."""

    def __init__(self, settings: Settings, runtime: Runtime, history: OpenHistory) -> None:
        self._drain_s = settings.drain_s
        self._runtime = runtime
        meters = Meters(runtime.metrics.registry)
        self._hub = Hub(
            meters, queue_frames=settings.queue_frames, max_viewers=settings.max_viewers
        )
        runtime.health.add("feed", lambda: None if self._hub.epoch else "no feed yet")
        self._feed = Feed(
            bus=runtime.bus,
            hub=self._hub,
            history=history,
            clock=runtime.clock,
            meters=meters,
            heartbeat_s=settings.heartbeat_s,
        )
        self.asgi: Final = Endpoint(
            settings, hub=self._hub, history=history, clock=runtime.clock, ids=runtime.ids
        )
        """The HTTP side."""

    async def start(self) -> None:
        """Listen to the bus; from here on viewers are served."""
        await self._feed.open()
        self._runtime.spawn(self._feed.beat(), name="feed_beat")
        self._runtime.spawn(self._feed.mend(), name="feed_mend")

    async def stop(self) -> None:
        """Say goodbye to all viewers, and stop listening."""
        try:
            async with asyncio.timeout(self._drain_s):
                await self._hub.close()
        except TimeoutError:
            _log.warning("viewers_left_behind", viewers=self._hub.count)
        await self._feed.close()


def build(settings: Settings, runtime: Runtime, history: OpenHistory | None = None) -> Events:
    """Wire the service.

    Args:
        settings: What the operator chose.
        runtime: Bus, clock, ids, metrics and health.
        history: Opens the journal; the bus's own by default.
    """
    return Events(settings, runtime, history or (lambda: Journal(runtime.bus, topology.RUNS)))
