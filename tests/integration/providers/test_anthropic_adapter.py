"""Claude: is every kind of answer read as it was meant, with the real library over sockets?"""

import json
import os
from typing import Any, Literal

import httpx2
import pytest
from support.emulating import Emulated
from support.emulator_script import TEXT, TRICKY, TRICKY_ARGS
from support.model_calls import KEY, TOOLS, asking, call

from segue_contracts.v1.chat import (
    ChatMessage,
    OutputFormat,
    OutputOptions,
    Reasoning,
    ReasoningOptions,
    Sampling,
    ToolCall,
    ToolResult,
)
from segue_providers.core.answer import Alive, Began
from segue_providers.core.configuration import Model, Provider
from segue_providers.shell.adapters.anthropic import connect
from segue_providers.shell.ports import ModelCallError, ModelClient

MODEL = "claude-opus-5"

Display = Literal["omitted", "summary"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def claude(emulator: Emulated, scenario: str, http: httpx2.AsyncClient) -> ModelClient:
    """Return a client of the emulated Claude."""
    provider = Provider(wire="anthropic", base_url=emulator.url(scenario))
    return connect(provider, KEY, http)


@STREAMED
async def test_an_answer_is_whole(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """Text, reason, usage, ids and limits arrive."""
    called = await call(claude(emulator, "ok", http), asking(model=MODEL, stream=stream))
    assembly = called.assembly

    assert called.error is None
    assert called.text == "".join(TEXT)
    assert assembly.stopped is not None
    assert assembly.stopped.stop.reason == "end"
    assert assembly.began.ids == {"request": "req_emulated01", "response": "msg_emulated01"}
    assert assembly.began.rate_limit["anthropic-ratelimit-requests-remaining"] == "3999"
    assert assembly.usage is not None
    assert (assembly.usage.input_total, assembly.usage.output_total) == (25, 15)


@STREAMED
@pytest.mark.parametrize("scenario", ["comments", "crlf", "comments+crlf", "slow.1"])
async def test_dialects_of_a_stream_change_nothing(
    emulator: Emulated, http: httpx2.AsyncClient, *, scenario: str, stream: bool
) -> None:
    """Keep-alives and line ends of either kind are read like any other stream."""
    called = await call(claude(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert (called.whole, called.text) == (True, "".join(TEXT))


@STREAMED
async def test_text_may_be_cut_anywhere(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """Characters that arrive in pieces are put together again."""
    called = await call(claude(emulator, "split-utf8", http), asking(model=MODEL, stream=stream))

    assert called.text == "".join(TRICKY)


@STREAMED
async def test_arguments_may_be_cut_anywhere(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """Arguments that are cut in an escape, or in a character, keep their meaning."""
    request = asking(model=MODEL, stream=stream, tools=TOOLS)
    called = await call(claude(emulator, "tools+split-utf8", http), request)

    (one,) = [part for part in called.assembly.message().parts if isinstance(part, ToolCall)]
    assert json.loads(one.args_json) == json.loads(TRICKY_ARGS)
    assert called.assembly.stopped is not None
    assert called.assembly.stopped.stop.reason == "tool_use"


async def test_a_long_answer_is_read_to_its_end(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """A thousand pieces are a thousand pieces."""
    called = await call(claude(emulator, "burst.1000", http), asking(model=MODEL, stream=True))

    assert called.text == "".join(f"{number} " for number in range(1_000))
    assert called.whole


async def test_pings_are_signs_of_life(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """A provider that only pings is not silent."""
    called = await call(claude(emulator, "ok", http), asking(model=MODEL, stream=True))

    assert Alive() in called.events


@STREAMED
async def test_a_refusal_is_an_answer(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """That the model declines is told as the reason why it stopped, with its class."""
    called = await call(claude(emulator, "refusal", http), asking(model=MODEL, stream=stream))

    assert called.assembly.stopped is not None
    stop = called.assembly.stopped.stop
    assert (stop.reason, stop.category) == ("refusal", "cyber")


@STREAMED
async def test_an_answer_at_its_limit_says_so(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """Reaching the limit of tokens is an end, and no silent one."""
    called = await call(claude(emulator, "max-tokens", http), asking(model=MODEL, stream=stream))

    assert called.assembly.stopped is not None
    assert called.assembly.stopped.stop.reason == "max_tokens"


@STREAMED
async def test_the_prompts_cache_is_accounted_for(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """Reads and writes of either lifetime are counted apart, and all of them as input."""
    called = await call(claude(emulator, "cached", http), asking(model=MODEL, stream=stream))
    usage = called.assembly.usage

    assert usage is not None
    assert (usage.input_total, usage.input_uncached, usage.cache_read) == (225, 25, 100)
    assert (usage.cache_write.five_minutes, usage.cache_write.one_hour) == (40, 60)


@STREAMED
async def test_usage_that_is_not_told_is_not_invented(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """An answer without usage is whole all the same."""
    called = await call(claude(emulator, "no-usage", http), asking(model=MODEL, stream=stream))

    assert called.whole
    assert called.assembly.usage is None


@STREAMED
@pytest.mark.parametrize("display", ["omitted", "summary"])
async def test_an_agent_goes_on_with_its_own_reasoning(
    emulator: Emulated, http: httpx2.AsyncClient, *, display: Display, stream: bool
) -> None:
    """What was thought and called is taken back unchanged, and the results are reported."""
    client = claude(emulator, "agent+reasoning", http)
    options: dict[str, Any] = {
        "tools": TOOLS,
        "reasoning": ReasoningOptions(mode="on", display=display),
    }
    first = asking('Look up {"city": "Oslo"}', model=MODEL, stream=stream, **options)
    said = (await call(client, first)).assembly.message()
    (tool_call,) = [part for part in said.parts if isinstance(part, ToolCall)]
    result = ToolResult(tool_call_id=tool_call.id, name="look_up", content="rainy")
    told = ChatMessage(role="tool", parts=[result])

    second = asking(model=MODEL, stream=stream, **options, messages=[*first.messages, said, told])
    called = await call(client, second)

    assert json.loads(tool_call.args_json) == {"city": "Oslo"}
    assert any(isinstance(part, Reasoning) and part.opaque for part in said.parts)
    assert called.error is None
    assert "look_up: rainy" in called.text


async def test_a_structured_answer_is_asked_for_in_the_interfaces_way(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """The schema goes where the API enforces it, in the form that it takes."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
    form = OutputFormat(type="json_schema", json_schema=schema)
    request = asking(model=MODEL, stream=False, output=OutputOptions(format=form))
    called = await call(claude(emulator, "ok+id.schema", http), request)

    sent = emulator.log(scenario="ok+id.schema")[0]["body"]["output_config"]["format"]
    assert called.whole
    assert sent["schema"]["additionalProperties"] is False


async def test_what_was_left_out_is_told_first(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """Warnings arrive with the beginning of the answer."""
    request = asking(model=MODEL, stream=True, sampling=Sampling(temperature=0.5))
    called = await call(claude(emulator, "ok", http), request)

    assert isinstance(called.events[0], Began)
    assert called.events[0].warnings == (
        "`sampling.temperature` is not known to Claude; it was left out.",
    )


async def test_an_option_that_must_not_be_left_out_is_an_error(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """A request for all or nothing is refused before anything is sent."""
    options: dict[str, Any] = {"sampling": Sampling(temperature=0.5), "on_unsupported": "error"}
    request = asking(model=MODEL, stream=True, **options)
    called = await call(claude(emulator, "ok+id.error", http), request)

    assert called.error is not None
    assert called.error.error == "bad_request"
    assert emulator.log(scenario="ok+id.error") == []


async def test_a_configured_limit_of_output_is_used(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """What is known of a model counts where the request names no limit."""
    models = {MODEL: Model(max_output=1_234)}
    scenario = "ok+id.limit"
    provider = Provider(wire="anthropic", base_url=emulator.url(scenario), models=models)
    await call(connect(provider, KEY, http), asking(model=MODEL, stream=False))

    assert emulator.log(scenario=scenario)[0]["body"]["max_tokens"] == 1_234


async def test_tokens_are_counted_by_the_provider(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """A longer request counts more."""
    client = claude(emulator, "ok", http)
    short, long = (asking(text, model=MODEL, stream=False) for text in ("a", "a" * 400))

    counted = [await client.count(short), await client.count(long)]

    assert counted[0] is not None
    assert counted[1] is not None
    assert 0 < counted[0] < counted[1]


async def test_a_probe_costs_nothing(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """Asking whether a provider is there asks no model."""
    await claude(emulator, "ok+id.probe", http).probe()

    assert [one["operation"] for one in emulator.log(scenario="ok+id.probe")] == ["models"]


async def test_a_failed_probe_has_its_class(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """A key that is refused is found out without a call of a model."""
    with pytest.raises(ModelCallError) as caught:
        await claude(emulator, "error.401", http).probe()

    assert caught.value.error == "auth"


async def test_claude_embeds_nothing(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """A request for vectors is refused without asking."""
    with pytest.raises(ModelCallError) as caught:
        await claude(emulator, "ok", http).embed(["a"], model="x", dimensions=0)

    assert caught.value.error == "model_not_found"


async def test_connections_are_used_again(emulator: Emulated) -> None:
    """Answers that were read to their end leave a connection for the next ones."""
    opened = 0

    class Counting(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal opened

            async def trace(name: str, info: dict[str, object]) -> None:
                nonlocal opened
                opened += name == "connection.connect_tcp.complete"

            request.extensions = {**request.extensions, "trace": trace}
            return await super().handle_async_request(request)

    async with httpx2.AsyncClient(transport=Counting()) as http:
        client = claude(emulator, "ok", http)
        for stream in (True, False, True):
            assert (await call(client, asking(model=MODEL, stream=stream))).whole

    assert opened == 1


async def test_a_server_without_keys_is_sent_none(
    emulator: Emulated, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the environment is not sent to a provider that was configured without any."""
    monkeypatch.setitem(os.environ, "ANTHROPIC_API_KEY", KEY.get_secret_value())
    provider = Provider(wire="anthropic", base_url=emulator.url("ok+id.keyless"))
    called = await call(connect(provider, None, http), asking(model=MODEL, stream=False))

    entry = emulator.log(scenario="ok+id.keyless")[0]
    assert called.error is not None
    assert called.error.error == "auth"
    assert KEY.get_secret_value() not in str(entry)
