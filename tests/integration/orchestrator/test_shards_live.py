"""Shards on a real broker: do runs go on while orchestrators and shard consumers change?"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from support.wait import until
from support.worker import worker

from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_contracts.v1.topology import MEMBERS, RUNS, shard_layout, topology
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_testing.broker import Broker
from segue_testing.services import serving

RUN_COUNT = 100
PATIENCE_S = 60.0


@asynccontextmanager
async def orchestrator(broker: Broker, instance: str) -> AsyncIterator[None]:
    """Run an orchestrator in this process for the length of a block."""
    settings = Settings(nats_url=broker.url, instance=instance, ack_wait_s=2, drain_s=2)
    async with serving(NAME, settings, build, requires=REQUIRES):
        yield


@asynccontextmanager
async def process(broker: Broker, instance: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an orchestrator as a process of its own for the length of a block."""
    environment = {**os.environ, "SEGUE_NATS_URL": broker.url, "SEGUE_INSTANCE": instance}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "segue_orchestrator",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        await child.wait()


async def shards(bus: Bus) -> set[str]:
    """Return the names of all shard consumers that exist."""
    found = await bus.client.jetstream().consumers_info(RUNS)
    return {consumer.name for consumer in found if shard_layout().owns(consumer.name)}


def members_are(bus: Bus, *instances: str) -> Callable[[], Awaitable[bool]]:
    """Return a question: are these the live orchestrators?"""
    keys = KeyValue(bus, MEMBERS)

    async def ask() -> bool:
        return {*await keys.entries(NAME)} == {f"{NAME}.{instance}" for instance in instances}

    return ask


async def start(bus: Bus, pool: str) -> str:
    """Start a run of two steps, one after the other."""
    text = (
        f"{{name: w, steps: [{{key: a, pool: {pool}}}, {{key: b, pool: {pool}, dependsOn: [a]}}]}}"
    )
    command = registry.START_RUN
    subject = subjects.command("default", command.service, command.verb)
    request = StartRun(text=text, key=SystemIds().unique())

    async def ask() -> RunAccepted | None:
        try:
            return await bus.call(subject, request, RunAccepted)
        except TransientError:
            return None

    accepted = await until(ask, patience_s=PATIENCE_S)
    assert accepted is not None
    return accepted.run


async def all_ended(bus: Bus, runs: list[str]) -> None:
    """Wait until every run has ended."""
    left = [subjects.run_event("default", run, "ended") for run in runs]

    async def ask() -> bool:
        left[:] = {*left} - {message.subject for message in await Journal(bus, RUNS).last(left)}
        return not left

    await until(ask, patience_s=PATIENCE_S)


async def stories(bus: Bus, runs: list[str]) -> set[tuple[str, ...]]:
    """Return the different sequences of events that runs went through, timers left out."""
    told = set()
    for run in runs:
        messages = await Journal(bus, RUNS).last([subjects.run_all("default", run)])
        events = [subjects.parse_run(message.subject).event for message in messages]
        kept = (event[:4] if "scheduled" in event else event for event in events)
        told.add(tuple(".".join(event) for event in kept if event[0] != "timer"))
    return told


STORY = (
    "started",
    "step.a.1.scheduled",
    "step.a.1.outcome.completed",
    "step.b.1.scheduled",
    "step.b.1.outcome.completed",
    "ended",
)


async def echo(task: StepScheduled) -> StepCompleted:
    """Complete a task with what it was given."""
    return StepCompleted(output=task.input)


@pytest.fixture
async def live(fresh_broker: Broker) -> AsyncIterator[Bus]:
    """A connection to a broker of this test alone, with Segue's topology."""
    connection = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(connection, topology())
    yield connection
    await connection.close()


async def in_flight(bus: Bus, pool: str, count: int = RUN_COUNT) -> list[str]:
    """Start runs together."""
    return list(await asyncio.gather(*(start(bus, pool) for _ in range(count))))


async def test_one_orchestrator_goes_on_with_what_a_stopped_one_read(
    live: Bus, fresh_broker: Broker
) -> None:
    """Both have a share; after an orderly stop the other has all of it, and every run ends."""
    async with orchestrator(fresh_broker, "stays"), worker(live, "noop", echo):
        async with orchestrator(fresh_broker, "goes"):
            await until(members_are(live, "goes", "stays"))
            runs = await in_flight(live, "noop")
        await until(members_are(live, "stays"))
        runs += await in_flight(live, "noop", 16)
        await all_ended(live, runs)
        told = await stories(live, runs)

    assert told == {STORY}


async def test_one_orchestrator_goes_on_with_what_a_killed_one_read(
    live: Bus, fresh_broker: Broker
) -> None:
    """After a SIGKILL, runs of every shard go on elsewhere."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(process(fresh_broker, "stays"))
        dies = await stack.enter_async_context(process(fresh_broker, "dies"))
        await stack.enter_async_context(worker(live, "noop", echo))
        await until(members_are(live, "dies", "stays"))
        runs = await in_flight(live, "noop")
        dies.kill()
        runs += await in_flight(live, "noop")
        await all_ended(live, runs)
        told = await stories(live, runs)

    assert told == {STORY}


async def test_changing_the_number_of_shard_consumers_loses_nothing(
    live: Bus, fresh_broker: Broker
) -> None:
    """Under load, from 4 to 8 to 32: every run ends, and only the last consumers are left."""
    going, runs = asyncio.Event(), list[str]()

    async def load() -> None:
        while not going.is_set():
            runs.extend(await in_flight(live, "noop", 25))

    async with (
        orchestrator(fresh_broker, "one"),
        orchestrator(fresh_broker, "other"),
        worker(live, "noop", echo),
    ):
        await until(members_are(live, "one", "other"))
        runs += await in_flight(live, "noop")
        loading = asyncio.create_task(load())
        for count in (8, 32):
            await apply(live, topology(count))
        going.set()
        await loading
        await all_ended(live, runs)
        told = await stories(live, runs)
        left = await shards(live)

    assert told == {STORY}
    assert left == {consumer.name for consumer in shard_layout().consumers(32)}
