"""Streams through the gateway on fakes: does everything pass, at once, and end on both sides?"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from unit.gateway.gateway_support import RUN, Stage, code_of, staged

PATIENCE_S = 5.0
EVENT = b"id: e1-1\nevent: segue.run.started.v1\ndata: {}\n\n"
BYE = b'event: bye\ndata: {"reason":"shutdown"}\n\n'


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running gateway."""
    async with staged() as stage:
        yield stage


class Viewer:
    """A client of one stream, which reads as it comes."""

    def __init__(self, stage: Stage, *, stuck: bool = False) -> None:
        self._gone = asyncio.Event()
        self._news = asyncio.Event()
        self._stuck = asyncio.Event()
        if not stuck:
            self._stuck.set()
        self.body = b""
        self.complete = False
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": f"/v1/runs/{RUN}/stream",
            "raw_path": b"",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        self.task = asyncio.create_task(self._ask(stage, scope))

    async def _ask(self, stage: Stage, scope: MutableMapping[str, Any]) -> None:
        await stage.gateway.asgi(scope, self._receive, self._send)

    async def _receive(self) -> MutableMapping[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self._stuck.wait()
        self.body += message.get("body", b"")
        self.complete = message["type"] == "http.response.body" and not message["more_body"]
        self._news.set()

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()

    async def until(self, part: bytes) -> None:
        """Wait until the body has a part."""
        async with asyncio.timeout(PATIENCE_S):
            while part not in self.body:
                self._news.clear()
                await self._news.wait()

    async def done(self) -> None:
        """Wait until the response is over."""
        async with asyncio.timeout(PATIENCE_S):
            await self.task


async def test_a_stream_passes_through_unchanged(stage: Stage) -> None:
    """Body and headers are those of the events service."""
    for chunk in (EVENT[:7], EVENT[7:], None):
        stage.events.chunks.put_nowait(chunk)

    response = await stage.http.get(f"/v1/runs/{RUN}/stream")

    assert response.content == EVENT
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"


async def test_an_event_reaches_the_viewer_before_the_next_exists(stage: Stage) -> None:
    """Nothing is held back."""
    viewer = Viewer(stage)
    stage.events.chunks.put_nowait(EVENT)

    await viewer.until(EVENT)

    assert not viewer.complete
    viewer.leave()
    await viewer.done()


async def test_cursor_and_query_are_passed_on_in_the_gateways_namespace(stage: Stage) -> None:
    """A viewer resumes through the gateway as without it, but cannot choose another tenant."""
    stage.events.chunks.put_nowait(None)

    await stage.http.get(
        f"/v1/runs/{RUN}/stream?after=e1-7&deltas=false&namespace=other",
        headers={"last-event-id": "e1-9"},
    )

    [request] = stage.events.requests
    assert request.url.path == f"/v1/runs/{RUN}/stream"
    assert dict(request.url.params) == {"after": "e1-7", "deltas": "false", "namespace": "default"}
    assert request.headers["last-event-id"] == "e1-9"


async def test_a_viewer_who_leaves_closes_the_stream_behind(stage: Stage) -> None:
    """The events service need not write to nobody."""
    viewer = Viewer(stage)
    stage.events.chunks.put_nowait(EVENT)
    await viewer.until(EVENT)

    viewer.leave()
    await viewer.done()

    assert stage.events.closed.is_set()


async def test_a_viewer_who_does_not_read_closes_the_stream_behind() -> None:
    """A write that makes no progress in time ends the stream."""
    async with staged(stream_write_timeout_s=0.01) as stage:
        viewer = Viewer(stage, stuck=True)
        await viewer.done()

        assert stage.events.closed.is_set()


async def test_a_stream_that_breaks_ends_for_the_viewer_too(stage: Stage) -> None:
    """The viewer keeps what it has and resumes by itself."""
    viewer = Viewer(stage)
    stage.events.chunks.put_nowait(EVENT)
    stage.events.chunks.put_nowait(httpx.ReadError("broken"))

    await viewer.done()

    assert viewer.body == EVENT
    assert viewer.complete


async def test_stopping_the_gateway_says_bye() -> None:
    """Viewers learn that they should come back."""
    async with staged() as stage:
        viewer = Viewer(stage)
        stage.events.chunks.put_nowait(EVENT)
        await viewer.until(EVENT)

        await stage.gateway.stop()
        await viewer.done()

    assert viewer.body == EVENT + BYE
    assert viewer.complete
    assert stage.events.closed.is_set()


async def test_a_goodbye_never_completes_half_an_event() -> None:
    """Half an event followed by a goodbye would be read as a whole one."""
    async with staged() as stage:
        viewer = Viewer(stage)
        stage.events.chunks.put_nowait(EVENT[:-1])
        await viewer.until(EVENT[:-1])

        await stage.gateway.stop()
        await viewer.done()

    assert viewer.body == EVENT[:-1]


async def test_a_refusal_of_the_events_service_is_passed_on(stage: Stage) -> None:
    """A problem is a problem, whoever found it."""
    stage.events.refusal = httpx.Response(
        404,
        headers={"content-type": "application/problem+json"},
        json={
            "type": "urn:segue:problem:not_found",
            "title": "t",
            "status": 404,
            "detail": "d",
            "code": "not_found",
        },
    )

    assert code_of(await stage.http.get(f"/v1/runs/{RUN}/stream"), 404) == "not_found"


async def test_an_events_service_that_is_away_is_unavailable(stage: Stage) -> None:
    """The viewer is told to come back."""
    stage.events.error = httpx.ConnectError("refused")

    response = await stage.http.get(f"/v1/runs/{RUN}/stream")

    assert code_of(response, 503) == "unavailable"
    assert response.headers["retry-after"] == "1"


async def test_without_an_events_service_the_setting_is_named() -> None:
    """The operator learns what is missing."""
    async with staged(events_url="") as stage:
        response = await stage.http.get(f"/v1/runs/{RUN}/stream")

    assert code_of(response, 503) == "unavailable"
    assert "SEGUE_EVENTS_URL" in response.json()["detail"]


async def test_what_cannot_be_a_run_is_never_put_into_an_address(stage: Stage) -> None:
    """A path cannot be climbed."""
    response = await stage.http.get("/v1/runs/..%2f..%2fmetrics/stream")

    assert response.status_code == 404
    assert stage.events.requests == []
