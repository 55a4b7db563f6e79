"""The series: how are messages counted by the kind of their subject, at next to no cost?

Every message passes here, so counts are plain numbers which are only turned into metrics when
somebody reads them. They belong to one event loop; no lock guards them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from time import perf_counter
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from segue_shared.observer import PublishResult

_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LABELS: Final = (*(str(float(bound)) for bound in _BOUNDS_S), "+Inf")
_MAX_KINDS: Final = 256
_OTHER: Final = "<other>"


class Series:
    """What was seen of one kind of subject."""

    __slots__ = ("again", "in_flight", "published", "received", "seconds", "spread")

    def __init__(self) -> None:
        self.received = 0
        self.again = 0
        self.in_flight = 0
        self.seconds = 0.0
        self.spread = [0] * len(_LABELS)
        self.published: dict[PublishResult, int] = {}

    def count(self, result: PublishResult) -> None:
        """Count a publish and what became of it."""
        self.published[result] = self.published.get(result, 0) + 1


class Handling:
    """A message that is being handled for the length of a block."""

    __slots__ = ("_began", "_series")

    def __init__(self, series: Series) -> None:
        self._series = series

    def __enter__(self) -> None:
        self._series.received += 1
        self._series.in_flight += 1
        self._began = perf_counter()

    def __exit__(self, *_error: object) -> None:
        seconds = perf_counter() - self._began
        series = self._series
        series.in_flight -= 1
        series.seconds += seconds
        series.spread[bisect_left(_BOUNDS_S, seconds)] += 1


class BatchHandling:
    """Messages that are handled together for the length of a block."""

    __slots__ = ("_all", "_began")

    def __init__(self, series: list[Series]) -> None:
        self._all = series

    def __enter__(self) -> None:
        for series in self._all:
            series.received += 1
            series.in_flight += 1
        self._began = perf_counter()

    def __exit__(self, *_error: object) -> None:
        seconds = perf_counter() - self._began
        place = bisect_left(_BOUNDS_S, seconds)
        for series in self._all:
            series.in_flight -= 1
            series.seconds += seconds
            series.spread[place] += 1


class AllSeries(Collector):
    """The series of a process, one for each kind of subject.

    Args:
        template: Turns a subject into its kind; the kinds are few whatever people publish, since
            beyond a bound all further ones share one series.
    """

    def __init__(self, template: Callable[[str], str]) -> None:
        self._template = template
        self._by_kind: dict[str, Series] = {}

    def of(self, subject: str) -> Series:
        """Return the series that a subject belongs to."""
        kind = self._template(subject)
        return self._by_kind.get(kind) or self._new(kind)

    def _new(self, kind: str) -> Series:
        if len(self._by_kind) >= _MAX_KINDS:
            kind = _OTHER
        return self._by_kind.setdefault(kind, Series())

    def collect(
        self,
    ) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Return everything as metrics."""
        received = CounterMetricFamily(
            "segue_messages_received", "Messages taken.", labels=["subject"]
        )
        again = CounterMetricFamily(
            "segue_redelivered", "Messages handed out again.", labels=["subject"]
        )
        in_flight = GaugeMetricFamily(
            "segue_in_flight", "Messages being handled now.", labels=["subject"]
        )
        seconds = HistogramMetricFamily(
            "segue_message_seconds", "Seconds until a message was handled.", labels=["subject"]
        )
        for kind, series in self._by_kind.items():
            if series.received:
                received.add_metric([kind], series.received)
                again.add_metric([kind], series.again)
                in_flight.add_metric([kind], series.in_flight)
                seconds.add_metric([kind], _buckets(series), series.seconds)
        yield from (received, again, in_flight, seconds, self._published())

    def _published(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "segue_published", "Messages sent.", labels=["subject", "result"]
        )
        for kind, series in self._by_kind.items():
            for result, count in series.published.items():
                family.add_metric([kind, result], count)
        return family


def _buckets(series: Series) -> list[tuple[str, float]]:
    """Return how many messages took at most as long as each bound."""
    return list(zip(_LABELS, map(float, accumulate(series.spread)), strict=True))
