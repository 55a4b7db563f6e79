"""The puller: how are messages fetched from a durable consumer without ever stalling in silence?

Pull requests are raw JetStream API calls (ADR-13, ADR-42): short, counted, asked again after a
reconnect, and watched: when a request outlives its expiry with no word, it is taken for lost. A
consumer that is not there is asked again until it is.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_shared.bus import Bus
from segue_shared.replies import status_of
from segue_shared.wire import listen

_log = structlog.get_logger()

EXPIRES_S: Final = 2.0
_GRACE_S: Final = 2.0
_UNSERVED_DELAY_S: Final = 0.25
_WRONG_PIN: Final = "423"
_UNSERVED: Final = "503"
_NORMAL: Final = frozenset({"404", "408"})
"""Nothing is there now, or came before the request expired."""
_LEFT: Final = "Nats-Pending-Messages"


class Puller:
    """Keeps pull requests open on one consumer and queues what they bring."""

    def __init__(self, bus: Bus, *, stream: str, consumer: str, group: str = "") -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._consumer = consumer
        self._group = group
        self._queue: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._woken = False
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._outstanding = 0
        self._forget_reconnects: Callable[[], None] | None = None
        self.pin = ""
        """The pin id that requests carry; set by the owner of a pinned consumer."""
        self.silent = 0
        """Requests in a row that no consumer answered; more than a few mean a stall."""

    async def open(self) -> None:
        """Listen on a fresh inbox; what an older one still brings is dropped."""
        await self._unsubscribe()
        if self._forget_reconnects is None:
            self._forget_reconnects = self._bus.on_reconnect(self._forget_requests)
        self._queue.clear()
        self._outstanding = 0
        self._inbox = self._bus.client.new_inbox()
        self._subscription = await listen(self._bus.client, self._inbox, self._on_message)

    async def close(self) -> None:
        """Stop listening."""
        if self._forget_reconnects is not None:
            self._forget_reconnects()
            self._forget_reconnects = None
        with suppress(nats.errors.ConnectionClosedError):  # then nothing is listened to anyway
            await self._unsubscribe()

    async def next(self, wanted: int) -> list[Msg]:
        """Return the messages that are there, at most `wanted`; empty when none came in a while.

        Args:
            wanted: How many messages the caller can take, at least 1.
        """
        await self._top_up(wanted)
        if not self._queue and not self._woken:
            await self._wait()
        self._woken = False
        return await self._take(wanted)

    def wake(self) -> None:
        """Have `next` return what is there, now or when it is called."""
        self._woken = True
        self._arrived.set()

    async def _wait(self) -> None:
        """Return once something came, or the requests have outlived their expiry with no word."""
        self._arrived.clear()
        loop = asyncio.get_running_loop()
        watch = loop.call_later(EXPIRES_S + _GRACE_S, self._take_for_lost)
        try:
            await self._arrived.wait()
        finally:
            watch.cancel()

    def _take_for_lost(self) -> None:
        self._on_silence("no answer")
        self._forget_requests()

    async def _take(self, wanted: int) -> list[Msg]:
        batch: list[Msg] = []
        while self._queue and len(batch) < wanted:
            message = self._queue.popleft()
            if status := status_of(message):
                await self._on_status(status, message)
            else:
                self.silent = 0
                self._outstanding -= 1
                batch.append(message)
        return batch

    async def _top_up(self, wanted: int) -> None:
        """Ask for more once less than half of what is wanted is on its way."""
        missing = wanted - max(self._outstanding, 0) - len(self._queue)
        if missing <= wanted // 2:
            return
        await self._bus.wait_connected()
        self._outstanding = max(self._outstanding, 0) + missing
        request: dict[str, object] = {"batch": missing, "expires": int(EXPIRES_S * 1e9)}
        if self._group:
            request["group"] = self._group
        if self.pin:
            request["id"] = self.pin
        await self._bus.client.publish(
            self._subject, msgspec.json.encode(request), reply=self._inbox
        )

    def _on_message(self, message: Msg) -> None:
        self._queue.append(message)
        self._arrived.set()

    async def _on_status(self, status: str, message: Msg) -> None:
        headers = message.headers or {}
        self._outstanding -= int(headers.get(_LEFT, self._outstanding))
        if status == _WRONG_PIN:
            self.pin = ""
            self.silent = 0
        elif status in _NORMAL:
            self.silent = 0
        else:
            # Nobody serves the consumer, or it was deleted, moved or refuses: it may come back.
            reason = headers.get("Description", "")
            self._on_silence(reason or ("no such consumer" if status == _UNSERVED else status))
            await asyncio.sleep(_UNSERVED_DELAY_S)

    def _on_silence(self, reason: str) -> None:
        self.silent += 1
        if self.silent & (self.silent - 1) == 0:  # the first time, and ever more rarely
            _log.warning(
                "pull_unanswered", consumer=self._consumer, times=self.silent, reason=reason
            )

    def _forget_requests(self) -> None:
        self._outstanding = 0
        self._arrived.set()

    async def _unsubscribe(self) -> None:
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.unsubscribe()
