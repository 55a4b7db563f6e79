"""Do OpenAI's adapters, with the vendor's own library, never take a failure for an answer?"""

import asyncio
import json
import time
from dataclasses import replace
from typing import Final

import httpx2
import pytest
from pydantic import SecretStr
from support.emulating import Emulated
from support.emulator_script import TEXT
from support.openai_clients import (
    CHAT,
    HELLO,
    KEY,
    LOCAL,
    RESPONSES,
    SECRET,
    Clients,
    Kind,
    answered,
    asking,
    clients_of,
    every_kind,
    every_stream,
    failed,
    vendors,
)

from segue_contracts.v1.chat import ChatMessage, ErrorClass, Sampling, ToolResult
from segue_providers.core.answer import Began, Grew, Metered
from segue_providers.core.configuration import Provider, Timeouts
from segue_providers.shell.adapters import openai_chat, openai_responses
from segue_providers.shell.http import http_client
from segue_providers.shell.ports import ModelCallError

GONE_S: Final = 0.5
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def client(emulator: Emulated, http: httpx2.AsyncClient) -> Clients:
    """Connect to a scenario."""
    return clients_of(emulator, http)


ERRORS: Final[dict[str, ErrorClass]] = {
    "400": "bad_request",
    "400.context": "context_window",
    "400.policy": "content_policy",
    "401": "auth",
    "402": "quota_exhausted",
    "403": "auth",
    "404": "model_not_found",
    "413": "context_window",
    "429": "rate_limited",
    "429.quota": "quota_exhausted",
    "429.spend": "quota_exhausted",
    "429.ra1": "rate_limited",
    "429.ra300": "rate_limited",
    "500": "server_error",
    "502-html": "server_error",
    "503": "overloaded",
    "503.slow": "rate_limited",
    "504": "server_error",
    "529": "overloaded",
}


@every_kind
@pytest.mark.parametrize(("fault", "error"), ERRORS.items(), ids=ERRORS)
async def test_every_refusal_has_its_class(
    client: Clients, emulator: Emulated, kind: Kind, fault: str, error: ErrorClass
) -> None:
    """It is told after one request, which the library never repeats."""
    scenario = f"error.{fault}+id.{kind.wire}-{kind.model}-{kind.on}".replace("gpt-5.5", "gpt")
    refused = await failed(client(kind, scenario.replace("llama3.2", "llama")), asking(kind))

    assert refused.error == error
    assert refused.http_status == int(fault[:3])
    waits = {"429.ra1": 1, "429.ra300": 300}
    assert refused.retry_after_s == waits.get(fault)
    assert len(emulator.log(scenario=scenario.replace("llama3.2", "llama"))) == 1


@every_kind
@pytest.mark.parametrize(
    ("scenario", "errors"),
    [
        ("drop", {"transport"}),
        ("preamble-error", {"overloaded"}),
        ("error-after.3", {"overloaded"}),
        ("abort.3", {"transport"}),
        ("malformed.3", {"truncated"}),
    ],
)
async def test_an_answer_that_breaks_is_an_error(
    client: Clients, kind: Kind, scenario: str, errors: set[str]
) -> None:
    """Nothing that broke off looks like an answer."""
    assert (await failed(client(kind, scenario), asking(kind))).error in errors


@every_stream
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 5, 6])
async def test_a_stream_that_ends_too_early_proves_nothing(
    client: Clients, kind: Kind, frames: int
) -> None:
    """A clean end of the connection is no end of an answer."""
    read = await answered(client(kind, f"eof.{frames}"), asking(kind))

    assert read.stopped is None


@vendors
async def test_half_a_reply_is_no_reply(client: Clients, kind: Kind) -> None:
    """Neither when the connection ends cleanly."""
    if kind.on:
        return
    assert (await failed(client(kind, "eof.1"), asking(kind))).error == "truncated"


