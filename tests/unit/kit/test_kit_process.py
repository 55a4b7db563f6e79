"""The process: does a service come up and go down in order, whatever fails?"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError
from segue_shared.http import ASGIApp, Message, Receive, Send
from segue_shared.observer import UNOBSERVED, Observer
from segue_shared.process import Process
from segue_shared.runtime import Plan, Requires, Runtime, State, Vocabulary
from segue_shared.settings import ServiceSettings

EXISTS = b'{"config":{}}'
MISSING = b'{"error":{"code":404,"description":"stream not found"}}'


class FakeBus(Bus):
    """A bus that is always there and has what it is told to have."""

    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self.journal = journal
        self.has: set[str] = set()
        self.asked = asyncio.Event()
        self.published: list[tuple[str, bytes]] = []

    @property
    def connected(self) -> bool:
        return True

    async def request(self, subject: str, data: bytes, *, timeout_s: float = 5) -> bytes:
        self.asked.set()
        if "down" in self.has:
            raise BusUnavailableError(subject)
        return EXISTS if subject.removeprefix("$JS.API.") in self.has else MISSING

    async def publish(self, subject: str, data: bytes, *, headers: object = None) -> None:
        self.published.append((subject, data))

    async def drain(self) -> None:
        self.journal.append("bus drained")


class FakeService:
    """A service that writes down what happens to it."""

    def __init__(self, runtime: Runtime, journal: list[str]) -> None:
        self.runtime = runtime
        self.journal = journal
        self.on_start: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self.stuck = False
        self.lingers = False

    async def start(self) -> None:
        self.journal.append("started")
        self.on_start()

    async def stop(self) -> None:
        self.journal.append("stopped")
        self.on_stop()
        if self.lingers:
            await until(lambda: not self.runtime.tasks.running)
        if self.stuck:
            await asyncio.Event().wait()

    async def page(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer any request."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})


class Stage:
    """A process with fakes around it."""

    def __init__(self, ready_file: Path) -> None:
        self.journal: list[str] = []
        self.bus = FakeBus(self.journal)
        self.stop = asyncio.Event()
        self.connects = asyncio.Event()
        self.connects.set()
        self.service: FakeService | None = None
        self.prepare: Callable[[FakeService], None] = lambda _: None
        self.ready_file = ready_file
        self.asgi: Callable[[FakeService], ASGIApp] | None = None
        self.requires = Requires()
        self.drain_s = 5.0
        self.port = 0
        self.process: Process[ServiceSettings, FakeService] | None = None
        self.observer: Observer = UNOBSERVED

    def build(self, settings: ServiceSettings, runtime: Runtime) -> FakeService:
        """Make the service."""
        self.journal.append("built")
        self.service = FakeService(runtime, self.journal)
        self.prepare(self.service)
        return self.service

    async def connect(self, name: str, settings: ServiceSettings, observer: Observer) -> Bus:
        """Connect when told to."""
        self.observer = observer
        await self.connects.wait()
        self.journal.append(f"{name} connected")
        return self.bus

    def make(self) -> Process[ServiceSettings, FakeService]:
        """Make the process."""
        settings = ServiceSettings(
            ready_file=self.ready_file,
            instance="agents-1",
            drain_s=self.drain_s,
            http_port=self.port,
        )
        plan = Plan(
            name="agents",
            settings=settings,
            build=self.build,
            requires=self.requires,
            asgi=self.asgi,
            vocabulary=Vocabulary(state_event=state_event),
        )
        self.process = Process(plan, connect=self.connect)
        return self.process

    async def answer(self, path: str) -> httpx.Response:
        """Ask the process's own server."""
        assert self.process is not None
        async with httpx.AsyncClient(base_url=self.process.http.url) as client:
            return await client.get(path)


