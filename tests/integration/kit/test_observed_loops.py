"""Loops in a service: does what they do, and what they lack, show where operators look?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import msgspec
import pytest
from support.wait import until

from segue_contracts.topology import Consumer
from segue_contracts.v1 import subjects
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.topology import PIN_GROUP, RUNS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.ids import SystemIds
from segue_shared.metrics import Metrics
from segue_shared.pinned import PinnedConsumer
from segue_shared.process import Process
from segue_shared.pull import Ack, Dead, Nak, PullLoop, Verdict
from segue_shared.runtime import Runtime, Vocabulary
from segue_shared.settings import ServiceSettings
from segue_testing.broker import Broker
from segue_testing.services import serving

_SILENT = 3


class Worker:
    """A service with a pull loop and nothing else."""

    def __init__(self, runtime: Runtime, consumer: Consumer) -> None:
        self.seen: list[bytes] = []
        self._runtime = runtime
        letters = DeadLetters(runtime.bus, service="tests", clock=runtime.clock, framer=dead_letter)
        self.loop = PullLoop(
            runtime.bus,
            stream=consumer.stream,
            consumer=consumer.name,
            handler=self._handle,
            dead_letters=letters,
            concurrency=4,
            ack_wait_s=consumer.ack_wait_s,
        )
        runtime.health.add("pool", self._problem)

    async def start(self) -> None:
        self._runtime.spawn(self.loop.run(), name="loop")

    async def stop(self) -> None:
        await self.loop.stop(1)

    async def _handle(self, delivery: Delivery) -> Verdict:
        self.seen.append(delivery.data)
        if delivery.data == b"again" and delivery.delivered == 1:
            return Nak()
        return Dead("unwanted", "nobody wants it") if delivery.data == b"dead" else Ack()

    def _problem(self) -> str | None:
        return "no tasks come" if self.loop.silent > _SILENT else None


class Stage:
    """The service on a real broker, and a pool of its own."""

    def __init__(self, bus: Bus, process: Process[ServiceSettings, Worker]) -> None:
        self.bus = bus
        self.process = process
        self.run = SystemIds().run_id(0)
        self.prefix = subjects.run_prefix("default", self.run)
        self.worker: Worker | None = None
        self.sent = 0

    async def dispatch(self, consumer: Consumer, data: bytes) -> None:
        """Dispatch a task."""
        self.sent += 1
        pool = consumer.name.removeprefix("pool_")
        subject = subjects.scheduled(self.prefix, f"s{self.sent}", 1, pool=pool, priority="p2")
        await self.bus.create(subject, data)

    async def page(self, path: str) -> httpx.Response:
        """Ask the service's own server."""
        async with httpx.AsyncClient(base_url=self.process.http.url) as client:
            return await client.get(path)

    async def problems(self) -> dict[str, str]:
        """Return what keeps the service from being ready."""
        found: dict[str, str] = (await self.page("/readyz")).json().get("problems", {})
        return found

    async def has_seen(self, data: bytes, times: int = 1) -> bool:
        """Tell whether the worker was given a task."""
        assert self.worker is not None
        return self.worker.seen.count(data) >= times


@pytest.fixture
async def tasks(bus: Bus) -> Consumer:
    """A fresh durable over the tasks of a pool of this test alone."""
    pool = SystemIds().unique()
    consumer = Consumer(
        stream=RUNS,
        name=f"pool_{pool}",
        filters=(subjects.pool_filter(pool, "*"),),
        deliver_new=True,
    )
    await ensure_consumer(bus, consumer)
    return consumer


@pytest.fixture
async def stage(broker: Broker, bus: Bus, tasks: Consumer) -> AsyncIterator[Stage]:
    """The service, ready."""
    workers: list[Worker] = []

    def build(_settings: ServiceSettings, runtime: Runtime) -> Worker:
        workers.append(Worker(runtime, tasks))
        return workers[-1]

    settings = ServiceSettings(nats_url=broker.url)
    vocabulary = Vocabulary(template=subjects.template)
    async with serving("tests", settings, build, vocabulary=vocabulary) as process:
        stage = Stage(bus, process)

        async def is_ready() -> bool:
            return process.http.port > 0 and await stage.problems() == {}

        await until(is_ready)
        [stage.worker] = workers
        yield stage