async def test_the_vendor_proves_an_answer_by_its_reason_alone(client: Clients) -> None:
    """A chat stream is whole when it ends behind the reason, `[DONE]` or not."""
    whole = len(TEXT) + 2
    before = await answered(client(CHAT, f"eof.{whole - 1}"), asking(CHAT))
    behind = await answered(client(CHAT, f"eof.{whole}"), asking(CHAT))

    assert before.stopped is None
    assert behind.stopped is not None


async def test_a_local_server_proves_an_answer_by_saying_it_is_done(client: Clients) -> None:
    """It tells no reason to stop, so the end of the stream alone proves nothing."""
    last = len(TEXT) + 3
    before = await answered(client(LOCAL, f"eof.{last}"), asking(LOCAL))
    behind = await answered(client(LOCAL, f"eof.{last + 1}"), asking(LOCAL))

    assert before.stopped is None
    assert behind.stopped is not None
    assert behind.stopped.stop.raw == ""


@every_stream
@pytest.mark.parametrize("scenario", ["stall.6", "slow.50"])
async def test_closing_a_stream_ends_its_connection(
    client: Clients, emulator: Emulated, kind: Kind, scenario: str
) -> None:
    """The provider stops being paid for within half a second."""
    scenario = f"{scenario}+id.close-{kind.suffix[1:4]}-{kind.wire}"
    events = client(kind, scenario).answer(asking(kind))
    async for event in events:
        if isinstance(event, Grew):
            break
    began = time.monotonic()
    await events.aclose()

    assert time.monotonic() - began < GONE_S
    assert (await emulator.gone(scenario))["gone_s"] is not None


@every_kind
@pytest.mark.parametrize("scenario", ["hang", "stall.0"])
async def test_cancelling_a_call_ends_its_connection(
    client: Clients, emulator: Emulated, kind: Kind, scenario: str
) -> None:
    """Also while nothing has come yet; no second request follows."""
    scenario = f"{scenario}+id.cancel-{kind.suffix[1:4]}-{kind.wire}-{kind.on}"
    call = asyncio.create_task(answered(client(kind, scenario), asking(kind)))
    async with asyncio.timeout(5):
        while not emulator.log(scenario=scenario):  # noqa: ASYNC110 - the log is in a process
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (await emulator.gone(scenario))["gone_s"] is not None
    assert len(emulator.log(scenario=scenario)) == 1


@every_stream
async def test_a_provider_is_read_no_faster_than_its_reader(
    client: Clients, emulator: Emulated, kind: Kind
) -> None:
    """While nobody takes events, the provider's frames pile up at the provider."""
    scenario = f"burst.20000+id.slow-{kind.suffix[1:4]}-{kind.wire}"
    events = client(kind, scenario).answer(asking(kind))
    await anext(events)
    await anext(events)
    before = emulator.log(scenario=scenario)[-1]["frames"]
    await events.aclose()

    assert before < 20_000
    assert (await emulator.gone(scenario))["frames"] < 20_000


@every_stream
async def test_connections_are_used_again(emulator: Emulated, kind: Kind) -> None:
    """A whole answer leaves its connection to the next call."""
    provider = Provider(wire=kind.wire, base_url=emulator.url("ok", suffix=kind.suffix))
    async with http_client() as http:
        model = kind.connect(provider, kind.key, http)
        for _ in range(3):
            await answered(model, asking(kind))

        assert len(http._transport._pool.connections) == 1  # type: ignore[attr-defined]


