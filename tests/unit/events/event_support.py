"""Support: a journal, a bus and a viewer in memory, for tests of the events service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from nats.aio.msg import Msg

from segue_contracts.envelope import encode
from segue_contracts.v1 import subjects
from segue_contracts.v1.deltas import Heartbeat, StepDelta
from segue_contracts.v1.events import frame, make_event
from segue_contracts.v1.runs import RunEnded, RunStarted, SignalReceived
from segue_events.app import Events, build
from segue_events.settings import Settings
from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, SegueError
from segue_shared.health import Health
from segue_shared.journal import StoredMessage
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_testing.fakes import FakeClock, FakeIds

RUN = "run00000000000000000000001"
OTHER_RUN = "run00000000000000000000002"
EPOCH = "e1"
AT = "2026-05-04T10:00:00.000Z"
PATIENCE_S = 5.0
HEARTBEAT_S = 15

Body = RunStarted | RunEnded | SignalReceived


def started() -> RunStarted:
    """A run's first event."""
    return RunStarted(workflow="review", definition="d" * 64)


def ended() -> RunEnded:
    """A run's last event."""
    return RunEnded(status="completed")


class FakeJournal:
    """A stream in memory; it publishes nothing."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        self.epoch_text = EPOCH
        self.first = 1
        self.error: SegueError | None = None
        self.lagging = 0
        """How many of the newest messages reads do not see yet."""
        self.reads = 0
        self.gate: asyncio.Event | None = None
        """Holds back answers to `after` until it is set."""

    def store(self, event: str, body: Body, *, run: str = RUN, pretty: bool = False) -> int:
        """Append an event and return its sequence."""
        subject = subjects.run_event("default", run, event)
        data = frame(body, subject=subject, source="segue/tests", about=run, time=AT)
        if pretty:
            data = data.replace(b'","', b'",\r\n"')
        return self.store_raw(subject, data)

    def store_raw(self, subject: str, data: bytes) -> int:
        """Append bytes and return their sequence."""
        sequence = self.newest + 1
        self.messages.append(StoredMessage(subject, sequence, 0, data))
        return sequence

    @property
    def newest(self) -> int:
        """The last sequence."""
        return self.messages[-1].sequence if self.messages else self.first - 1

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return all that fits; subjects are unique here."""
        return self._fitting(patterns[0], 0)

    async def after(self, pattern: str, sequence: int, *, limit: int = 1000) -> list[StoredMessage]:
        """Return what fits after a sequence, as it is when asked."""
        page = self._fitting(pattern, sequence)[:limit]
        if self.gate is not None:
            await self.gate.wait()
        return page

    async def epoch(self) -> str:
        """Return the journal's identity."""
        self._fail()
        return self.epoch_text

    async def first_sequence(self) -> int:
        """Return the oldest sequence."""
        self._fail()
        return self.first

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        self._fail()
        return self.newest

    def _fitting(self, pattern: str, sequence: int) -> list[StoredMessage]:
        self._fail()
        self.reads += 1
        seen = self.messages[: len(self.messages) - self.lagging]
        prefix = pattern.removesuffix(">")
        return [m for m in seen if m.subject.startswith(prefix) and m.sequence > sequence]

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class _Subscription:
    async def unsubscribe(self) -> None:
        """Do nothing: the fake stops delivering with the test."""


class FakeBus:
    """Plain messages in memory."""

    def __init__(self) -> None:
        self.connected = True
        self.handlers: dict[str, Callable[[Msg], Awaitable[None]]] = {}
        self.callbacks: list[Callable[[], None]] = []

    async def subscribe(
        self, subject: str, handler: Callable[[Msg], Awaitable[None]]
    ) -> _Subscription:
        """Remember a handler."""
        assert subject not in self.handlers
        self.handlers[subject] = handler
        return _Subscription()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Remember a callback."""
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    async def send_fact(self, message: StoredMessage, sequence: int | None = None) -> None:
        """Republish a stored message as the broker does."""
        headers = {"Nats-Sequence": str(sequence or message.sequence), "Nats-Last-Sequence": "0"}
        await self._send(subjects.facts(), subjects.fact_of(message.subject), message.data, headers)

    async def send_raw_fact(self, subject: str, data: bytes) -> None:
        """Publish on a fact subject without being the broker."""
        await self._send(subjects.facts(), subject, data, None)

    async def send_delta(self, data: bytes, *, run: str = RUN) -> None:
        """Publish a delta."""
        await self._send(subjects.deltas(), subjects.delta("default", run, "scan"), data, None)

    async def _send(
        self, pattern: str, subject: str, data: bytes, headers: dict[str, str] | None
    ) -> None:
        message = Msg(_client=cast("Any", None), subject=subject, data=data, headers=headers)
        await self.handlers[pattern](message)

    def reconnect(self) -> None:
        """Tell that the connection was lost and is back."""
        for callback in self.callbacks:
            callback()


class SseEvent(NamedTuple):
    """One server-sent event as a viewer's parser reads it."""

    event: str
    id: str
    data: str