async def shown(stage: Stage, holds: Callable[[str], bool]) -> str:
    """Wait until the metrics' page says something, and return it."""

    async def page() -> str:
        text: str = (await stage.page("/metrics")).text
        return text if holds(text) else ""

    return await until(page)


async def test_what_a_loop_does_is_shown_by_template(stage: Stage, tasks: Consumer) -> None:
    """Received, given up, handed out again and in flight; never a run's id."""
    for data in (b"done", b"dead", b"again"):
        await stage.dispatch(tasks, data)
    await until(lambda: stage.has_seen(b"again", 2))
    pool = tasks.name.removeprefix("pool_")
    kind = f'{{subject="segue.v1.<ns>.run.<shard>.<run>.step.<key>.<attempt>.scheduled.{pool}.p2"}}'

    text = await shown(stage, lambda text: f"segue_message_seconds_count{kind} 4.0" in text)

    assert f"segue_messages_received_total{kind} 4.0" in text
    assert f"segue_redelivered_total{kind} 1.0" in text
    assert f"segue_in_flight{kind} 0.0" in text
    assert 'segue_dead_letters_total{reason="unwanted"} 1.0' in text
    letter = 'result="stored",subject="segue.v1.<ns>.dead.tests.unwanted"'
    assert f"segue_published_total{{{letter}}} 1.0" in text
    assert stage.run not in text


async def test_a_loop_whose_consumer_was_deleted_says_so_and_goes_on_once_it_is_back(
    stage: Stage, bus: Bus, tasks: Consumer
) -> None:
    """The service is not ready meanwhile, and needs no restart."""
    await stage.dispatch(tasks, b"before")
    await until(lambda: stage.has_seen(b"before"))
    subject = f"$JS.API.CONSUMER.DELETE.{tasks.stream}.{tasks.name}"
    assert msgspec.json.decode(await bus.request(subject, b""))["success"]

    problems = await until(stage.problems)
    await ensure_consumer(bus, tasks)
    await stage.dispatch(tasks, b"after")
    await until(lambda: stage.has_seen(b"after"))

    assert problems == {"pool": "no tasks come"}
    assert await stage.problems() == {}


async def test_what_the_owner_of_a_shard_does_is_shown_by_template(broker: Broker) -> None:
    """Every message of a batch counts."""
    metrics = Metrics("tests", template=subjects.template)
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10, observer=metrics)
    run = SystemIds().run_id(0)
    prefix = subjects.run_prefix("default", run)
    consumer = Consumer(
        stream=RUNS,
        name=f"orchestrator_{run}",
        filters=(f"{prefix}.>",),
        ack_policy="all",
        max_ack_pending=1000,
        pinned_group=PIN_GROUP,
        pinned_timeout_s=1,
    )
    await ensure_consumer(bus, consumer)
    for number in range(5):
        await bus.create(f"{prefix}.signal.{number}", b"x")

    async def on_batch(_deliveries: list[Delivery]) -> Awaitable[None]:
        return asyncio.sleep(0)

    owner = PinnedConsumer(
        bus,
        stream=RUNS,
        consumer=consumer.name,
        group=PIN_GROUP,
        clock=SystemClock(),
        on_batch=on_batch,
        on_takeover=lambda: None,
    )
    running = asyncio.create_task(owner.run())
    label = {"subject": "segue.v1.<ns>.run.<shard>.<run>.signal"}
    value = metrics.registry.get_sample_value

    async def all_are_handled() -> bool:
        return value("segue_message_seconds_count", label) == 5

    await until(all_are_handled)
    running.cancel()
    await bus.close()

    assert value("segue_messages_received_total", label) == 5
    assert value("segue_in_flight", label) == 0
    assert value("segue_published_total", label | {"result": "stored"}) == 5
    assert run not in metrics.exposition()[0].decode()
