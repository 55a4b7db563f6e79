"""HTTP: are probes answered from the start, and do open streams end at shutdown?"""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from segue_shared.health import Health
from segue_shared.http import HttpServer, Message, Receive, Send
from segue_shared.metrics import Metrics


class Site:
    """A server with its health at hand."""

    def __init__(self) -> None:
        self.health = Health()
        self.server = HttpServer(
            host="127.0.0.1", port=0, health=self.health, metrics=Metrics("agents")
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running server on a free port."""
    running = Site()
    await running.server.start()
    yield running
    await running.server.stop(0)


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that server."""
    async with httpx.AsyncClient(base_url=site.server.url, timeout=10) as session:
        yield session


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the path."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    """Stream a first chunk, then nothing, for ever."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
    await asyncio.Event().wait()


async def test_a_free_port_is_taken_and_told(site: Site) -> None:
    """Port 0 means any; the url names the one it became."""
    assert site.server.port > 0
    assert site.server.url == f"http://127.0.0.1:{site.server.port}"


async def test_a_port_in_use_is_an_error(site: Site) -> None:
    """Nobody shares a port without knowing."""
    second = HttpServer(
        host="127.0.0.1", port=site.server.port, health=Health(), metrics=Metrics("events")
    )

    with pytest.raises(OSError, match="use"):
        await second.start()


async def test_probes_answer_what_health_says(site: Site, client: httpx.AsyncClient) -> None:
    """Not ready is no reason to be restarted."""
    site.health.add("phase", lambda: "starting")

    live, ready = await client.get("/livez"), await client.get("/readyz")

    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert ready.json() == {"status": "failing", "problems": {"phase": "starting"}}


async def test_a_dead_process_fails_its_live_probe(site: Site, client: httpx.AsyncClient) -> None:
    """Its supervisor restarts it."""
    site.health.add("tasks", lambda: "a loop ended", live=True)

    assert (await client.get("/livez")).status_code == 503


async def test_metrics_are_shown(client: httpx.AsyncClient) -> None:
    """In Prometheus' own form."""
    answer = await client.get("/metrics")

    assert answer.status_code == 200
    assert 'segue_service_info{service="agents"' in answer.text


async def test_probes_are_read_only(client: httpx.AsyncClient) -> None:
    """And say so."""
    answer = await client.post("/livez")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_without_an_application_other_paths_do_not_exist(client: httpx.AsyncClient) -> None:
    """A service without pages has none."""
    assert (await client.get("/v1/runs")).status_code == 404


async def test_an_application_answers_everything_else_once_it_is_mounted(
    site: Site, client: httpx.AsyncClient
) -> None:
    """Until then the caller is asked to come back."""
    site.server.expect_app()
    early = await client.get("/v1/runs")
    site.server.mount(hello)

    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert (await client.get("/v1/runs")).text == "/v1/runs"
    assert (await client.get("/livez")).json() == {"status": "ok"}


async def test_an_application_that_fails_answers_500(site: Site, client: httpx.AsyncClient) -> None:
    """And the server lives on."""

    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    site.server.mount(broken)

    assert (await client.get("/x")).status_code == 500
    assert (await client.get("/livez")).status_code == 200


async def test_a_stream_ends_cleanly_at_the_deadline(site: Site, client: httpx.AsyncClient) -> None:
    """Its reader sees an end, not a broken connection."""
    site.server.mount(endless)
    async with client.stream("GET", "/stream") as stream:
        chunks = stream.aiter_bytes()
        assert await anext(chunks) == b"first\n"

        async with asyncio.timeout(5):
            await site.server.stop(0.05)

        assert [chunk async for chunk in chunks] == []


async def test_a_request_in_progress_is_finished_before_the_server_ends(
    site: Site, client: httpx.AsyncClient
) -> None:
    """Stopping loses no answer that comes before the deadline."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await hello(scope, receive, send)

    site.server.mount(slow)
    answer = asyncio.create_task(client.get("/slow"))
    await entered.wait()
    stop = asyncio.create_task(site.server.stop(10))
    leave.set()

    assert (await answer).text == "/slow"
    await stop


async def test_a_request_that_has_no_answer_at_the_deadline_gets_503(
    site: Site, client: httpx.AsyncClient
) -> None:
    """The caller may go to another instance."""
    entered = asyncio.Event()

    async def stuck(scope: Message, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    site.server.mount(stuck)
    answer = asyncio.create_task(client.get("/stuck"))
    await entered.wait()
    await site.server.stop(0.05)

    assert (await answer).status_code == 503


async def test_a_stopped_server_has_freed_its_port(site: Site) -> None:
    """Another process can take it at once."""
    await site.server.stop(0)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", site.server.port))