class Watcher:
    """A viewer: sends one request to the ASGI application and reads the answer."""

    def __init__(self, service: Events, path: str, headers: dict[str, str], method: str) -> None:
        path, _, query = path.partition("?")
        self._scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self._gone = asyncio.Event()
        self._asked = False
        self._news = asyncio.Event()
        self.blocked: asyncio.Event | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.task = asyncio.create_task(service.asgi(self._scope, self._receive, self._send))

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message["body"]
        self._news.set()

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()

    @property
    def events(self) -> list[SseEvent]:
        """Every whole event so far."""
        blocks = self.body.decode().split("\n\n")[:-1]
        return [_parsed(block) for block in blocks if not block.startswith((":", "retry:"))]

    @property
    def ids(self) -> list[str]:
        """The cursors of durable events so far."""
        return [event.id for event in self.events if event.id]

    async def until(self, count: int) -> list[SseEvent]:
        """Wait until there are so many events, and return them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events) < count:
                self._news.clear()
                await self._news.wait()
        return self.events

    async def until_body(self, part: bytes) -> None:
        """Wait until the body has a part."""
        async with asyncio.timeout(PATIENCE_S):
            while part not in self.body:
                self._news.clear()
                await self._news.wait()

    async def done(self) -> "Watcher":
        """Wait until the response is complete."""
        async with asyncio.timeout(PATIENCE_S):
            await self.task
        return self


def _parsed(block: str) -> SseEvent:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    return SseEvent(fields.get("event", "message"), fields.get("id", ""), fields.get("data", ""))


class Stage:
    """The service on fakes."""

    def __init__(self, **settings: Any) -> None:
        self.journal = FakeJournal()
        self.bus = FakeBus()
        self.clock = FakeClock()
        self.metrics = Metrics("events")
        self.health = Health()
        values = Settings(**settings)
        runtime = Runtime(
            settings=values,
            bus=cast("Bus", self.bus),
            clock=self.clock,
            ids=FakeIds(),
            metrics=self.metrics,
            health=self.health,
        )
        self.runtime = runtime
        self.service = build(values, runtime, lambda: self.journal)

    async def tell(self, event: str, body: Body, *, run: str = RUN) -> int:
        """Store an event and republish it."""
        sequence = self.journal.store(event, body, run=run)
        await self.bus.send_fact(self.journal.messages[-1])
        return sequence

    def watch(self, query: str = "", *, run: str = RUN, **headers: str) -> Watcher:
        """Open a stream."""
        return self.request(f"/v1/runs/{run}/stream{query}", **headers)

    def request(self, path: str, *, method: str = "GET", **headers: str) -> Watcher:
        """Send any request; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Watcher(self.service, path, named, method)

    async def joined(self, watcher: Watcher, count: int = 1) -> Watcher:
        """Wait until a viewer has read its history of so many events and waits for more."""
        await watcher.until(count)
        await settle()
        return watcher

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


UNAVAILABLE = BusUnavailableError("the broker is not reachable")


def a_delta(number: int = 0) -> bytes:
    """A framed delta."""
    delta = StepDelta(run=RUN, step="scan", delta=Heartbeat(request="r", seq=number))
    event = make_event(delta, id=str(number), source="segue/tests", subject=RUN, time="t")
    return encode(event)


def signal(name: str = "go") -> SignalReceived:
    """An event in the middle of a run."""
    return SignalReceived(name=name)


def cursors(*sequences: int) -> list[str]:
    """The cursors of some sequences."""
    return [f"{EPOCH}-{sequence}" for sequence in sequences]


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Run the service; its journal holds the start of one run."""
    stage = Stage(**settings)
    stage.journal.store("started", started())
    await stage.service.start()
    try:
        yield stage
    finally:
        await stage.service.stop()
        await stage.runtime.tasks.close()


async def live(stage: Stage, query: str = "", **headers: str) -> Watcher:
    """A viewer who has read the history and waits."""
    return await stage.joined(stage.watch(query, **headers))


async def beat(stage: Stage) -> None:
    """Let one heartbeat pass."""
    await settle()
    await stage.clock.advance(HEARTBEAT_S)
    await settle()
