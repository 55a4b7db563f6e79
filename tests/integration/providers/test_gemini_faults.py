"""Gemini's faults: does no broken answer pass for a whole one, with the real library?"""

import asyncio
from typing import Final

import httpx2
import pytest
from support.emulating import Emulated
from support.model_calls import KEY, asking, call, reading
from support.wait import until

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.configuration import Provider, Timeouts
from segue_providers.shell.adapters.gemini import connect
from segue_providers.shell.ports import ModelClient

MODEL: Final = "gemini-3.8-flash"
FRAMES: Final = 6
"""Of the emulator's plain answer."""
CLOSED_WITHIN_S: Final = 0.5

pytestmark = pytest.mark.asyncio(loop_scope="module")
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def gemini(emulator: Emulated, scenario: str, http: httpx2.AsyncClient) -> ModelClient:
    """Return a client of the emulated Gemini."""
    return connect(Provider(wire="gemini", base_url=emulator.url(scenario)), KEY, http)


def shows_the_key(error: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, holds the key."""
    secret = KEY.get_secret_value()
    while error is not None:
        if secret in f"{error!r} {error} {vars(error)}":
            return True
        error = error.__cause__ or error.__context__
    return False


@STREAMED
@pytest.mark.parametrize(
    ("fault", "expected", "wait_s"),
    [
        ("400", "bad_request", None),
        ("400.key", "auth", None),
        ("400.context", "context_window", None),
        ("401", "auth", None),
        ("402", "quota_exhausted", None),
        ("403", "auth", None),
        ("404", "model_not_found", None),
        ("413", "context_window", None),
        ("429", "rate_limited", None),
        ("429.ra1", "rate_limited", 1),
        ("429.ra300", "rate_limited", 300),
        ("429.quota", "quota_exhausted", None),
        ("500", "server_error", None),
        ("502-html", "server_error", None),
        ("503", "overloaded", None),
        ("504", "server_error", None),
        ("529", "overloaded", None),
    ],
)
async def test_a_refusal_is_understood_by_what_it_says(
    emulator: Emulated,
    http: httpx2.AsyncClient,
    *,
    fault: str,
    expected: ErrorClass,
    wait_s: float | None,
    stream: bool,
) -> None:
    """Nothing is asked twice, no page of a proxy is shown, and a wait asked for is kept."""
    scenario = f"error.{fault}+id.{stream}"
    called = await call(gemini(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert (called.error.error, called.error.retry_after_s) == (expected, wait_s)
    assert called.error.http_status == int(fault[:3])
    assert called.events == ()
    assert "<" not in str(called.error)
    assert len(emulator.log(scenario=scenario)) == 1


@STREAMED
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("drop", "transport"),
        ("preamble-error", "overloaded"),
        ("error-after.0", "overloaded"),
        ("error-after.2", "overloaded"),
        ("abort.0", "transport"),
        ("abort.2", "transport"),
        ("malformed.0", "truncated"),
        ("malformed.2", "truncated"),
        *((f"eof.{frames}", "truncated") for frames in range(FRAMES)),
    ],
)
async def test_what_breaks_off_is_never_whole(
    emulator: Emulated,
    http: httpx2.AsyncClient,
    *,
    scenario: str,
    expected: ErrorClass,
    stream: bool,
) -> None:
    """Whatever the connection says, only Gemini's own word ends an answer."""
    scenario = f"{scenario}+id.{stream}"
    called = await call(gemini(emulator, scenario, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert called.error.error == expected
    assert not called.whole
    assert len(emulator.log(scenario=scenario)) == 1


@pytest.mark.parametrize("scenario", ["error.400.key", "error.500", "abort.1", "malformed.1"])
async def test_no_error_holds_the_key(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str
) -> None:
    """Neither an error nor what it came from, since both end up in logs."""
    called = await call(gemini(emulator, scenario, http), asking(model=MODEL, stream=True))

    assert called.error is not None
    assert not shows_the_key(called.error)


@pytest.mark.parametrize("scenario", [f"abort.{FRAMES}", f"stall.{FRAMES}"])
async def test_what_follows_a_whole_answer_cannot_spoil_it(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str
) -> None:
    """A connection that breaks, or never ends, after the last word costs no more than a moment."""
    async with asyncio.timeout(5):
        called = await call(gemini(emulator, scenario, http), asking(model=MODEL, stream=True))

    assert called.error is None
    assert called.whole


@pytest.mark.parametrize("scenario", ["stall.1", "stall.5", "slow.50", "burst.5000"])
async def test_closing_an_answer_ends_its_connection_soon(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str
) -> None:
    """Whoever stops listening also stops Gemini, at every phase of an answer."""
    scenario = f"{scenario}+id.close"
    client = gemini(emulator, scenario, http)
    async with reading(client, asking(model=MODEL, stream=True)) as answer:
        await anext(answer)
        closing = asyncio.get_running_loop().time()

    entry = await emulator.gone(scenario)
    assert asyncio.get_running_loop().time() - closing < CLOSED_WITHIN_S
    assert entry["done_s"] is None


@STREAMED
@pytest.mark.parametrize("scenario", ["hang", "stall.3"])
async def test_a_cancelled_task_ends_its_connection_soon(
    emulator: Emulated, http: httpx2.AsyncClient, *, scenario: str, stream: bool
) -> None:
    """Cancelling reaches the provider's socket, and passes through unchanged."""
    scenario = f"{scenario}+id.cancel.{stream}"
    request = asking(model=MODEL, stream=stream)
    task = asyncio.create_task(call(gemini(emulator, scenario, http), request))
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
    """Gemini is read no faster than the events are taken."""
    scenario = "burst.20000+id.slow"
    client = gemini(emulator, scenario, http)

    async def held_back() -> int:
        (entry,) = await asyncio.to_thread(emulator.log, scenario=scenario)
        return int(entry["frames"]) if entry["waiting"] else 0

    async with reading(client, asking(model=MODEL, stream=True)) as answer:
        await anext(answer)

        assert await until(held_back) < 20_000


@STREAMED
async def test_a_refused_connection_is_told_at_once(
    http: httpx2.AsyncClient, *, stream: bool, unused_tcp_port: int
) -> None:
    """Where nobody listens the error is one of transport, within a moment."""
    provider = Provider(wire="gemini", base_url=f"http://127.0.0.1:{unused_tcp_port}")
    async with asyncio.timeout(5):
        called = await call(connect(provider, KEY, http), asking(model=MODEL, stream=stream))

    assert called.error is not None
    assert called.error.error == "transport"


async def test_only_connecting_is_timed() -> None:
    """The library's own timeout would be none at all, not even for a connection."""
    seen = list[object]()

    async def never(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"])
        raise httpx2.ConnectTimeout("slow", request=request)

    provider = Provider(wire="gemini", timeouts=Timeouts(connect_s=3))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(never)) as http:
        called = await call(connect(provider, KEY, http), asking(model=MODEL, stream=True))

    assert called.error is not None
    assert called.error.error == "timeout_connect"
    assert seen == [{"connect": 3, "read": None, "write": None, "pool": 3}]