def state_event(
    *, service: str, instance: str, state: State, namespace: str, time: str
) -> tuple[str, bytes]:
    """Make an event of a service's state."""
    return f"{namespace}.{service}.{instance}", state.encode()


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    """A process with fakes around it, not yet running."""
    return Stage(tmp_path / "ready.json")


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator["asyncio.Task[int]"]:
    """Run the process beside a block, and end it with the block."""
    process = stage.make()
    task = asyncio.create_task(process.serve(stage.stop))
    try:
        async with asyncio.timeout(20):
            yield task
            stage.stop.set()
            await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Let the process work until something holds; the block around it has a deadline."""
    while not condition():  # noqa: ASYNC110 - files and ports tell of themselves to nobody
        await asyncio.sleep(0.005)


async def test_a_service_comes_up_and_goes_down_in_order(stage: Stage) -> None:
    """Connect, build, start; then stop, and the bus last."""
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        stage.stop.set()

        assert await process == 0

    assert stage.journal == ["agents connected", "built", "started", "stopped", "bus drained"]


async def test_probes_answer_before_there_is_a_broker(stage: Stage) -> None:
    """A process that waits for the broker is alive, and says what it waits for."""
    stage.connects.clear()
    async with running(stage):
        assert stage.process is not None
        await until(lambda: stage.process is not None and stage.process.http.port > 0)

        assert (await stage.answer("/livez")).status_code == 200
        ready = await stage.answer("/readyz")

    assert ready.status_code == 503
    assert ready.json()["problems"]["phase"] == "connecting to the broker"


async def test_what_the_bus_does_shows_in_the_metrics_of_its_process(stage: Stage) -> None:
    """The connection is made with the process's own metrics as its observer."""
    async with running(stage):
        await until(stage.ready_file.exists)
        stage.observer.published("any", "refused")

        shown = (await stage.answer("/metrics")).text

    assert 'segue_published_total{result="refused",subject="<any>"} 1.0' in shown


async def test_a_process_that_waits_for_the_broker_stops_when_told(stage: Stage) -> None:
    """Nothing was built, so there is nothing to stop."""
    stage.connects.clear()
    async with running(stage) as process:
        stage.stop.set()

        assert await process == 0

    assert stage.journal == []


async def test_a_ready_process_says_where_it_is(stage: Stage) -> None:
    """The ready file tells service, process and address, and is gone afterwards."""
    async with running(stage):
        await until(stage.ready_file.exists)
        told = json.loads(stage.ready_file.read_text())

        assert stage.process is not None
        assert told == {"service": "agents", "pid": os.getpid(), "url": stage.process.http.url}
        assert (await stage.answer("/readyz")).status_code == 200

    assert not stage.ready_file.exists()


async def test_a_process_waits_for_what_the_broker_lacks(stage: Stage) -> None:
    """Ready tells what is missing, of whatever kind, until it is there."""
    stage.requires = Requires(
        streams=("RUNS",), buckets=("AGENTS",), object_buckets=("P",), consumers=("RUNS.pool_x",)
    )
    stage.bus.has = {"STREAM.INFO.RUNS"}
    async with running(stage):
        await stage.bus.asked.wait()
        problem = ""
        while "lacks" not in problem:
            problem = (await stage.answer("/readyz")).json()["problems"]["phase"]

        assert "bucket AGENTS, object bucket P, consumer RUNS.pool_x" in problem
        assert "stream RUNS" not in problem
        assert stage.journal == ["agents connected"]

        stage.bus.has |= {
            "STREAM.INFO.KV_AGENTS",
            "STREAM.INFO.OBJ_P",
            "CONSUMER.INFO.RUNS.pool_x",
        }
        await until(stage.ready_file.exists)

    assert "started" in stage.journal


async def test_a_broker_without_jetstream_is_waited_for(stage: Stage) -> None:
    """It may come up later than its port."""
    stage.requires = Requires(streams=("RUNS",))
    stage.bus.has = {"down"}
    async with running(stage):
        await stage.bus.asked.wait()
        stage.bus.has = {"STREAM.INFO.RUNS"}
        await until(stage.ready_file.exists)


async def test_a_stopping_process_is_not_ready(stage: Stage) -> None:
    """While it drains, no new work is sent to it."""
    ready: list[dict[str, str]] = []
    stage.prepare = lambda service: setattr(
        service, "on_stop", lambda: ready.append(service.runtime.health.ready())
    )
    async with running(stage):
        await until(stage.ready_file.exists)

    assert ready == [{"phase": "stopping"}]


async def test_the_bus_hears_when_a_service_is_ready_and_when_it_drains(stage: Stage) -> None:
    """One event each."""
    async with running(stage):
        await until(stage.ready_file.exists)

    subject = "default.agents.agents-1"
    assert stage.bus.published == [(subject, b"ready"), (subject, b"draining")]


