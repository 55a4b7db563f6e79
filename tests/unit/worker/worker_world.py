"""A world for workers: a journal in memory, and work that does as a test says."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from segue_contracts.envelope import Event, Message, decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_contracts.v1.values import Failure
from segue_shared.bus import Bus, Stored
from segue_shared.delivery import Delivery
from segue_shared.health import Health
from segue_shared.journal import StoredMessage
from segue_shared.metrics import Metrics
from segue_shared.pull import Verdict
from segue_shared.runtime import Runtime
from segue_shared.settings import ServiceSettings
from segue_testing.fakes import FakeClock, FakeIds
from segue_worker.cancellations import Cancellations
from segue_worker.ports import Superseded
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket
from segue_worker.worker import Worker

T = TypeVar("T")

RUN = "run00000000000000000000001"
AT = "2026-05-04T10:00:00.000Z"
PREFIX = subjects.run_prefix("default", RUN)
TASK = subjects.scheduled(PREFIX, "scan", 1, pool="agents", priority="p2")
STARTED = subjects.step_started(PREFIX, "scan", 1)
COMPLETED = subjects.outcome(PREFIX, "scan", 1, "completed")
ENDED = subjects.run_event("default", RUN, "ended")
CANCEL_REQUESTED = subjects.run_event("default", RUN, "cancel_requested")
TERMINATE_REQUESTED = subjects.run_event("default", RUN, "terminate_requested")
UNDO = subjects.scheduled(PREFIX, "scan~undo", 1, pool="agents", priority="p2")

Doing = Callable[[Ticket], Awaitable[Message | Superseded]]


class FakeBus:
    """A journal that honours guards, and answers to calls by script."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.plain: list[tuple[str, bytes]] = []
        self.reads: list[tuple[str, ...]] = []
        self.calls: list[tuple[str, object]] = []
        self.answers: list[object] = []
        self.on_create: Callable[[str], None] = lambda _subject: None
        self.on_created: Callable[[str], None] = lambda _subject: None
        self.on_read: Callable[[tuple[str, ...]], None] = lambda _patterns: None
        self.on_publish: Exception | None = None
        self.forgetful: set[str] = set()

    async def create(self, subject: str, data: bytes, *, guard: str = "") -> Stored:
        """Store unless the guard is taken; a forgetful subject stores and denies it."""
        self.on_create(subject)
        if any(matches(guard or subject, taken) for taken in self.stored):
            return Stored(0, created=False)
        self.stored[subject] = data
        self.on_created(subject)
        return Stored(len(self.stored), created=subject not in self.forgetful)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Remember a plain message."""
        if self.on_publish is not None:
            raise self.on_publish
        self.plain.append((subject, data))

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Give the next answer, or raise it."""
        self.calls.append((subject, request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("T", answer)

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return what is stored under the patterns."""
        self.reads.append(tuple(patterns))
        self.on_read(tuple(patterns))
        return [
            StoredMessage(subject, number, 0, data)
            for number, (subject, data) in enumerate(self.stored.items(), 1)
            if any(matches(pattern, subject) for pattern in patterns)
        ]

    async def newest(self, subject: str) -> StoredMessage | None:
        """Return what was stored last of all that fit."""
        return next(reversed(await self.last([subject])), None)

    def put(self, subject: str, body: Message) -> None:
        """Store an event as somebody else."""
        self.stored[subject] = frame(body, subject=subject, source="test", about=RUN, time=AT)

    def event(self, subject: str) -> Event:
        """Return a stored event's frame."""
        return decode_event(self.stored[subject])

    def body(self, subject: str) -> Message:
        """Return a stored event's body."""
        body = decode(self.event(subject))
        assert body is not None
        return body

    @property
    def outcomes(self) -> list[Message]:
        """All outcomes in the journal."""
        return [self.body(subject) for subject in self.stored if ".outcome." in subject]


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject fits a pattern, as the broker does."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(
        one in {"*", other} for one, other in zip(wanted, given, strict=True)
    )


async def at_once(ticket: Ticket) -> Message:
    """Complete the step."""
    return StepCompleted(worker=ticket.worker)


class FakeWork:
    """Does as a test says, and says of errors what they are."""

    def __init__(self, doing: Doing) -> None:
        self._doing = doing
        self.tickets: list[Ticket] = []

    async def outcome(self, ticket: Ticket) -> Message | Superseded:
        """Do it."""
        self.tickets.append(ticket)
        return await self._doing(ticket)

    def failure(self, error: Exception) -> Failure:
        """Return a failure with the error's name."""
        return Failure(code="broken", message=type(error).__name__)


class WorkerWorld:
    """A worker on fakes."""

    def __init__(self, doing: Doing = at_once, *, check_s: float = 10) -> None:
        self.bus = FakeBus()
        self.clock = FakeClock()
        self.health = Health()
        self.work = FakeWork(doing)
        self.cancellations = Cancellations()
        ids = FakeIds()
        self.runtime = Runtime(
            settings=ServiceSettings(instance="here", ack_wait_s=20),
            bus=cast("Bus", self.bus),
            clock=self.clock,
            ids=ids,
            metrics=Metrics("test"),
            health=self.health,
        )
        self.publisher = Publisher(self.bus, clock=self.clock, ids=ids, source="segue/test")
        self.worker = Worker(
            self.work,
            runtime=self.runtime,
            publisher=self.publisher,
            journal=self.bus,
            cancellations=self.cancellations,
            check_s=check_s,
        )

    async def handle(
        self, *, subject: str = TASK, delivered: int = 1, age_ms: int = 0, **task: Any
    ) -> Verdict:
        """Hand a task to the worker."""
        time_ms = self.clock.now_ms() - age_ms
        return await self.worker.handle(
            Delivery(subject, a_task(**task), 7, time_ms, delivered, "$JS.ACK", {})
        )


def a_task(**fields: Any) -> bytes:
    """Return a framed task."""
    body = StepScheduled(
        run=RUN,
        namespace="default",
        workflow="review",
        step="scan",
        attempt=1,
        pool="agents",
        kind="agent",
        **fields,
    )
    source, about = "segue/orchestrator", f"{RUN}/scan"
    return frame(body, subject=TASK, source=source, about=about, time=AT, startseq=3)
