"""The runtime: what does every service get from its process, and what must it be in return?"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from segue_shared.background import BackgroundTasks
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.health import Health
from segue_shared.http import ASGIApp
from segue_shared.ids import Ids
from segue_shared.metrics import Metrics, no_template
from segue_shared.settings import ServiceSettings
from segue_shared.tracing import Tracer

State = Literal["ready", "draining"]


class Service(Protocol):
    """What a process runs."""

    async def start(self) -> None:
        """Begin to take work; may return or hand loops to `Runtime.spawn`."""
        ...

    async def stop(self) -> None:
        """Take nothing new, and finish or give back what runs within `drain_s` seconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a service is built on."""

    settings: ServiceSettings
    """The settings that every service has."""
    bus: Bus
    """The connection to the broker."""
    clock: Clock
    """Time."""
    ids: Ids
    """New names."""
    metrics: Metrics
    """What is counted."""
    health: Health
    """Whether it is well; a service adds its own checks."""
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)
    """The loops that must not end."""
    tracer: Tracer | None = None
    """Who records spans; OpenTelemetry's own when none is named."""

    def spawn(
        self, work: Coroutine[Any, Any, Any], *, name: str, endless: bool = True
    ) -> asyncio.Task[Any]:
        """Run a loop beside everything else; its unexpected end ends the process.

        Args:
            work: What to run; it is cancelled when the process stops.
            name: What it is called in logs and health.
            endless: Whether it is a failure when it returns; errors always are.
        """
        return self.tasks.spawn(work, name=name, endless=endless)


@dataclass(frozen=True, kw_only=True)
class Requires:
    """What the broker must have before a service starts."""

    streams: tuple[str, ...] = ()
    """Names of streams."""
    consumers: tuple[str, ...] = ()
    """Durable consumers as `STREAM.consumer`."""
    buckets: tuple[str, ...] = ()
    """Names of key-value buckets."""
    object_buckets: tuple[str, ...] = ()
    """Names of object buckets."""


class StateEvent(Protocol):
    """Makes the event that tells of a service's state; the contracts provide its form."""

    def __call__(
        self, *, service: str, instance: str, state: State, namespace: str, time: str
    ) -> tuple[str, bytes]:
        """Return the event's subject and its framed body."""
        ...


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What only the contracts know and the kit must be told."""

    template: Callable[[str], str] = no_template
    """Turns a subject into its metric label."""
    state_event: StateEvent | None = None
    """Makes the event that tells of a service's state; none is sent without it."""


S = TypeVar("S", bound=ServiceSettings)
V = TypeVar("V", bound=Service)


@dataclass(frozen=True, kw_only=True)
class Plan(Generic[S, V]):
    """Everything that makes a process one service and not another."""

    name: str
    """The service's name."""
    settings: S
    """Its settings."""
    build: Callable[[S, Runtime], V]
    """Its composition root."""
    requires: Requires = field(default_factory=Requires)
    """What the broker must have."""
    asgi: Callable[[V], ASGIApp] | None = None
    """Returns the application for its pages; none when it has no pages."""
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    """What the contracts tell the kit."""