async def test_a_failed_response_tells_what_it_used() -> None:
    """The library does not raise it; its usage is told before the error."""
    used = {"input_tokens": 3, "output_tokens": 2}
    error = {"code": "server_error", "message": "The model failed."}
    body = {"status": "failed", "output": [], "error": error, "usage": used}
    frame = {"type": "response.failed", "response": body}
    sse = f"event: response.failed\ndata: {json.dumps(frame)}\n\n"

    def reply(request: httpx2.Request) -> httpx2.Response:
        if json.loads(request.content).get("stream"):
            return httpx2.Response(200, text=sse, headers={"content-type": "text/event-stream"})
        return httpx2.Response(200, json=body)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reply)) as http:
        provider = Provider(wire="openai-responses", base_url="http://provider.test/v1")
        model = openai_responses.connect(provider, KEY, http)
        for kind in (RESPONSES, replace(RESPONSES, on=False)):
            events = model.answer(asking(kind))
            assert [type(await anext(events)) for _ in range(2)] == [Began, Metered]
            with pytest.raises(ModelCallError, match="The model failed") as caught:
                await anext(events)
            assert (caught.value.error, caught.value.code) == ("server_error", "server_error")


def telltale(status: int) -> httpx2.AsyncClient:
    """Connections to a server that repeats the key it was sent, wherever an error has words."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        key = request.headers["authorization"].removeprefix("Bearer ")
        error = {"message": f"Incorrect key: {key}.", "type": key, "code": key}
        return httpx2.Response(status, json={"error": error})

    return httpx2.AsyncClient(transport=httpx2.MockTransport(reply))


@pytest.mark.parametrize("secret", [SECRET, "no-pattern-would-know-this-one"])
@pytest.mark.parametrize("status", [200, 401, 500])
@vendors
async def test_no_error_shows_a_key(kind: Kind, secret: str, status: int) -> None:
    """Not even when the provider repeats it."""
    provider = Provider(wire=kind.wire, base_url="http://provider.test/v1")
    async with telltale(status) as http:
        model = kind.connect(provider, SecretStr(secret), http)
        if kind.on and status == 200:  # a stream of nothing, which is no error
            assert (await answered(model, asking(kind))).stopped is None
            return
        refused = await failed(model, asking(kind))

    assert "Incorrect key" in str(refused)
    assert secret not in f"{refused!r}{refused.__cause__!r}{refused.code}{refused}"


async def test_a_key_that_cannot_be_sent_is_a_bad_request(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """The error says so, without the key."""
    provider = Provider(wire="openai-chat", base_url=emulator.url("ok", suffix="/v1"))
    error = await failed(
        openai_chat.connect(provider, SecretStr("schlüssel\n"), http), asking(CHAT)
    )

    assert error.error == "bad_request"
    assert "schlüssel" not in str(error)


@every_kind
async def test_a_server_that_is_not_there_is_a_transport_error(
    kind: Kind, http: httpx2.AsyncClient, unused_tcp_port: int
) -> None:
    """It is told at once."""
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    provider = Provider(wire=kind.wire, base_url=url, timeouts=Timeouts(connect_s=1))

    assert (await failed(kind.connect(provider, KEY, http), asking(kind))).error == "transport"


@vendors
async def test_what_the_interface_refuses_is_a_bad_request(client: Clients, kind: Kind) -> None:
    """A result without its call is refused in the provider's words."""
    stray = ChatMessage(
        role="tool", parts=[ToolResult(tool_call_id="x", name="weather", content="sunny")]
    )
    error = await failed(client(kind, "ok"), asking(kind, HELLO, stray))

    assert error.error == "bad_request"
    assert "call" in str(error)


@vendors
async def test_what_cannot_be_written_is_never_sent(client: Clients, kind: Kind) -> None:
    """A request that wants all or nothing gets its answer here."""
    request = asking(kind, sampling=Sampling(top_k=3), on_unsupported="error")
    error = await failed(client(kind, "ok"), request)

    assert error.error == "bad_request"
    assert error.http_status == 0


async def test_a_keyless_server_gets_no_key(
    client: Clients, emulator: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what the vendor's library finds in the environment for the vendor."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    await answered(client(LOCAL, "ok+id.keyless"), asking(LOCAL))
    headers = emulator.log(scenario="ok+id.keyless")[0]["headers"]

    assert "authorization" not in headers
    assert "openai-organization" not in headers
