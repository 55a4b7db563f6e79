"""The gateway over a real bus and a real events service: do commands and streams pass?"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import pytest
from nats.aio.msg import Msg
from support.wait import until

from segue_contracts.envelope import Message, decode_body, encode, raw
from segue_contracts.reply import Refused, Reply
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunEnded, RunStarted, SignalReceived
from segue_events import app as events_app
from segue_events.settings import Settings as EventsSettings
from segue_gateway import app as gateway_app
from segue_gateway.settings import Settings as GatewaySettings
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_shared.process import Process
from segue_shared.runtime import Plan, S, V
from segue_testing.broker import Broker

PATIENCE_S = 20.0


@asynccontextmanager
async def running(plan: Plan[S, V]) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Run a service in this loop; gives its address, and what stops it."""
    process, stop = Process(plan), asyncio.Event()
    serve = asyncio.create_task(process.serve(stop))

    async def is_ready() -> bool:
        if not process.http.port:
            return False
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{process.http.url}/readyz")).is_success

    await until(is_ready)
    yield process.http.url, stop
    stop.set()
    assert await serve == 0


@pytest.fixture
async def events_url(broker: Broker) -> AsyncIterator[str]:
    """A running events service."""
    plan = Plan(
        name=events_app.NAME,
        settings=EventsSettings(nats_url=broker.url, drain_s=5),
        build=events_app.build,
        requires=events_app.REQUIRES,
        asgi=lambda service: service.asgi,
    )
    async with running(plan) as (url, _):
        yield url


@pytest.fixture
async def gateway(broker: Broker, events_url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A running gateway."""
    settings = GatewaySettings(
        nats_url=broker.url, events_url=events_url, drain_s=5, command_timeout_s=5
    )
    plan = Plan(
        name=gateway_app.NAME,
        settings=settings,
        build=gateway_app.build,
        requires=gateway_app.REQUIRES,
        asgi=lambda service: service.asgi,
    )
    async with running(plan) as started:
        yield started


@pytest.fixture
async def client(gateway: tuple[str, asyncio.Event]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    async with httpx.AsyncClient(base_url=gateway[0], timeout=PATIENCE_S) as client:
        yield client


C = TypeVar("C", bound=Message)


async def orchestrate(
    bus: Bus, verb: str, kind: type[C], answer: Callable[[C], Awaitable[Message]]
) -> None:
    """Answer one of the orchestrator's commands."""

    async def handle(message: Msg) -> None:
        found = await answer(decode_body(message.data, kind))
        reply = Reply(refused=found) if isinstance(found, Refused) else Reply(result=raw(found))
        await message.respond(encode(reply))

    await bus.subscribe(subjects.command("default", "orchestrator", verb), handle)


async def store(bus: Bus, run: str, event: str) -> None:
    """Store an event of a run."""
    bodies = {
        "started": RunStarted(workflow="review", definition="d" * 64),
        "ended": RunEnded(status="completed"),
    }
    subject = subjects.run_event("default", run, event)
    body = bodies.get(event, SignalReceived(name="go"))
    await bus.create(subject, frame(body, subject=subject, source="s", about=run, time="t"))


async def test_a_run_is_started_and_followed_through_one_origin(
    bus: Bus, client: httpx.AsyncClient
) -> None:
    """What a client needs is behind one address: start, then stream from the given cursor."""
    run = SystemIds().run_id(0)

    async def start(command: StartRun) -> RunAccepted:
        await store(bus, run, "started")
        return RunAccepted(run=run, workflow=command.text, definition="d", cursor="x-0")

    await orchestrate(bus, "start_run", StartRun, start)
    accepted = await client.post("/v1/runs", json={"workflow": "review"})
    assert accepted.status_code == 202
    assert accepted.json()["workflow"] == "review"

    following = asyncio.create_task(client.get(f"{accepted.headers['location']}/stream"))
    for number in range(20):
        await store(bus, run, f"signal.{number}")
    await store(bus, run, "ended")

    told = (await following).text
    assert told.count("\nid: ") == 22
    assert told.endswith('event: bye\ndata: {"reason":"ended"}\n\n')


async def test_a_refusal_on_the_bus_is_a_problem_over_http(
    bus: Bus, client: httpx.AsyncClient
) -> None:
    """A refusal keeps its code on its way out."""

    async def refuse(_command: StartRun) -> Refused:
        return Refused(code="conflict", message="the key stands for another run")

    await orchestrate(bus, "start_run", StartRun, refuse)

    response = await client.post("/v1/runs", json={"workflow": "x"})

    assert response.status_code == 409
    assert response.json()["code"] == "conflict"


async def test_without_an_orchestrator_the_answer_comes_at_once(client: httpx.AsyncClient) -> None:
    """The broker tells that nobody listens, so nobody waits for a timeout."""
    async with asyncio.timeout(2):
        response = await client.get("/v1/runs")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


async def test_a_viewer_who_leaves_is_forgotten_by_the_events_service(
    bus: Bus, client: httpx.AsyncClient, events_url: str
) -> None:
    """The connection behind closes with the one in front."""
    run = SystemIds().run_id(0)
    await store(bus, run, "started")

    async def viewers() -> str:
        async with httpx.AsyncClient() as direct:
            text = (await direct.get(f"{events_url}/metrics")).text
        return next(line for line in text.splitlines() if line.startswith("segue_viewers "))

    async def nobody_watches() -> bool:
        return await viewers() == "segue_viewers 0.0"

    async with client.stream("GET", f"/v1/runs/{run}/stream") as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                break
        assert await viewers() == "segue_viewers 1.0"

    await until(nobody_watches)


async def test_stopping_the_gateway_ends_its_streams(
    bus: Bus, client: httpx.AsyncClient, gateway: tuple[str, asyncio.Event]
) -> None:
    """A viewer is told, and the process does not wait for it."""
    run = SystemIds().run_id(0)
    await store(bus, run, "started")

    async with client.stream("GET", f"/v1/runs/{run}/stream") as response:
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("data: "):
                break
        gateway[1].set()
        rest = [line async for line in lines]

    assert 'data: {"reason":"shutdown"}' in rest


async def test_the_process_refuses_to_be_reached_from_elsewhere() -> None:
    """`python -m segue_gateway` on another interface says what to do, and exits with 2."""
    environment = {"PATH": os.environ["PATH"], "SEGUE_HTTP_HOST": "0.0.0.0"}  # noqa: S104 - refused
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "segue_gateway",
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 2
    assert b"SEGUE_GATEWAY_UNAUTHENTICATED=allow" in said
