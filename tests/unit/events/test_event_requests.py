"""Requests through the whole service on fakes: who gets no stream, and why?"""

import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from unit.events.event_support import UNAVAILABLE, Stage, Watcher, started


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A started service with room for one viewer, whose journal holds one run."""
    stage = Stage(max_viewers=1)
    stage.journal.store("started", started())
    await stage.service.start()
    yield stage
    stage.journal.error = None
    await stage.service.stop()
    await stage.runtime.tasks.close()


async def problem(watcher: Watcher, status: int) -> str:
    """Check that an answer is a problem, and return its code."""
    await watcher.done()
    assert watcher.status == status
    assert watcher.headers["content-type"] == "application/problem+json"
    document = json.loads(watcher.body)
    assert document["status"] == status
    assert document["type"].endswith(document["code"])
    assert document["title"]
    assert document["detail"]
    return str(document["code"])


async def test_an_unknown_run_is_not_found(stage: Stage) -> None:
    """A run without a journal has no stream."""
    assert await problem(stage.watch(run="nosuchrun0000"), 404) == "not_found"


async def test_a_run_of_another_namespace_is_not_found(stage: Stage) -> None:
    """A stream is of one namespace only."""
    assert await problem(stage.watch("?namespace=other"), 404) == "not_found"


async def test_what_cannot_be_a_run_is_not_found(stage: Stage) -> None:
    """A run id never becomes a wildcard."""
    assert await problem(stage.watch(run="*"), 404) == "not_found"


async def test_another_path_is_not_found(stage: Stage) -> None:
    """Streams are all there is."""
    assert await problem(stage.request("/v1/runs"), 404) == "not_found"


async def test_a_stream_cannot_be_posted(stage: Stage) -> None:
    """The answer names the method that is allowed."""
    watcher = stage.request("/v1/runs/run00000000000000000000001/stream", method="POST")

    assert await problem(watcher, 405) == "method_not_allowed"
    assert watcher.headers["allow"] == "GET"


@pytest.mark.parametrize("query", ["?after=7", "?after=e1-x", "?after=E1-7"])
async def test_a_bad_cursor_is_refused(stage: Stage, query: str) -> None:
    """A cursor of another form is a problem, not a start from the beginning."""
    assert await problem(stage.watch(query), 400) == "invalid_cursor"


async def test_a_bad_last_event_id_is_refused(stage: Stage) -> None:
    """The header is read as the query is."""
    assert await problem(stage.watch(last_event_id="7"), 400) == "invalid_cursor"


@pytest.mark.parametrize("query", ["?deltas=maybe", "?namespace=Not.One", "?namespace="])
async def test_a_bad_parameter_is_refused(stage: Stage, query: str) -> None:
    """A parameter of another form is a problem that names it."""
    watcher = stage.watch(query)

    assert await problem(watcher, 400) == "invalid_request"
    assert query[1:].partition("=")[0] in json.loads(watcher.body)["detail"]


async def test_a_journal_that_does_not_answer_is_no_missing_run(stage: Stage) -> None:
    """Who cannot be told now shall come back."""
    stage.journal.error = UNAVAILABLE
    watcher = stage.watch()

    assert await problem(watcher, 503) == "unavailable"
    assert watcher.headers["retry-after"] == "1"


async def test_more_viewers_than_allowed_are_sent_elsewhere(stage: Stage) -> None:
    """The number of streams is bounded, and room that becomes free is given again."""
    first = await stage.joined(stage.watch())

    assert await problem(stage.watch(), 503) == "too_many_viewers"
    first.leave()
    await first.done()
    assert (await stage.joined(stage.watch())).status == 200


async def test_before_its_feed_is_open_the_service_is_not_ready() -> None:
    """No viewer is served before the service listens."""
    stage = Stage()

    assert await problem(stage.watch(), 503) == "unavailable"
    assert stage.health.ready() == {"feed": "no feed yet"}


async def test_a_web_socket_is_turned_away(stage: Stage) -> None:
    """The one transport is server-sent events."""
    sent: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    await stage.service.asgi({"type": "websocket"}, receive, send)

    assert sent == ["websocket.close"]
