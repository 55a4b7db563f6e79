"""Metrics: what does a service count, and how is it shown to Prometheus?

Labels are subject templates, never subjects: a label per run would grow without bound.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from segue_shared.delivery import Delivery
from segue_shared.observer import PublishResult
from segue_shared.series import AllSeries, BatchHandling, Handling, Series


def no_template(_subject: str) -> str:
    """Label every subject alike, for whoever names none."""
    return "<any>"


class Metrics:
    """The metrics of one process, an observer; a service adds its own to `registry`."""

    def __init__(self, service: str, *, template: Callable[[str], str] = no_template) -> None:
        self.service: Final = service
        """The service's name."""
        self.registry: Final = CollectorRegistry()
        """Where a service registers further metrics."""
        self._series = AllSeries(template)
        registry = self.registry
        registry.register(self._series)
        self._dead = Counter(
            "segue_dead_letters_total", "Messages given up.", ["reason"], registry=registry
        )
        self._violations = Counter(
            "segue_permission_violations_total", "Subjects the broker refused.", registry=registry
        )
        ProcessCollector(registry=registry)
        release = {"service": service, "version": version("segue-shared")}
        Info("segue_service", "Which service this is.", registry=registry).info(release)

    def message(self, subject: str, *, delivered: int = 1) -> Handling:
        """Count a message, and time its handling by the length of the block.

        Args:
            subject: Where it was published.
            delivered: How often it has been handed out, this time included.
        """
        series = self._series.of(subject)
        if delivered > 1:
            series.again += 1
        return Handling(series)

    def batch(self, deliveries: Sequence[Delivery]) -> BatchHandling:
        """Count messages that are handled together; each takes as long as the block."""
        series = [self._series.of(delivery.subject) for delivery in deliveries]
        for one, delivery in zip(series, deliveries, strict=True):
            one.again += delivery.delivered > 1
        return BatchHandling(series)

    def published(self, subject: str, result: PublishResult) -> None:
        """Count a publish and what became of it."""
        self._series.of(subject).count(result)

    def series(self, subject: str) -> Series:
        """Return how messages of a subject's kind are counted, for who handles only that kind."""
        return self._series.of(subject)

    def dead_letter(self, reason: str) -> None:
        """Count a message that nobody could handle."""
        self._dead.labels(reason).inc()

    def violation(self) -> None:
        """Count a subject that the broker refused; any thread may call it."""
        self._violations.inc()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics as text and its content type.

        Args:
            accept: The `Accept` header of who asks.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
