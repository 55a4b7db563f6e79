"""The heartbeat: how does a long task stay alive on the broker while its handler is busy?

A thread with its own event loop and connection asks for more time, so that a handler which blocks
the service's loop does not look dead. The connection is made for the first task that lasts.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

import nats.errors
import structlog

from segue_shared.bus import Bus
from segue_shared.delivery import in_progress
from segue_shared.errors import TransientError

_log = structlog.get_logger()

_BEATS_PER_WAIT: Final = 3
_JOIN_S: Final = 5


class Heartbeat:
    """Keeps watched tasks alive until they are forgotten.

    Args:
        connect: Opens a connection that only the thread uses, on the thread's own event loop.
        ack_wait_s: The consumer's patience; a beat comes three times in it.
    """

    def __init__(self, connect: Callable[[], Awaitable[Bus]], *, ack_wait_s: float) -> None:
        self._connect = connect
        self._period_s = ack_wait_s / _BEATS_PER_WAIT
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._bus: Bus | None = None

    def watch(self, reply: str) -> None:
        """Begin to keep a task alive; `reply` is where it is settled."""
        with self._lock:
            self._since[reply] = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="heartbeat", daemon=True)
            self._thread.start()

    def forget(self, reply: str) -> None:
        """End it; the task is settled."""
        with self._lock:
            self._since.pop(reply, None)

    def stop(self) -> None:
        """End the thread and its connection."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=_JOIN_S)

    def _lasting(self) -> list[str]:
        """Return the tasks that are older than a period."""
        before = time.monotonic() - self._period_s
        with self._lock:
            return [reply for reply, since in self._since.items() if since <= before]

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            while not self._stopped.wait(self._period_s):
                if replies := self._lasting():
                    runner.run(self._beat(replies))
            if self._bus is not None:
                runner.run(self._bus.close())

    async def _beat(self, replies: list[str]) -> None:
        try:
            async with asyncio.timeout(self._period_s):
                if self._bus is None:
                    self._bus = await self._connect()
                for reply in replies:
                    await in_progress(self._bus.client, reply)
                await self._bus.client.flush()
        except (TransientError, TimeoutError, nats.errors.Error) as error:
            _log.warning("heartbeat_missed", tasks=len(replies), reason=str(error))
