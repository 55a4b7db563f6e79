"""Claude's faults: does no broken answer pass for a whole one, with the real library?"""

import asyncio

import httpx2
import pytest
from pydantic import SecretStr
from support.emulating import Emulated
from support.model_calls import KEY, asking, call, reading
from support.wait import until

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.configuration import Provider, Timeouts
from segue_providers.shell.adapters.anthropic import connect
from segue_providers.shell.http import http_client
from segue_providers.shell.ports import ModelClient

MODEL = "claude-opus-5"
CLOSED_WITHIN_S = 0.5

pytestmark = pytest.mark.asyncio(loop_scope="module")
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def claude(emulator: Emulated, scenario: str, http: httpx2.AsyncClient) -> ModelClient:
    """Return a client of the emulated Claude."""
    provider = Provider(wire="anthropic", base_url=emulator.url(scenario))
    return connect(provider, KEY, http)


@STREAMED
@pytest.mark.parametrize(
    ("fault", "expected", "status"),
    [
        ("400", "bad_request", 400),
        ("400.context", "context_window", 400),
        ("400.policy", "content_policy", 400),
        ("400.credit", "quota_exhausted", 400),
        ("401", "auth", 401),
        ("402", "quota_exhausted", 402),
        ("403", "auth", 403),
        ("403.hold", "auth", 403),
        ("404", "model_not_found", 404),
        ("413", "context_window", 413),
        ("429.quota", "quota_exhausted", 429),
        ("429.ramp", "rate_limited", 429),
        ("500", "server_error", 500),
        ("502-html", "server_error", 502),
        ("503", "server_error", 503),
        ("504", "server_error", 504),
        ("529", "overloaded", 529),
    ],
)
async def test_a_refusal_has_its_class_and_is_asked_for_once(
    emulator: Emulated,
    http: httpx2.AsyncClient,
    *,
    fault: str,
    expected: ErrorClass,
    status: int,
    stream: bool,
) -> None:
    """Each refusal becomes its class, after a single request."""
    scenario = f"error.{fault}+id.{stream}"
    called = await call(claude(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert (called.error.error, called.error.http_status) == (expected, status)
    assert called.events == ()
    assert len(emulator.log(scenario=scenario)) == 1


@STREAMED
@pytest.mark.parametrize("seconds", [1, 300])
async def test_the_wait_a_provider_asks_for_is_told_and_not_kept(
    emulator: Emulated, http: httpx2.AsyncClient, *, seconds: int, stream: bool
) -> None:
    """`Retry-After` arrives in the error; nobody waits for it here."""
    scenario = f"error.429.ra{seconds}+id.{stream}"
    async with asyncio.timeout(seconds):
        called = await call(claude(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert (called.error.error, called.error.retry_after_s) == ("rate_limited", seconds)


@STREAMED
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("drop", "transport"),
        ("abort.0", "transport"),
        ("abort.5", "transport"),
        ("preamble-error", "overloaded"),
        ("error-after.5", "overloaded"),
        ("malformed.4", "truncated"),
    ],
)
async def test_a_broken_answer_is_an_error(
    emulator: Emulated,
    http: httpx2.AsyncClient,
    *,
    scenario: str,
    expected: ErrorClass,
    stream: bool,
) -> None:
    """Whatever breaks, before or after the first word, is told; nothing is asked twice."""
    scenario = f"{scenario}+id.{stream}"
    called = await call(claude(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert called.error.error == expected
    assert not called.whole
    assert len(emulator.log(scenario=scenario)) == 1


@STREAMED
@pytest.mark.parametrize("frames", range(1, 11))
async def test_an_answer_cut_in_good_order_is_never_whole(
    emulator: Emulated, http: httpx2.AsyncClient, *, frames: int, stream: bool
) -> None:
    """Wherever the connection ends well but too early, there is no proof of an end."""
    scenario = f"eof.{frames}+id.{stream}"
    called = await call(claude(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert not called.whole
    assert stream or (called.error is not None and called.error.error == "truncated")


@pytest.mark.parametrize("scenario", ["stall.1", "stall.5", "slow.50", "burst.5000"])
async def test_closing_an_answer_ends_its_connection_soon(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str
) -> None:
    """Whoever stops listening also stops the provider, at every phase of an answer."""
    scenario = f"{scenario}+id.close"
    client = claude(emulator, scenario, http)
    async with reading(client, asking(model=MODEL, stream=True)) as answer:
        await anext(answer)
        closing = asyncio.get_running_loop().time()

    entry = await emulator.gone(scenario)
    assert asyncio.get_running_loop().time() - closing < CLOSED_WITHIN_S
    assert entry["done_s"] is None


@pytest.mark.parametrize("scenario", ["hang", "stall.3"])
@STREAMED
async def test_a_cancelled_task_ends_its_connection_soon(
    emulator: Emulated, http: httpx2.AsyncClient, *, scenario: str, stream: bool
) -> None:
    """Cancelling reaches the provider's socket, and passes through unchanged."""
    scenario = f"{scenario}+id.cancel.{stream}"
    request = asking(model=MODEL, stream=stream)
    task = asyncio.create_task(call(claude(emulator, scenario, http), request))
    await until(lambda: asyncio.to_thread(emulator.log, scenario=scenario))
    task.cancel()
    cancelled = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await task

    await emulator.gone(scenario)
    assert asyncio.get_running_loop().time() - cancelled < CLOSED_WITHIN_S
    assert len(emulator.log(scenario=scenario)) == 1


async def test_a_slow_listener_slows_the_provider(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """The provider is read no faster than the events are taken."""
    scenario = "burst.50000+id.slow"
    client = claude(emulator, scenario, http)

    async def held_back() -> int:
        (entry,) = await asyncio.to_thread(emulator.log, scenario=scenario)
        return int(entry["frames"]) if entry["waiting"] else 0

    async with reading(client, asking(model=MODEL, stream=True)) as answer:
        await anext(answer)

        assert await until(held_back) < 50_000


@STREAMED
async def test_a_refused_connection_is_told_at_once(
    http: httpx2.AsyncClient, *, stream: bool, unused_tcp_port: int
) -> None:
    """Where nobody listens the error is one of transport, within a moment."""
    provider = Provider(wire="anthropic", base_url=f"http://127.0.0.1:{unused_tcp_port}")
    async with asyncio.timeout(5):
        called = await call(connect(provider, KEY, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert called.error.error == "transport"


async def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    """The time to connect is the only one that the adapter keeps itself."""

    async def never(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectTimeout("slow", request=request)

    timeouts = Timeouts(connect_s=0.05)
    provider = Provider(wire="anthropic", base_url="http://a.example", timeouts=timeouts)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(never)) as http:
        called = await call(connect(provider, KEY, http), asking(model=MODEL, stream=False))

    assert called.error is not None
    assert called.error.error == "timeout_connect"


@STREAMED
@pytest.mark.parametrize("status", [401, 500])
async def test_no_key_gets_into_an_error(*, status: int, stream: bool) -> None:
    """A provider that repeats the key, wherever it does, is not quoted with it."""

    def echo(request: httpx2.Request) -> httpx2.Response:
        key = request.headers["authorization"].removeprefix("Bearer ")
        error = {"type": key, "message": f"refused {key}", "details": {"error_code": key}}
        return httpx2.Response(status, json={"type": "error", "error": error})

    provider = Provider(wire="anthropic", base_url="http://a.example")
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(echo)) as http:
        called = await call(connect(provider, KEY, http), asking(model=MODEL, stream=stream))

    assert not called.whole
    assert called.error is not None
    told = f"{called.error!r} {called.error.code} {called.error.__cause__!r}"
    assert KEY.get_secret_value() not in told


async def test_a_key_that_cannot_be_sent_is_an_error_without_it(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """A key with a line break in it is refused, and not shown."""
    provider = Provider(wire="anthropic", base_url=emulator.url("ok+id.key"))
    client = connect(provider, SecretStr("broken\nkey"), http)
    called = await call(client, asking(model=MODEL, stream=False))

    assert called.error is not None
    assert called.error.error == "bad_request"
    assert "broken" not in repr(called.error)


@STREAMED
async def test_a_redirect_is_not_followed_with_a_key(
    emulator: Emulated, http: httpx2.AsyncClient, *, stream: bool
) -> None:
    """A server that points elsewhere does not get the key sent there."""
    elsewhere = f"ok+id.redirect.{stream}"

    def point(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(307, headers={"location": emulator.url(elsewhere)})

    async with http_client() as redirected:
        redirected._transport = httpx2.MockTransport(point)
        provider = Provider(wire="anthropic", base_url="http://a.example")
        called = await call(connect(provider, KEY, redirected), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert called.error.error == "bad_request"
    assert emulator.log(scenario=elsewhere) == []
