"""Streams: when is the first word of a streamed answer there, with the router and without?"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import UnsetType
from nats.aio.msg import Msg

from bench.provider_stand import MODELS, MOST_TOKENS, QUESTION, Stand, asking
from segue_contracts.envelope import decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import StreamOptions
from segue_contracts.v1.deltas import Delta, DeltaEnd, DeltaError, PartDelta, StepDelta
from segue_contracts.v1.registry import decode


async def bare_first_token_ms(made: Stand, provider: str) -> float:
    """Stream an answer with the vendor's library alone, and return when its first word came."""
    begin = time.perf_counter()
    first = await (_claude(made) if provider == "claude" else _chat(made))
    return (first - begin) * 1000


async def _claude(made: Stand) -> float:
    first = 0.0
    stream = await made.claude.messages.create(
        model=MODELS["claude"],
        max_tokens=MOST_TOKENS,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
    )
    async for event in stream:
        if event.type == "content_block_delta" and not first:
            first = time.perf_counter()
    return first


async def _chat(made: Stand) -> float:
    first = 0.0
    stream = await made.chat.chat.completions.create(
        model=MODELS["chat"],
        max_completion_tokens=MOST_TOKENS,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
    )
    async for chunk in stream:
        if not first and chunk.choices and chunk.choices[0].delta.content:
            first = time.perf_counter()
    return first


class Watcher:
    """Streams answers through the router, one at a time, to a subject of its own."""

    def __init__(self, made: Stand) -> None:
        self._made = made
        self.subject: Final = subjects.call_deltas("default", "bench")
        self._first = 0.0
        self._ended = asyncio.Event()

    async def first_token_ms(self, provider: str) -> float:
        """Have an answer streamed, and return when its first word came."""
        self._first = 0.0
        self._ended.clear()
        stream = StreamOptions(on=True, to=self.subject)
        begin = time.perf_counter()
        await self._made.routed(asking(provider, stream=stream))
        await self._ended.wait()
        return (self._first - begin) * 1000

    async def on_delta(self, message: Msg) -> None:
        """Note when the first word and the end come."""
        body = decode(decode_event(message.data))
        if not isinstance(body, StepDelta):
            raise TypeError(f"{message.subject} carries a {type(body).__name__}")
        if not self._first and _speaks(body.delta):
            self._first = time.perf_counter()
        if isinstance(body.delta, DeltaEnd | DeltaError):
            self._ended.set()


@asynccontextmanager
async def watching(made: Stand) -> AsyncIterator[Watcher]:
    """Listen to the deltas of one's own calls."""
    watcher = Watcher(made)
    subscription = await made.bus.subscribe(watcher.subject, watcher.on_delta)
    try:
        yield watcher
    finally:
        await subscription.unsubscribe()


def _speaks(delta: Delta) -> bool:
    return isinstance(delta, PartDelta) and not isinstance(delta.text, UnsetType)
