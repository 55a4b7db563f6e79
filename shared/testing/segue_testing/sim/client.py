"""The client: what does a program see of the simulated server?

It has the part of nats-py's interface that Segue's services use.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_testing.sim.objects import SimObjects
from segue_testing.sim.wire import Wire

if TYPE_CHECKING:
    from segue_testing.sim.server import SimServer

Callback = Callable[[Msg], Awaitable[None]]

MAX_PAYLOAD: Final = 1024 * 1024


class Sent(NamedTuple):
    """A message on the wire."""

    subject: str
    data: bytes = b""
    headers: Mapping[str, str] | None = None
    reply: str = ""


async def _nobody(*_: object) -> None:
    """Hear of something that nobody asked to hear of."""


class SimSubscription:
    """Hands messages to a callback, one after the other."""

    def __init__(self, client: "SimClient", subject: str, queue: str, cb: Callback) -> None:
        self.subject = subject
        self.queue = queue
        self._id = client.next_id()
        self._conn = client
        self._cb = cb
        self._pending: asyncio.Queue[Msg] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(
            self._work(), name=f"{client.name}: {subject}"
        )

    @property
    def client(self) -> "SimClient":
        """Who is subscribed."""
        return self._conn

    @property
    def key(self) -> int:
        """What the client calls it."""
        return self._id

    def take(self, message: Sent) -> None:
        """Queue a message that has arrived."""
        headers = dict(message.headers) if message.headers else None
        client = cast("Client", self._conn)
        self._pending.put_nowait(
            Msg(client, message.subject, message.reply, message.data, headers, _sid=self._id)
        )

    async def unsubscribe(self, limit: int = 0) -> None:
        """End at once; what has arrived is dropped."""
        if limit:
            raise NotImplementedError("a simulated subscription ends at once or not at all")
        self._conn.check()
        self.end()
        await self._conn._send_unsubscribe(self._id)  # noqa: SLF001 - named as in nats-py

    async def drain(self) -> None:
        """End once everything that has arrived is handled."""
        self._conn.check()
        await self._conn._send_unsubscribe(self._id)  # noqa: SLF001 - named as in nats-py
        await self._conn.flush()
        await self._pending.join()
        self.end()

    def end(self) -> None:
        """Handle nothing more."""
        self._conn.forget(self)
        self._task.cancel()

    async def _work(self) -> None:
        while True:
            message = await self._pending.get()
            try:
                await self._cb(message)
            except Exception as error:  # noqa: BLE001 - told, as nats-py does
                await self._conn.error_cb(error)
            finally:
                self._pending.task_done()


class SimClient:
    """A connection to the simulated server.

    Args:
        server: Where to.
        name: Who, as traces show it.
        steady: Whether nothing ever goes wrong on it, as a test's own needs it.
        on_crash: Ends the process that the connection belongs to.
    """

    def __init__(
        self,
        server: "SimServer",
        name: str,
        *,
        steady: bool = False,
        on_crash: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.steady = steady
        self.is_closed = False
        self.is_connected = False
        self.error_cb: Callable[[Exception], Awaitable[None]] = _nobody
        self._server = server
        self._on_crash = on_crash
        self._dead = False
        self._ids = 0
        self._subscriptions: dict[int, SimSubscription] = {}
        self._callbacks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._buffer: list[Callable[[], object]] = []
        self._up, self._down = Wire(server.faults), Wire(server.faults)

    async def connect(self, servers: Sequence[str] = (), **options: Any) -> None:
        """Connect; of the options only the callbacks count."""
        del servers
        self.error_cb = options.get("error_cb", _nobody)
        self._callbacks = {key: options.get(key, _nobody) for key in _CALLBACKS}
        self.is_connected = True
        await self.flush()

    def next_id(self) -> int:
        """Return a number that nothing else of this connection has."""
        self._ids += 1
        return self._ids

    def new_inbox(self) -> str:
        """Return a subject for answers."""
        return f"_INBOX.{self.name}.{self._server.next_id()}"

    def jetstream(self) -> SimObjects:
        """Return the object store's entrance."""
        return SimObjects(self.flush, self._server.objects, self._server.timestamp)

    def check(self) -> None:
        """Raise unless something can be asked of this connection.

        Raises:
            CancelledError: Its process is dead.
            ConnectionClosedError: It is closed.
        """
        if self._dead:
            raise asyncio.CancelledError
        if self.is_closed:
            raise nats.errors.ConnectionClosedError

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a message.

        Raises:
            CancelledError: The process died of it, or is dead.
            ConnectionClosedError: The connection is closed.
            MaxPayloadError: The message is too large.
        """
        self.check()
        if len(payload) > MAX_PAYLOAD:
            raise nats.errors.MaxPayloadError
        send = partial(self.post, Sent(subject, payload, headers, reply))
        if self._on_crash is not None and self._hits("crash"):
            if self._server.faults.random.random() < 0.5:  # noqa: PLR2004 - before or after, either way
                send()
            self._on_crash()
            raise asyncio.CancelledError
        send()
        if self._hits("disconnect"):
            self.lose_connection(self._server.faults.up_to(self._server.faults.plan.away_s))

    def post(self, message: Sent) -> None:
        """Send a message as it is, whatever else goes wrong; a dead client's is dropped."""
        if not self._dead:
            self._send(partial(self._server.route, self, message))

    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: Callback | None = None,
        **limits: int,
    ) -> SimSubscription:
        """Receive messages by a callback; limits are never reached."""
        del limits
        self.check()
        if cb is None:
            raise NotImplementedError("a simulated subscription needs a callback")
        subscription = SimSubscription(self, subject, queue, cb)
        self._subscriptions[subscription.key] = subscription
        self._send(partial(self._server.interest.add, subscription))
        return subscription

    async def _send_unsubscribe(self, sid: int, limit: int = 0) -> None:
        del limit
        self._send(partial(self._server.interest.remove, self, sid))

    async def flush(self, timeout: float = 10) -> None:  # noqa: ASYNC109 - named as in nats-py
        """Return once the server has done what was sent before.

        Raises:
            FlushTimeoutError: It takes too long.
        """
        self.check()
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send(partial(self._answer, partial(_settle, answered)))
        try:
            async with asyncio.timeout(timeout):
                await answered
        except TimeoutError as error:
            raise nats.errors.FlushTimeoutError from error

    async def drain(self) -> None:
        """Handle what has arrived, then close."""
        for subscription in tuple(self._subscriptions.values()):
            await subscription.drain()
        await self.close()

    async def close(self) -> None:
        """Close at once."""
        if not self.is_closed:
            self._leave()

    def die(self) -> None:
        """End as the process ends: what was sent still arrives, nothing is received any more."""
        self._dead = True
        self._leave()

    def lose_connection(self, away_s: float) -> None:
        """Lose everything on its way, and come back after a while with what was sent meanwhile."""
        if not self.is_connected:
            return
        self._server.note(self.name, "loses its connection", "")
        self.is_connected = False
        self._up.cut()
        self._down.cut()
        self._server.interest.remove(self)
        loop = asyncio.get_running_loop()
        self._tell("disconnected_cb")
        loop.call_later(away_s, self._come_back)

    def receive(self, subscription_key: int, message: Sent, *, delay_s: float = 0) -> None:
        """Bring a message from the server to a subscription."""
        self._answer(partial(self._take, subscription_key, message), delay_s=delay_s)

    def forget(self, subscription: SimSubscription) -> None:
        """Drop what still arrives for a subscription."""
        self._subscriptions.pop(subscription.key, None)

    def _take(self, subscription_key: int, message: Sent) -> None:
        if subscription := self._subscriptions.get(subscription_key):
            subscription.take(message)

    def _hits(self, kind: Any) -> bool:
        return not self.steady and self._server.faults.hits(kind)

    def _answer(self, arrive: Callable[[], object], *, delay_s: float = 0) -> None:
        if self.is_connected:
            self._down.send(arrive, delay_s=delay_s)

    def _send(self, arrive: Callable[[], object]) -> None:
        if self.is_connected:
            self._up.send(arrive)
        else:
            self._buffer.append(arrive)

    def _come_back(self) -> None:
        if self.is_closed:
            return
        self._server.note(self.name, "is connected again", "")
        self._up, self._down = Wire(self._server.faults), Wire(self._server.faults)
        self.is_connected = True
        for subscription in self._subscriptions.values():
            self._send(partial(self._server.interest.add, subscription))
        waiting, self._buffer = self._buffer, []
        for arrive in waiting:
            self._send(arrive)
        self._tell("reconnected_cb")

    def _tell(self, what: str) -> None:
        """Call one of the program's callbacks back."""
        callback = self._callbacks.get(what, _nobody)
        task = asyncio.ensure_future(callback())
        task.set_name(f"{self.name}: {what}")
        self._told = task  # a task that nobody holds may vanish

    def _leave(self) -> None:
        if self.is_connected:
            self._up.send(partial(self._server.interest.remove, self))
        self.is_closed, self.is_connected = True, False
        for subscription in tuple(self._subscriptions.values()):
            subscription.end()


_CALLBACKS: Final = ("disconnected_cb", "reconnected_cb")


def _settle(answered: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):
        answered.set_result(None)
