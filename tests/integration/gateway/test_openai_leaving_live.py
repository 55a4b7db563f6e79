"""Leaving live: what becomes of a call whose client goes away, or reads slowly?"""

import asyncio
import socket
import time
from typing import Any, Final
from urllib.parse import urlsplit

import openai
import pytest
from integration.gateway.openai_ingress import MODEL, PATIENCE_S, Ingress
from support.emulating import Emulated
from support.wait import until

from segue_contracts.envelope import encode

HELLO: Final[Any] = [{"role": "user", "content": "Hello!"}]
GONE_S: Final = 1.0
TOOLS: Final = 128
PIECE: Final = 200_000
BLOB: Final[Any] = {"role": "user", "content": '{"blob": "' + "x" * PIECE + '"}'}
TAKING_BLOBS: Final[Any] = [
    {
        "type": "function",
        "function": {
            "name": f"take_{number}",
            "parameters": {
                "type": "object",
                "properties": {"blob": {"type": "string"}},
                "required": ["blob"],
            },
        },
    }
    for number in range(TOOLS)
]


async def asked(ingress: Ingress) -> list[dict[str, Any]]:
    """Return the vendor's log, without holding up the services in this loop."""
    return await asyncio.to_thread(ingress.asked)


async def gone(vendor: Emulated) -> dict[str, Any]:
    """Return the vendor's last request once its client is known to have gone away."""

    async def ask() -> dict[str, Any] | None:
        log = await asyncio.to_thread(vendor.log)
        return log[-1] if log and log[-1]["gone_s"] is not None else None

    entry = await until(ask)
    assert entry is not None
    return entry


async def test_leaving_a_stream_ends_the_call_at_the_vendor(ingress_: Ingress) -> None:
    """Within a second, so that nobody pays for what nobody reads."""
    ingress_.play("slow.200+burst.1000")
    chunks = await ingress_.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    async for chunk in chunks:
        if chunk.choices[0].delta.content:
            break
    left = time.monotonic()
    await chunks.close()
    entry = await gone(ingress_.emulator)

    assert time.monotonic() - left < GONE_S
    assert entry["done_s"] is None
    assert len(await asked(ingress_)) == 1


@pytest.mark.parametrize("path", ["chat", "responses"])
async def test_leaving_before_the_answer_ends_the_call_at_the_vendor(
    ingress_: Ingress, path: str
) -> None:
    """A call that is not streamed is taken back too."""
    ingress_.play("hang")
    client = ingress_.client
    work = asyncio.create_task(
        client.chat.completions.create(model=MODEL, messages=HELLO)
        if path == "chat"
        else client.responses.create(model=MODEL, input="Hello!")
    )
    await until(lambda: asked(ingress_))
    left = time.monotonic()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await gone(ingress_.emulator)

    assert time.monotonic() - left < GONE_S


async def test_who_repeats_a_request_does_not_lose_it_to_who_gave_it_up(
    ingress_: Ingress,
) -> None:
    """One client of two with the same key leaves; the other still gets the answer."""
    ingress_.play("slow.100+burst.20")
    key = {"Idempotency-Key": "shared"}

    def ask() -> asyncio.Task[Any]:
        create = ingress_.client.chat.completions.create
        return asyncio.create_task(create(model=MODEL, messages=HELLO, extra_headers=key))

    leaver, stayer = ask(), ask()
    await until(lambda: asked(ingress_))
    leaver.cancel()
    completion = await stayer

    assert completion.choices[0].message.content.endswith("19 ")
    assert len(await asked(ingress_)) == 1


async def test_a_stream_is_not_shared_by_two(ingress_: Ingress) -> None:
    """Who comes while it is written is told to come again, and then gets the same answer."""
    ingress_.play("slow.20+burst.50")
    create = ingress_.client.chat.completions.create
    key = {"Idempotency-Key": "twice"}
    stream = await create(model=MODEL, messages=HELLO, extra_headers=key, stream=True)
    with pytest.raises(openai.ConflictError) as caught:
        await create(model=MODEL, messages=HELLO, extra_headers=key, stream=True)
    told = [chunk.choices[0].delta.content or "" async for chunk in stream]
    again = await create(model=MODEL, messages=HELLO, extra_headers=key)

    assert caught.value.code == "idempotency_key_in_use"
    assert again.choices[0].message.content == "".join(told)
    assert len(await asked(ingress_)) == 1


async def test_a_slow_reader_is_waited_for(ingress_: Ingress) -> None:
    """The vendor is not read faster than the client reads, and the client gets all of it."""
    ingress_.play("agent")
    with _slow_client(ingress_) as client:
        await _steady(ingress_)
        [entry] = await asked(ingress_)
        assert entry["done_s"] is None
        told = await asyncio.to_thread(_rest_of, client)

    assert told.count(b"x") > TOOLS * PIECE
    assert b'"finish_reason":"tool_calls"' in told
    assert b"data: [DONE]\n\n" in told[-100:]


def _slow_client(ingress: Ingress) -> socket.socket:
    """Ask for a stream that fills all buffers on the way, and read nothing of it."""
    place = urlsplit(ingress.url)
    assert place.hostname is not None
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect((place.hostname, place.port or 0))
    client.settimeout(PATIENCE_S)
    body = encode({"model": MODEL, "messages": [BLOB], "tools": TAKING_BLOBS, "stream": True})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client.sendall(head.encode() + body)
    return client


async def _steady(ingress: Ingress) -> None:
    """Wait until the vendor waits to be read, and stays so."""
    seen: list[int] = []

    async def waits() -> bool:
        log = await asked(ingress)
        seen.append(log[0]["frames"] if log and log[0]["waiting"] else -1)
        return len(seen) > 20 and len(set(seen[-20:])) == 1 and seen[-1] > 0

    await until(waits)


def _rest_of(client: socket.socket) -> bytes:
    """Read on to the end."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)
