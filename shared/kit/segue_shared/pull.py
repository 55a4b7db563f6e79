"""The pull loop: how does a worker take tasks from a shared consumer?

Concurrency is bounded; more time is asked for from outside the handler, in a thread of its own, so
that a handler which blocks the event loop does not look dead; whatever ends is settled in one place
by what its error says about retrying.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from segue_shared.bus import Bus
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery, ack, delivery_of, nak, terminate
from segue_shared.errors import SegueError, TransientError
from segue_shared.heartbeat import Heartbeat
from segue_shared.puller import Puller

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.2, 1.0, 5.0, 15.0, 30.0)


class Ack(msgspec.Struct, frozen=True):
    """The task is done, or no longer wanted."""


class Nak(msgspec.Struct, frozen=True):
    """Hand the task out again."""

    delay_s: float = 0
    """Not before this many seconds."""


class Dead(msgspec.Struct, frozen=True):
    """The task cannot be handled by anybody."""

    reason: str
    """Typed reason, one subject token."""
    detail: str
    """One sentence."""


Verdict = Ack | Nak | Dead
Handler = Callable[[Delivery], Awaitable[Verdict]]


class PullLoop:
    """Takes tasks from a durable consumer, `concurrency` at a time."""

    def __init__(  # noqa: PLR0913 - a consumer is named by two words
        self,
        bus: Bus,
        *,
        stream: str,
        consumer: str,
        handler: Handler,
        dead_letters: DeadLetters,
        concurrency: int,
        ack_wait_s: float,
    ) -> None:
        self._bus = bus
        self._puller = Puller(bus, stream=stream, consumer=consumer)
        self._consumer = consumer
        self._handler = handler
        self._dead_letters = dead_letters
        self._concurrency = concurrency
        self._heartbeat = Heartbeat(bus.another, ack_wait_s=ack_wait_s)
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._free = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def in_flight(self) -> int:
        """How many tasks are being worked on."""
        return len(self._tasks)

    @property
    def silent(self) -> int:
        """Requests in a row that no consumer answered."""
        return self._puller.silent

    async def run(self) -> None:
        """Work until `stop` is called or this is cancelled; once stopped, return at once."""
        if self._stopped:
            return
        self._runner = asyncio.current_task()
        try:
            await self._puller.open()
            while not self._stopped:
                await self._fill()
        finally:
            await self._puller.close()

    async def _fill(self) -> None:
        while len(self._tasks) >= self._concurrency:
            self._free.clear()
            await self._free.wait()
        for message in await self._puller.next(self._concurrency - len(self._tasks)):
            delivery = delivery_of(message)
            self._heartbeat.watch(delivery.reply)
            task = asyncio.create_task(self._work(delivery))
            self._tasks[task] = delivery
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        delivery = self._tasks.pop(task)
        self._heartbeat.forget(delivery.reply)
        self._free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nobody asks for more time now, so the broker hands it out again after the ack wait.
            _log.error("task_not_settled", subject=delivery.subject, exc_info=error)

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, let what runs finish for `drain_s` seconds, give the rest back."""
        self._stopped = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=drain_s)
        left = dict(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(tuple(left))
        await asyncio.to_thread(self._heartbeat.stop)

    async def _work(self, delivery: Delivery) -> None:
        with self._bus.observer.message(delivery.subject, delivered=delivery.delivered):
            try:
                verdict = await self._judge(delivery)
            except asyncio.CancelledError:
                await nak(self._bus.client, delivery, 0)
                raise
            await self._settle(delivery, verdict)

    async def _judge(self, delivery: Delivery) -> Verdict:
        """Run the handler, and turn its error into what shall become of the task."""
        try:
            return await self._handler(delivery)
        except TransientError as error:
            _log.info("task_again", subject=delivery.subject, reason=str(error))
        except SegueError as error:
            return Dead("unhandled", str(error))
        except Exception:  # noqa: BLE001 - logged, and the task comes again
            _log.exception("task_crashed", subject=delivery.subject)
        return Nak(_BACKOFF_S[min(delivery.delivered, len(_BACKOFF_S)) - 1])

    async def _settle(self, delivery: Delivery, verdict: Verdict) -> None:
        client = self._bus.client
        match verdict:
            case Ack():
                await ack(client, delivery)
            case Nak(delay_s):
                await nak(client, delivery, delay_s)
            case Dead(reason, detail):
                await self._dead_letters.bury(delivery, reason, detail)
                await terminate(client, delivery)
