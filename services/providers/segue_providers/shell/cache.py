"""The exact cache: was an equal request answered lately?

It is used where the namespace allows it and the request does not forbid it. An answer out of it
costs nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from segue_contracts.envelope import encode
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.topology import COMPLETIONS
from segue_providers.core.configuration import NamespaceRules
from segue_providers.core.fingerprint import cache_key, may_be_shared, shared
from segue_providers.shell.completions import Kept, answer_of, kept_of
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import TransientError
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

_log = structlog.get_logger()

_PATIENCE_S: Final = 0.5
_NEAR_BYTES: Final = 32 * 1024 * 1024


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and when it is too old."""

    kept: Kept
    until_ms: int


class _Near(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in this process."""

    response: ChatResponse
    until_ms: int
    size: int


_decoder: Final = msgspec.json.Decoder(_Entry)


class ExactCache:
    """Answers by what was asked, in all replicas, and the latest ones in this process.

    Args:
        bus: The connection.
        payloads: Where large answers are.
        clock: Time.
        rules_of: The rules of a namespace.
        near_bytes: How much of the answers' JSON is kept in this process at most.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        payloads: Payloads,
        clock: Clock,
        rules_of: Callable[[str], NamespaceRules],
        near_bytes: int = _NEAR_BYTES,
    ) -> None:
        self._keys = KeyValue(bus, COMPLETIONS)
        self._bus = bus
        self._payloads = payloads
        self._clock = clock
        self._rules_of = rules_of
        self._near: OrderedDict[str, _Near] = OrderedDict()
        self._near_bytes = near_bytes
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of JSON whose answers are in this process."""
        return self._size

    def key_of(self, namespace: str, request: ChatRequest) -> str:
        """Return where a request's answer is cached; empty when it may not be shared at all."""
        key = cache_key(request) if self._rules_of(namespace).cache else ""
        return key and f"cache.{namespace}.{key}"

    async def find(self, key: str, request: ChatRequest) -> ChatResponse | None:
        """Return a cached answer as the answer to a request; None when there is none.

        A cache out of reach has none.

        Args:
            key: What `key_of` says of the request.
            request: The request.
        """
        near = self._near.get(key)
        if near is not None and near.until_ms > self._clock.now_ms():
            self._near.move_to_end(key)
            return shared(near.response, request, "exact")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await self._far(key)
        except (TimeoutError, TransientError) as error:
            _log.info("cache_unread", reason=str(error) or "no answer in time")
            return None
        return None if found is None else shared(found, request, "exact")

    async def keep(self, key: str, response: ChatResponse, *, ttl_s: int) -> None:
        """Cache an answer, unless it is incomplete, a refusal or somebody else's already.

        Args:
            key: What `key_of` says of its request.
            response: The answer.
            ttl_s: Seconds for which it is cached.
        """
        if response.cached != "none" or not may_be_shared(response):
            return
        until_ms = self._clock.now_ms() + ttl_s * 1000
        self._remember(key, response, until_ms)
        if not self._bus.connected:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                kept = await kept_of(response, self._payloads)
                entry = _Entry(kept=kept, until_ms=until_ms)
                await self._keys.put(key, encode(entry), ttl_s=ttl_s)
        except (TimeoutError, TransientError) as error:
            _log.info("cache_unwritten", reason=str(error) or "no answer in time")

    async def _far(self, key: str) -> ChatResponse | None:
        if not self._bus.connected or (found := await self._keys.get(key)) is None:
            return None
        entry = _decoder.decode(found.value)
        if entry.until_ms <= self._clock.now_ms():
            return None
        response = await answer_of(entry.kept, self._payloads)
        if response is not None:
            self._remember(key, response, entry.until_ms)
        return response

    def _remember(self, key: str, response: ChatResponse, until_ms: int) -> None:
        size = len(encode(response))
        if key in self._near:
            self._size -= self._near.pop(key).size
        if size > self._near_bytes // 4:
            return
        self._near[key] = _Near(response=response, until_ms=until_ms, size=size)
        self._size += size
        while self._size > self._near_bytes:
            self._size -= self._near.popitem(last=False)[1].size
