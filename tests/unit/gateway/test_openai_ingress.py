"""Streams of the ingress on fakes: is an answer told only when it is proven?"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from unit.gateway.gateway_support import Stage, staged
from unit.gateway.ingress_support import (
    ANSWER,
    CHAT,
    LIMITED,
    STREAMED,
    WHOLE,
    framed,
    later,
    playing,
)

from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import (
    ChatRequest,
    ChatResponse,
    Stop,
)
from segue_contracts.v1.control import GrantCredit
from segue_contracts.v1.deltas import (
    AttemptReset,
    Delta,
    DeltaEnd,
    DeltaError,
    Heartbeat,
    PartDelta,
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running gateway."""
    async with staged() as stage:
        yield stage


async def told(stage: Stage, **fields: Any) -> list[str]:
    """Ask for a stream, and return its lines."""
    response = await stage.http.post("/v1/chat/completions", json=STREAMED | fields)
    assert response.status_code == 200, response.text
    return [line for line in response.text.split("\n") if line]


def error_of(line: str) -> dict[str, Any]:
    """Return the error of a stream's line."""
    error: dict[str, Any] = json.loads(line.removeprefix("data: "))["error"]
    return error


async def test_a_whole_stream_ends_with_its_mark(stage: Stage) -> None:
    """The inbox is listened to before anything is asked, and closed afterwards."""
    stage.bus.answers[CHAT] = playing(stage, WHOLE)
    response = await stage.http.post("/v1/chat/completions", json=STREAMED)
    request = stage.command

    assert response.text.endswith("data: [DONE]\n\n")
    assert response.headers["x-segue-provider"] == "claude"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert isinstance(request, ChatRequest)
    assert subjects.is_call_deltas(request.stream.to, "default")
    assert request.id == response.headers["x-request-id"]
    assert stage.bus.hearing == {}
    assert stage.bus.told == []


@pytest.mark.parametrize(
    ("deltas", "code"),
    [
        (WHOLE[:2] + WHOLE[3:], "delta_lost"),
        ((*WHOLE[:3], AttemptReset(request="", reason="again", seq=3)), "truncated"),
        ((*WHOLE[:3], DeltaError(request="", error="truncated", message="m", seq=3)), "truncated"),
    ],
)
async def test_a_stream_that_is_not_whole_ends_with_an_error(
    stage: Stage, deltas: Sequence[Delta], code: str
) -> None:
    """A hole, a new beginning, or a break: whatever the reply says, it is no success."""
    begun = [Heartbeat(request="", seq=0)] + [later(delta) for delta in deltas]
    stage.bus.answers[CHAT] = playing(stage, begun)
    lines = await told(stage)

    assert error_of(lines[-1])["code"] == code
    assert "data: [DONE]" not in lines


async def test_a_reply_without_the_end_of_its_stream_is_no_success(stage: Stage) -> None:
    """The end was lost, and maybe more with it."""
    stage.bus.answers[CHAT] = playing(stage, WHOLE[:3])
    lines = await told(stage)

    assert error_of(lines[-1])["code"] == "delta_lost"


async def test_an_end_that_the_reply_overtook_is_waited_for(stage: Stage) -> None:
    """Two ways on the bus have no common order."""
    late: list[asyncio.Task[None]] = []

    async def say() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        for delta in WHOLE:
            await stage.bus.say(framed(delta))

    async def chat(_request: ChatRequest) -> ChatResponse:
        late.append(asyncio.create_task(say()))
        return ANSWER

    stage.bus.answers[CHAT] = chat

    assert (await told(stage))[-1] == "data: [DONE]"


async def test_what_cannot_be_read_leaves_a_hole(stage: Stage) -> None:
    """A foreign message does no harm but that it stands for nothing."""

    async def chat(_request: ChatRequest) -> ChatResponse:
        for delta in WHOLE[:2]:
            await stage.bus.say(framed(delta))
        await stage.bus.say(b"{")
        await stage.bus.say(framed(WHOLE[3]))
        return ANSWER

    stage.bus.answers[CHAT] = chat
    response = await stage.http.post("/v1/chat/completions", json=STREAMED)

    assert response.json()["error"]["code"] == "delta_lost"


async def test_signs_of_life_are_comments(stage: Stage) -> None:
    """They begin the answer, so that nothing on the way takes it for dead."""
    deltas = [Heartbeat(request="", seq=0), *(later(delta) for delta in WHOLE)]
    stage.bus.answers[CHAT] = playing(stage, deltas)
    lines = await told(stage)

    assert lines[0].startswith(": ")
    assert lines[-1] == "data: [DONE]"


async def test_an_error_before_the_first_word_has_a_status(stage: Stage) -> None:
    """With the wait that the stream tells."""
    broken = DeltaError(request="", error="rate_limited", message="m", retry_after_ms=7_000)
    stage.bus.answers[CHAT] = playing(stage, [broken], LIMITED)
    response = await stage.http.post("/v1/chat/completions", json=STREAMED)

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["message"] == "slow down"


async def test_more_deltas_are_asked_for_as_they_are_written(stage: Stage) -> None:
    """Half of the credit at a time, by the request's id."""
    texts = [PartDelta(request="", index=0, text="x", seq=2 + number) for number in range(60)]
    end = DeltaEnd(request="", stop=Stop(reason="end"), seq=62)
    stage.bus.answers[CHAT] = playing(stage, [*WHOLE[:2], *texts, end])
    await told(stage)
    request = stage.command
    assert isinstance(request, ChatRequest)

    [(subject, hint)] = stage.bus.told
    assert hint == GrantCredit(request=request.id, credit=32, to=request.stream.to)
    assert subject.endswith(".credit")
