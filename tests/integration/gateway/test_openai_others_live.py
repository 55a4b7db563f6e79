"""Responses, embeddings and models live: do OpenAI's own calls work through the gateway?"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import openai
import pytest
from integration.gateway.openai_ingress import MODEL, PATIENCE_S, Ingress, alone
from openai.types.responses import ResponseCompletedEvent
from support.emulator_script import TEXT

from segue_testing.broker import Broker

WEATHER: Final[Any] = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
ASKED: Final[Any] = {"role": "user", "content": 'Weather, please. {"city": "Bonn"}'}


async def test_a_response_is_answered(ingress_: Ingress) -> None:
    """With its text, its usage and who gave it."""
    ingress_.play("ok")
    raw = await ingress_.client.responses.with_raw_response.create(
        model=MODEL, input="Hello!", instructions="Be brief."
    )
    response = raw.parse()

    assert (response.status, response.output_text) == ("completed", "".join(TEXT))
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (25, 15)
    assert raw.headers["x-segue-provider"] == "emu"
    assert ingress_.asked()[0]["body"]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_response_is_streamed(ingress_: Ingress) -> None:
    """The library follows every event, and the last one is the whole response."""
    ingress_.play("ok")
    stream = await ingress_.client.responses.create(model=MODEL, input="Hello!", stream=True)
    events = [event async for event in stream]
    last = events[-1]

    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "".join(TEXT)
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert isinstance(last, ResponseCompletedEvent)
    assert last.response.output_text == "".join(TEXT)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_of_a_response_is_called_and_answered(
    ingress_: Ingress, *, streamed: bool
) -> None:
    """Its items go back as they came, with the tool's result."""
    ingress_.play("agent")
    client = ingress_.client
    if streamed:
        async with client.responses.stream(model=MODEL, input=[ASKED], tools=[WEATHER]) as events:
            response: Any = await events.get_final_response()
    else:
        response = await client.responses.create(model=MODEL, input=[ASKED], tools=[WEATHER])
    [call] = [item for item in response.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Bonn"})

    said = [item.model_dump(exclude_none=True) for item in response.output]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    again = await client.responses.create(
        model=MODEL, input=[ASKED, *said, result], tools=[WEATHER]
    )

    assert "rain" in again.output_text


async def test_a_broken_stream_of_a_response_has_failed(ingress_: Ingress) -> None:
    """The last event says so, and no event says that it is complete."""
    ingress_.play("eof.2")
    stream = await ingress_.client.responses.create(model=MODEL, input="Hello!", stream=True)
    events = [event async for event in stream]
    error, last = events[-2:]

    assert error.type == "error"
    assert error.code == "truncated"
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert "response.completed" not in [event.type for event in events]


async def test_a_response_that_goes_wrong_has_the_status_that_it_has_at_openai(
    ingress_: Ingress,
) -> None:
    """Also in a stream, before its first word."""
    ingress_.play("error.429.ra3")
    with pytest.raises(openai.RateLimitError) as caught:
        await ingress_.client.responses.create(model=MODEL, input="Hello!", stream=True)

    assert caught.value.response.headers["retry-after"] == "3"


async def test_texts_are_embedded_in_their_order(ingress_: Ingress) -> None:
    """More texts than fit into one message, by one model, packed as the library asks for it."""
    ingress_.play("ok")
    texts = [f"text {number}" for number in range(20)]
    many = await ingress_.client.embeddings.create(model="emu", input=texts, dimensions=4)
    one = await ingress_.client.embeddings.create(
        model="emu/text-embedding-3-small", input=texts[17], dimensions=4, encoding_format="float"
    )

    assert [entry.index for entry in many.data] == [*range(20)]
    assert many.data[17].embedding == pytest.approx(one.data[0].embedding)
    assert (len(one.data[0].embedding), many.model) == (4, "text-embedding-3-small")
    assert many.usage.total_tokens > one.usage.total_tokens > 0


async def test_models_are_listed_and_found(ingress_: Ingress) -> None:
    """The names are those that a request may give as its model."""
    listed = [model.id async for model in ingress_.client.models.list()]
    found = await ingress_.client.models.retrieve(MODEL)

    assert listed == ["emu", MODEL]
    assert (found.id, found.owned_by) == (MODEL, "emu")
    with pytest.raises(openai.NotFoundError):
        await ingress_.client.models.retrieve("nothing")


@pytest.fixture
async def lonely(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway behind which there is no providers service."""
    async with alone(broker) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        yield http


@pytest.mark.parametrize("streamed", [False, True])
async def test_without_providers_the_answer_comes_at_once(
    lonely: httpx.AsyncClient, *, streamed: bool
) -> None:
    """The broker tells that nobody listens, so nobody waits for a timeout."""
    body = {"model": "claude", "messages": [ASKED], "stream": streamed}
    response = await lonely.post("/v1/chat/completions", json=body, timeout=2)

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable"
    assert response.headers["retry-after"] == "1"
