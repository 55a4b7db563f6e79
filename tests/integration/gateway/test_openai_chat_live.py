"""Chat completions live: does OpenAI's own library get through to a model and back, truthfully?"""

import json
from decimal import Decimal
from typing import Any, Final

import httpx
import openai
import pytest
from integration.gateway.openai_ingress import MODEL, PATIENCE_S, SECRET, Ingress
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from support.emulator_script import TEXT

HELLO: Final[list[ChatCompletionMessageParam]] = [
    {"role": "user", "content": 'Hello! {"city": "Bonn"}'}
]
WEATHER: Final[Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="
COST: Final = (25 * Decimal(2) + 15 * Decimal(10)) / 1_000_000


async def ask(ingress: Ingress, **options: Any) -> ChatCompletion:
    """Ask without a stream."""
    completion: ChatCompletion = await ingress.client.chat.completions.create(
        **{"model": MODEL, "messages": HELLO, **options}
    )
    return completion


async def stream(ingress: Ingress, **options: Any) -> list[ChatCompletionChunk]:
    """Ask for a stream, and read it to its end."""
    chunks = await ingress.client.chat.completions.create(
        **{"model": MODEL, "messages": HELLO, **options}, stream=True
    )
    return [chunk async for chunk in chunks]


async def lines(ingress: Ingress, **options: Any) -> list[str]:
    """Ask for a stream, and return its lines as they are, without those that are empty."""
    body = {"model": MODEL, "messages": HELLO, "stream": True, **options}
    async with (
        httpx.AsyncClient(base_url=ingress.url, timeout=PATIENCE_S) as http,
        http.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        assert response.status_code == 200
        return [line async for line in response.aiter_lines() if line]


async def test_a_chat_is_answered_with_what_it_cost(ingress_: Ingress) -> None:
    """The whole answer, its usage, who gave it, and the price to the last digit."""
    ingress_.play("ok")
    raw = await ingress_.client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO
    )
    completion = raw.parse()

    assert completion.choices[0].message.content == "".join(TEXT)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (25, 15)
    assert raw.headers["x-segue-provider"] == "emu"
    assert Decimal(raw.headers["x-segue-cost-usd"]) == COST


async def test_a_stream_ends_with_its_usage_and_cost(ingress_: Ingress) -> None:
    """The text comes in pieces, and the last chunk has no choice."""
    ingress_.play("ok")
    chunks = await stream(ingress_, stream_options={"include_usage": True})
    last = chunks[-1]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == "".join(TEXT)
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 40
    assert last.model_extra is not None
    assert last.model_extra["segue"]["provider"] == "emu"
    assert Decimal(last.model_extra["segue"]["cost_usd"]) == COST


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_answered(ingress_: Ingress, *, streamed: bool) -> None:
    """The call comes with its arguments, and its result goes back to the vendor."""
    ingress_.play("agent")
    if streamed:
        async with ingress_.client.chat.completions.stream(
            model=MODEL, messages=HELLO, tools=[WEATHER]
        ) as events:
            completion: ChatCompletion = await events.get_final_completion()
    else:
        completion = await ask(ingress_, tools=[WEATHER])
    [choice] = completion.choices
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert choice.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Bonn"},
    )

    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    said = choice.message.model_dump(exclude_none=True)
    again = await ask(ingress_, tools=[WEATHER], messages=[*HELLO, said, result])

    assert "rain" in str(again.choices[0].message.content)


async def test_everything_that_was_asked_reaches_the_vendor(ingress_: Ingress) -> None:
    """Images, forms and limits are those of the caller; what the vendor lacks is told."""
    ingress_.play("ok")
    completion = await ask(
        ingress_,
        messages=[
            {"role": "system", "content": "Answer in JSON."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            },
        ],
        max_tokens=77,
        stop=["END"],
        response_format={"type": "json_object"},
    )
    body = ingress_.asked()[0]["body"]

    assert body["messages"][0] == {"role": "system", "content": "Answer in JSON."}
    assert body["messages"][1]["content"][1]["image_url"] == {"url": PIXEL, "detail": "low"}
    assert (body["max_completion_tokens"], "stop" in body) == (77, False)
    assert body["response_format"] == {"type": "json_object"}
    assert completion.model_extra is not None
    assert "output.stop" in " ".join(completion.model_extra["segue"]["warnings"])


