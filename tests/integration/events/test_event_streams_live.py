"""Streams over HTTP from a real broker: is every cut and every outage healed?"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from support.wait import until

from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunEnded, RunStarted, SignalReceived
from segue_contracts.v1.topology import RUNS, topology
from segue_events.app import NAME, REQUIRES, Events, build
from segue_events.settings import Settings
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.process import Process
from segue_shared.runtime import Plan
from segue_testing.broker import Broker

PATIENCE_S = 20.0
AT = "2026-05-04T10:00:00.000Z"

Body = RunStarted | RunEnded | SignalReceived


class Run:
    """A run whose events this test publishes itself."""

    def __init__(self, bus: Bus) -> None:
        self.id = SystemIds().run_id(0)
        self._bus = bus

    async def tell(self, event: str, body: Body) -> None:
        """Store one event."""
        subject = subjects.run_event("default", self.id, event)
        data = frame(body, subject=subject, source="segue/tests", about=self.id, time=AT)
        await self._bus.create(subject, data)

    async def start(self) -> None:
        """Store the start."""
        await self.tell("started", RunStarted(workflow="review", definition="d" * 64))

    async def signals(self, first: int, last: int) -> None:
        """Store some events in the middle."""
        for number in range(first, last + 1):
            await self.tell(f"signal.{number}", SignalReceived(name="go"))

    async def end(self) -> None:
        """Store the end."""
        await self.tell("ended", RunEnded(status="completed"))

    async def cursors(self) -> list[str]:
        """Return the cursor of every event, in order, as the journal has them."""
        journal = Journal(self._bus, RUNS)
        stored = await journal.last([subjects.run_all("default", self.id)])
        return [f"{await journal.epoch()}-{message.sequence}" for message in stored]


@asynccontextmanager
async def serving(broker: Broker) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """Run the service in this loop; gives a client of it, and what stops it."""
    settings = Settings(nats_url=broker.url, drain_s=5)
    plan = Plan(
        name=NAME,
        settings=settings,
        build=build,
        requires=REQUIRES,
        asgi=lambda service: service.asgi,
    )
    process, stop = Process(plan), asyncio.Event()
    serve = asyncio.create_task(process.serve(stop))
    await until(lambda: _listens(process))
    async with httpx.AsyncClient(base_url=process.http.url, timeout=PATIENCE_S) as client:
        await until(lambda: _is_ready(client))
        yield client, stop
        stop.set()
        assert await serve == 0


async def _listens(process: Process[Settings, Events]) -> bool:
    return process.http.port != 0


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).is_success


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running events service."""
    async with serving(broker) as (client, _):
        yield client


async def follow(
    client: httpx.AsyncClient, run: str, *, after: str = "", at_most: int | None = None
) -> list[str]:
    """Read a stream until its end, or until so many cursors were read, and return them."""
    ids: list[str] = []
    headers = {"last-event-id": after} if after else {}
    async with client.stream("GET", f"/v1/runs/{run}/stream", headers=headers) as response:
        assert response.status_code == 200
        if at_most == 0:
            return ids
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
            if len(ids) == at_most:
                break
    return ids


async def test_a_run_is_followed_from_its_start_to_its_end(
    bus: Bus, client: httpx.AsyncClient
) -> None:
    """History and live events come once, in journal order, and then the stream ends."""
    run = Run(bus)
    await run.start()
    await run.signals(1, 3)
    following = asyncio.create_task(follow(client, run.id))
    await run.signals(4, 50)
    await run.end()

    assert await following == await run.cursors()


async def test_any_cut_is_healed_by_the_cursor(bus: Bus, client: httpx.AsyncClient) -> None:
    """Wherever a stream breaks, going on from its last event gives no gap and no repetition."""

    async def publish(run: Run) -> None:
        await run.signals(1, 8)
        await run.end()

    for cut in range(11):
        run = Run(bus)
        await run.start()
        publishing = asyncio.create_task(publish(run))
        before = await follow(client, run.id, at_most=cut)
        after = await follow(client, run.id, after=before[-1] if before else "")
        await publishing

        assert len(before) == min(cut, 10)
        assert before + after == await run.cursors()


async def test_many_viewers_see_the_same(bus: Bus, client: httpx.AsyncClient) -> None:
    """Viewers who come at any time end up with the same events."""
    run = Run(bus)
    await run.start()
    viewers = []
    for number in range(1, 31):
        viewers.append(asyncio.create_task(follow(client, run.id)))
        await run.signals(number, number)
    await run.end()

    cursors = await run.cursors()
    assert [await viewer for viewer in viewers] == [cursors] * 30