async def test_a_failed_start_ends_the_process_with_1(stage: Stage) -> None:
    """What came up goes down again, the half-started service too."""

    def fail() -> None:
        raise ZeroDivisionError

    stage.prepare = lambda service: setattr(service, "on_start", fail)
    async with running(stage) as process:
        assert await process == 1

    assert stage.journal == ["agents connected", "built", "started", "stopped", "bus drained"]


async def test_a_port_in_use_ends_the_process_with_1(stage: Stage) -> None:
    """Before anything else is touched."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    stage.port = server.sockets[0].getsockname()[1]
    async with server, running(stage) as process:
        assert await process == 1

    assert stage.journal == []


async def fail_when(event: asyncio.Event) -> None:
    """Fail once an event is set."""
    await event.wait()
    raise ZeroDivisionError


async def return_when(event: asyncio.Event) -> None:
    """Return once an event is set."""
    await event.wait()


@pytest.mark.parametrize("end", [fail_when, return_when])
async def test_the_unexpected_end_of_a_loop_ends_the_process_with_1(
    stage: Stage, end: Callable[[asyncio.Event], "AsyncIterator[None]"]
) -> None:
    """It stops in order, not alive any more, and its supervisor restarts it."""
    over, live = asyncio.Event(), list[dict[str, str]]()

    def prepare(service: FakeService) -> None:
        service.on_start = lambda: void(service.runtime.spawn(end(over), name="shards"))  # type: ignore[arg-type] # both are coroutines
        service.on_stop = lambda: live.append(service.runtime.health.live())

    stage.prepare = prepare
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        over.set()

        assert await process == 1

    assert "shards" in live[0]["tasks"]
    assert stage.journal[-2:] == ["stopped", "bus drained"]


def void(_: object) -> None:
    """Drop a result."""


async def test_a_task_that_may_end_does_no_harm_when_it_does(stage: Stage) -> None:
    """Only loops are endless."""
    over = asyncio.Event()

    def prepare(service: FakeService) -> None:
        work = return_when(over)
        service.on_start = lambda: void(service.runtime.spawn(work, name="register", endless=False))

    stage.prepare = prepare
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        over.set()
        assert (await stage.answer("/livez")).status_code == 200
        stage.stop.set()

        assert await process == 0


async def test_a_loop_that_still_runs_is_cancelled_when_the_process_stops(stage: Stage) -> None:
    """A cancelled loop is no failure."""
    stage.prepare = lambda service: setattr(
        service,
        "on_start",
        lambda: service.runtime.spawn(return_when(asyncio.Event()), name="shards"),
    )
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        stage.stop.set()

        assert await process == 0


async def test_a_loop_may_return_once_the_process_stops(stage: Stage) -> None:
    """That is how a service ends its own loops."""
    over = asyncio.Event()

    def prepare(service: FakeService) -> None:
        service.on_start = lambda: void(service.runtime.spawn(return_when(over), name="shards"))
        service.on_stop = over.set
        service.lingers = True

    stage.prepare = prepare
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        stage.stop.set()

        assert await process == 0


async def test_a_service_that_cannot_stop_ends_the_process_with_1(stage: Stage) -> None:
    """The rest goes down all the same."""

    def fail() -> None:
        raise ZeroDivisionError

    stage.prepare = lambda service: setattr(service, "on_stop", fail)
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        stage.stop.set()

        assert await process == 1

    assert stage.journal[-1] == "bus drained"


async def test_a_service_that_never_stops_is_left_behind(stage: Stage) -> None:
    """The drain has an end."""
    stage.drain_s = 0.01
    stage.prepare = lambda service: setattr(service, "stuck", True)
    async with running(stage) as process:
        await until(stage.ready_file.exists)
        stage.stop.set()

        assert await process == 0

    assert stage.journal[-1] == "bus drained"


async def test_pages_are_served_once_the_service_runs(stage: Stage) -> None:
    """Beside health, on the same port."""
    stage.asgi = lambda service: service.page
    async with running(stage):
        await until(stage.ready_file.exists)

        assert (await stage.answer("/anything")).text == "page"
        assert (await stage.answer("/livez")).json() == {"status": "ok"}