async def test_what_is_larger_than_a_message_gets_through(ingress_: Ingress) -> None:
    """A conversation and an answer beyond what the bus carries go by reference."""
    ingress_.play("burst.30000")
    text = "long " * 400_000
    completion = await ask(ingress_, messages=[{"role": "user", "content": text}])

    assert ingress_.asked()[0]["body"]["messages"][0]["content"] == text
    assert str(completion.choices[0].message.content).endswith("29999 ")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("scenario", "kind", "status", "code"),
    [
        ("error.400", openai.BadRequestError, 400, "bad_request"),
        ("error.400.context", openai.BadRequestError, 400, "context_length_exceeded"),
        ("error.401", openai.InternalServerError, 502, "provider_refused_key"),
        ("error.404", openai.NotFoundError, 404, "model_not_found"),
        ("error.429.ra7", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("error.429.quota", openai.RateLimitError, 429, "insufficient_quota"),
        ("error.500", openai.InternalServerError, 502, "provider_failed"),
        ("error.503", openai.InternalServerError, 503, "server_is_overloaded"),
        ("drop", openai.InternalServerError, 502, "provider_unreachable"),
    ],
)
async def test_what_goes_wrong_has_the_status_that_it_has_at_openai(
    ingress_: Ingress,
    scenario: str,
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
    *,
    streamed: bool,
) -> None:
    """Before the first word it does so in a stream too, and no key is told."""
    ingress_.play(scenario)
    with pytest.raises(kind) as caught:
        await (stream(ingress_) if streamed else ask(ingress_))
    error = caught.value

    assert (error.status_code, error.code) == (status, code)
    assert SECRET not in error.response.text
    assert len(ingress_.asked()) == 1


async def test_a_vendor_that_asks_to_wait_is_quoted(ingress_: Ingress) -> None:
    """The client learns when to come back."""
    ingress_.play("error.429.ra7")
    with pytest.raises(openai.RateLimitError) as caught:
        await stream(ingress_)

    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_spent_quota_is_not_asked_for_again(ingress_: Ingress) -> None:
    """Clients of OpenAI repeat each 429 unless they are told not to."""
    ingress_.play("error.429.quota")
    patient = ingress_.client.with_options(max_retries=3)
    with pytest.raises(openai.RateLimitError):
        await patient.chat.completions.create(model=MODEL, messages=HELLO)

    assert len(ingress_.asked()) == 1


@pytest.mark.parametrize("scenario", ["eof.2", "abort.2", "error-after.2"])
async def test_a_stream_that_breaks_off_is_never_a_success(
    ingress_: Ingress, scenario: str
) -> None:
    """What was said is followed by an error, and the mark of a whole answer is missing."""
    ingress_.play(scenario)
    told = await lines(ingress_)
    last = json.loads(told[-1].removeprefix("data: "))

    assert "Hello" in "".join(told)
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert "data: [DONE]" not in told
    assert all('"finish_reason":"stop"' not in line for line in told)


async def test_a_stream_that_breaks_off_is_an_error_to_the_library(ingress_: Ingress) -> None:
    """A caller that iterates cannot miss it."""
    ingress_.play("eof.2")
    with pytest.raises(openai.APIError, match="end"):
        await stream(ingress_)


async def test_the_same_key_is_answered_once(ingress_: Ingress) -> None:
    """A repeated request gets the answer that there is, and pays nothing."""
    ingress_.play("ok")
    key = {"Idempotency-Key": "order-4711"}
    first = await ask(ingress_, extra_headers=key)
    again = await ask(ingress_, extra_headers=key)
    streamed = await stream(ingress_, extra_headers=key)

    assert first.choices == again.choices
    assert first.id == again.id == streamed[0].id
    assert len(ingress_.asked()) == 1


async def test_a_key_that_meant_another_request_is_a_conflict(ingress_: Ingress) -> None:
    """A key stands for one request only."""
    ingress_.play("ok")
    key = {"Idempotency-Key": "order-4712"}
    await ask(ingress_, extra_headers=key)
    with pytest.raises(openai.ConflictError):
        await ask(ingress_, extra_headers=key, temperature=0.1)