async def test_a_run_with_thousands_of_events_is_told_whole(
    bus: Bus, client: httpx.AsyncClient
) -> None:
    """A history of several pages has no hole where a page ends."""
    run = Run(bus)
    await run.start()
    following = asyncio.create_task(follow(client, run.id))
    await run.signals(1, 2_500)
    later = asyncio.create_task(follow(client, run.id))
    await run.end()

    cursors = await run.cursors()
    assert await following == cursors
    assert await later == cursors


async def test_deltas_reach_viewers_live(bus: Bus, client: httpx.AsyncClient) -> None:
    """A delta that is published while a viewer watches is passed on as it is."""
    run = Run(bus)
    await run.start()
    delta = (
        b'{"id":"1","source":"s","type":"segue.step.delta.v1","time":"t","data":{},'
        b'"specversion":"1.0"}'
    )
    async with client.stream("GET", f"/v1/runs/{run.id}/stream") as response:
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("id: "):
                break
        await bus.publish(subjects.delta("default", run.id, "scan"), delta)
        async for line in lines:
            if line == "event: segue.step.delta.v1":
                break
        assert await anext(lines) == f"data: {delta.decode()}"


async def test_an_unknown_run_is_a_problem(client: httpx.AsyncClient) -> None:
    """There is no empty stream of a run that does not exist."""
    response = await client.get(f"/v1/runs/{SystemIds().run_id(0)}/stream")

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_a_cursor_of_another_journal_resets_the_viewer(
    bus: Bus, client: httpx.AsyncClient
) -> None:
    """A viewer with another journal's cursor is told to forget, and gets everything."""
    run = Run(bus)
    await run.start()
    await run.end()

    response = await client.get(f"/v1/runs/{run.id}/stream?after=other-7")

    assert 'event: stream.reset\ndata: {"reason":"other_epoch"}' in response.text
    assert response.text.count("\nid: ") == 2


async def test_facts_lost_in_an_outage_of_the_broker_are_told(fresh_broker: Broker) -> None:
    """A stream outlives the broker's death, and has no hole where the connection was down."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    run = Run(bus)
    await run.start()
    async with serving(fresh_broker) as (client, _):
        following = asyncio.create_task(follow(client, run.id))
        await run.signals(1, 3)
        fresh_broker.kill()
        publishing = asyncio.create_task(run.signals(4, 40))
        await asyncio.to_thread(fresh_broker.restart)
        async with asyncio.timeout(PATIENCE_S):
            await publishing
            await run.end()
            told = await following

    assert told == await run.cursors()
    assert len(told) == 42
    await bus.close()


async def test_stopping_says_bye_and_the_next_instance_goes_on(bus: Bus, broker: Broker) -> None:
    """A rolling restart costs a viewer one reconnect and no event."""
    run = Run(bus)
    await run.start()
    path = f"/v1/runs/{run.id}/stream"
    async with serving(broker) as (client, stop), client.stream("GET", path) as response:
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("id: "):
                cursor = line.removeprefix("id: ")
                break
        stop.set()
        rest = [line async for line in lines]
    assert rest[-3:-1] == ["event: bye", 'data: {"reason":"shutdown"}']

    await run.end()
    async with serving(broker) as (client, _):
        assert await follow(client, run.id, after=cursor) == (await run.cursors())[1:]


async def test_the_process_serves_and_stops_in_order(
    bus: Bus, broker: Broker, tmp_path: Path
) -> None:
    """`python -m segue_events` tells where it is, streams, and exits with 0 on SIGTERM."""
    run = Run(bus)
    await run.start()
    await run.end()
    ready = tmp_path / "ready.json"
    environment = {
        "PATH": os.environ["PATH"],
        "SEGUE_NATS_URL": broker.url,
        "SEGUE_READY_FILE": str(ready),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "segue_events", env=environment
    )
    try:
        await until(lambda: _exists(ready))
        url = json.loads(ready.read_text())["url"]
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            assert await follow(client, run.id) == await run.cursors()
            metrics = (await client.get("/metrics")).text
            assert 'segue_streams_ended_total{why="ended"} 1.0' in metrics
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _exists(path: Path) -> bool:
    return path.exists()  # noqa: ASYNC240 - a look at a local file
