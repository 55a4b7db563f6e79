"""Clients of the ingress on fakes: what if they leave, do not read, or ask for too much?"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from unit.gateway.gateway_support import Stage, staged
from unit.gateway.ingress_support import (
    ANSWER,
    BODY,
    CHAT,
    EMBED,
    LIMITED,
    PATIENCE_S,
    STATUS,
    STREAMED,
    WHOLE,
    Reader,
    framed,
    playing,
)

from segue_contracts.v1.chat import (
    ChatRequest,
    ChatResponse,
    Stop,
)
from segue_contracts.v1.control import CancelCall
from segue_contracts.v1.deltas import (
    DeltaEnd,
    Heartbeat,
    PartDelta,
)
from segue_contracts.v1.providers import EmbedTexts, ProviderList, ProviderState, TextsEmbedded
from segue_shared.errors import (
    InvalidMessageError,
    TimedOutError,
    TooLargeError,
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running gateway."""
    async with staged() as stage:
        yield stage


async def test_a_client_that_does_not_read_gets_no_more_credit(stage: Stage) -> None:
    """Until it reads, nothing more is asked for."""
    texts = [PartDelta(request="", index=0, text="x", seq=2 + number) for number in range(60)]
    end = DeltaEnd(request="", stop=Stop(reason="end"), seq=62)
    stage.bus.answers[CHAT] = playing(stage, [*WHOLE[:2], *texts, end])
    reader = Reader(stage)
    async with asyncio.timeout(PATIENCE_S):
        await reader.begun.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        before = list(stage.bus.told)
        reader.reads.set()
        await reader.task

    assert before == []
    assert len(stage.bus.told) == 1
    assert reader.body.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_never_reads_is_taken_for_gone() -> None:
    """And its call is taken back."""
    async with staged(stream_write_timeout_s=0.05) as stage:

        async def chat(_request: ChatRequest) -> ChatResponse:
            await stage.bus.say(framed(Heartbeat(request="")))
            await asyncio.Event().wait()
            raise AssertionError

        stage.bus.answers[CHAT] = chat
        reader = Reader(stage)
        async with asyncio.timeout(PATIENCE_S):
            await reader.task

        [(_, hint)] = stage.bus.told
        assert isinstance(hint, CancelCall)


async def test_a_client_that_leaves_takes_its_call_back(stage: Stage) -> None:
    """By the request's id, at once."""
    asked = asyncio.Event()

    async def chat(_request: ChatRequest) -> ChatResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    stage.bus.answers[CHAT] = chat
    reader = Reader(stage)
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        reader.gone.set()
        await reader.task
    request = stage.command
    assert isinstance(request, ChatRequest)

    [(subject, hint)] = stage.bus.told
    assert hint == CancelCall(request=request.id, reason="its client has gone")
    assert subject.endswith(".cancel_call")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_of_unknown_fate_is_taken_back(stage: Stage, *, streamed: bool) -> None:
    """Whoever may still work on it need not."""
    stage.bus.answers[CHAT] = TimedOutError("no sign of life within 10 s")
    response = await stage.http.post("/v1/chat/completions", json=BODY | {"stream": streamed})

    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
    assert isinstance(stage.bus.told[0][1], CancelCall)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LIMITED, 429, "rate_limit_exceeded"),
        (TooLargeError("too much"), 413, "too_large"),
        (InvalidMessageError("no reply"), 500, "internal"),
    ],
)
async def test_errors_have_the_form_of_openai(
    stage: Stage, error: Exception, status: int, code: str
) -> None:
    """Whatever a call raises."""
    stage.bus.answers[CHAT] = error
    response = await stage.http.post("/v1/chat/completions", json=BODY)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert stage.bus.told == []


async def test_an_unreachable_broker_is_told_at_once(stage: Stage) -> None:
    """Also to who would have streamed."""
    stage.bus.connected = False
    for body in (BODY, STREAMED):
        response = await stage.http.post("/v1/chat/completions", json=body)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_a_key_of_another_form_is_refused_in_the_form_of_openai(stage: Stage) -> None:
    """The gateway's own problems leave so too."""
    headers = {"idempotency-key": "x" * 300}
    response = await stage.http.post("/v1/chat/completions", json=BODY, headers=headers)

    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["error"]["message"]


async def test_a_key_is_the_id_of_its_request(stage: Stage) -> None:
    """Apart from the ids of others."""
    stage.bus.answers[CHAT] = ANSWER
    await stage.http.post("/v1/chat/completions", json=BODY, headers={"idempotency-key": "k-1"})
    request = stage.command

    assert isinstance(request, ChatRequest)
    assert request.id == "http-key-k-1"


async def test_a_body_is_bounded(stage: Stage) -> None:
    """What is larger is refused before it is read to its end."""
    body = BODY | {"user": "x" * (33 * 1024 * 1024)}
    response = await stage.http.post("/v1/chat/completions", json=body)

    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


async def test_all_texts_are_embedded_by_the_model_of_the_first(stage: Stage) -> None:
    """Vectors of two models have nothing in common."""

    async def embed(request: EmbedTexts) -> TextsEmbedded:
        vectors = [[float(text)] for text in request.texts]
        return TextsEmbedded(provider="gemini", model="m", vectors=vectors)

    stage.bus.answers[EMBED] = embed
    texts = [str(number) for number in range(20)]
    response = await stage.http.post("/v1/embeddings", json={"model": "gemini", "input": texts})

    assert [one["embedding"] for one in response.json()["data"]] == [[float(t)] for t in texts]
    models = [one.model for _, one in stage.bus.asked if isinstance(one, EmbedTexts)]
    assert models == ["gemini", "gemini/m", "gemini/m"]


async def test_one_text_that_cannot_be_embedded_is_the_answer(stage: Stage) -> None:
    """The first refusal is told."""

    async def embed(request: EmbedTexts) -> TextsEmbedded:
        if "19" in request.texts:
            raise LIMITED
        vectors = [[0.5] for _ in request.texts]
        return TextsEmbedded(provider="gemini", model="m", vectors=vectors)

    stage.bus.answers[EMBED] = embed
    texts = [str(number) for number in range(20)]
    response = await stage.http.post("/v1/embeddings", json={"model": "gemini", "input": texts})

    assert response.status_code == 429


async def test_models_are_listed(stage: Stage) -> None:
    """And found by names with a slash."""
    state = ProviderState(name="claude", available=True, default_model="sonnet")
    stage.bus.answers[STATUS] = ProviderList(providers=[state])
    listed = (await stage.http.get("/v1/models")).json()
    found = await stage.http.get("/v1/models/claude/sonnet")
    missing = await stage.http.get("/v1/models/nothing")

    assert [one["id"] for one in listed["data"]] == ["claude", "claude/sonnet"]
    assert found.json() == listed["data"][1]
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
