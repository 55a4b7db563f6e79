"""Metrics: what does a service count, and how is it shown to Prometheus?

Labels are subject templates, never subjects: a label per run would grow without bound.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def no_template(_subject: str) -> str:
    """Label every subject alike, for whoever names none."""
    return "<any>"


class Metrics:
    """The metrics of one process; a service adds its own to `registry`."""

    def __init__(self, service: str, *, template: Callable[[str], str] = no_template) -> None:
        self.service: Final = service
        """The service's name."""
        self.registry: Final = CollectorRegistry()
        """Where a service registers further metrics."""
        self._template = template
        registry = self.registry
        self._received = Counter(
            "segue_messages_received_total", "Messages taken.", ["subject"], registry=registry
        )
        self._seconds = Histogram(
            "segue_message_seconds",
            "Seconds until a message was handled.",
            ["subject"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._published = Counter(
            "segue_published_total", "Messages sent.", ["subject", "result"], registry=registry
        )
        self._dead = Counter(
            "segue_dead_letters_total", "Messages given up.", ["reason"], registry=registry
        )
        self._redelivered = Counter(
            "segue_redelivered_total", "Messages handed out again.", registry=registry
        )
        self._in_flight = Gauge("segue_in_flight", "Messages being handled now.", registry=registry)
        self._violations = _Violations()
        registry.register(self._violations)
        ProcessCollector(registry=registry)
        release = {"service": service, "version": version("segue-shared")}
        Info("segue_service", "Which service this is.", registry=registry).info(release)

    @contextmanager
    def message(self, subject: str, *, delivered: int = 1) -> Iterator[None]:
        """Count a message, and time its handling by the length of the block.

        Args:
            subject: Where it was published.
            delivered: How often it has been handed out, this time included.
        """
        label = self._template(subject)
        self._received.labels(label).inc()
        if delivered > 1:
            self._redelivered.inc()
        began = time.perf_counter()
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()
            self._seconds.labels(label).observe(time.perf_counter() - began)

    def published(
        self, subject: str, result: Literal["stored", "exists", "sent", "failed"]
    ) -> None:
        """Count a publish and what became of it."""
        self._published.labels(self._template(subject), result).inc()

    def dead_letter(self, reason: str) -> None:
        """Count a message that nobody could handle."""
        self._dead.labels(reason).inc()

    def count_violations(self, source: Callable[[], int]) -> None:
        """Add a connection's permission violations, read whenever metrics are shown."""
        self._violations.sources.append(source)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics as text and its content type.

        Args:
            accept: The `Accept` header of who asks.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Violations(Collector):
    """Permission violations, which connections count themselves."""

    def __init__(self) -> None:
        self.sources: Final[list[Callable[[], int]]] = []

    def collect(self) -> Iterator[CounterMetricFamily]:
        total = sum(source() for source in self.sources)
        yield CounterMetricFamily(
            "segue_permission_violations", "Subjects the broker refused.", value=total
        )
