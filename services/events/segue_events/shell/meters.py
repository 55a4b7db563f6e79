"""Meters: what does the service count?"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from segue_events.shell.viewer import Viewer


class Meters:
    """The service's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.viewers: Final = Gauge("segue_viewers", "Streams open now.", registry=registry)
        self._endings: Final = Counter(
            "segue_streams_ended_total", "Streams that are over.", ["why"], registry=registry
        )
        self._dropped: Final = Counter(
            "segue_deltas_dropped_total", "Deltas that gave way.", registry=registry
        )
        self._rejoins: Final = Counter(
            "segue_feed_rejoins_total",
            "Times that viewers read the journal again.",
            ["why"],
            registry=registry,
        )

    def joined(self) -> None:
        """Count a viewer who came."""
        self.viewers.inc()

    def left(self, viewer: Viewer) -> None:
        """Count a viewer who has gone, and what it did not get."""
        self.viewers.dec()
        self._endings.labels(viewer.ending or "failed").inc()
        self._dropped.inc(viewer.backlog.dropped)

    def rejoin(self, why: str) -> None:
        """Count a loss that is read from the journal instead."""
        self._rejoins.labels(why).inc()
