"""The bus: how does a service publish, ask and listen?"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue_contracts.envelope import encode
from segue_shared.alive import while_alive
from segue_shared.connection import Connection
from segue_shared.errors import BusUnavailableError, TimedOutError
from segue_shared.masking import masked
from segue_shared.observer import UNOBSERVED, Observer
from segue_shared.replies import ReplyBox, result_of, violated_subject
from segue_shared.storing import Creation, Outgoing, Stored, StreamPublisher, guarded
from segue_shared.tracing import current, inject
from segue_shared.wire import settle, translated

__all__ = ["Bus", "Creation", "Handler", "Stored"]

T = TypeVar("T")
Handler = Callable[[Msg], Awaitable[None]]

_log = structlog.get_logger()

_SETTLE_S: Final = 2
_PENDING_BYTES: Final = 32 * 1024 * 1024


class Bus:
    """One connection to the broker, which comes back by itself whenever it is lost."""

    def __init__(self, observer: Observer = UNOBSERVED) -> None:
        self.client: Final[Client] = Connection()
        self.observer: Final = observer
        """Who is told of what happens on this connection; loops on it tell the same one."""
        self._up = asyncio.Event()
        self._closing = False
        self._on_reconnect: list[Callable[[], None]] = []
        self._box: ReplyBox | None = None
        self._streams: StreamPublisher | None = None
        self._again: Callable[[], Awaitable[Bus]] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        nkey_seed_file: str | None = None,
        inbox_prefix: str = "",
        max_wait_s: float | None = None,
        observer: Observer = UNOBSERVED,
    ) -> "Bus":
        """Connect, and stay connected for ever.

        Args:
            url: The broker's address, `nats://host:port`, or several separated by commas.
            name: Who connects, as the broker shows it.
            nkey_seed_file: File with the user's NKey seed; none for an open broker.
            inbox_prefix: Where answers arrive, when permissions prescribe it.
            max_wait_s: How long to wait for the first connection; None waits for ever.
            observer: Who counts; nobody by default.

        Raises:
            BusUnavailableError: No broker answered in `max_wait_s`.
        """
        bus = cls(observer)
        bus._again = partial(
            cls.connect,
            url,
            name=name,
            nkey_seed_file=nkey_seed_file,
            inbox_prefix=inbox_prefix,
            observer=observer,
        )
        user = {"nkeys_seed": nkey_seed_file, "inbox_prefix": inbox_prefix}
        try:
            async with asyncio.timeout(max_wait_s):
                await bus._open(url, name=name, **{key: text for key, text in user.items() if text})
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise BusUnavailableError(f"no broker answers at {masked(url)}") from error
        return bus

    async def _open(self, url: str, **user: Any) -> None:
        options: dict[str, Any] = {
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.25,
            "connect_timeout": 2,
            "ping_interval": 10,
            "pending_size": _PENDING_BYTES,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
        }
        await self.client.connect(url.split(","), **options, **user)
        self._box = ReplyBox(self.client)
        await self._box.open()
        self._streams = StreamPublisher(
            self.client, observer=self.observer, connected=self.wait_connected
        )
        await self._streams.open()
        self._up.set()

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        return self._up.is_set() and not self._closing and self.client.is_connected

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect; returns a function that ends it."""
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    async def another(self) -> "Bus":
        """Open a second connection like this one, for another thread's event loop."""
        if self._again is None:
            raise BusUnavailableError("the bus was not connected by Bus.connect")
        return await self._again()

    async def wait_connected(self) -> None:
        """Wait until the broker is reachable.

        Raises:
            BusUnavailableError: The bus was closed, so that it never will be.
        """
        if not self._up.is_set():
            await self._up.wait()
        if self._closing:
            raise BusUnavailableError("the bus is closed")

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish a plain message: nobody may be listening.

        Raises:
            BusUnavailableError: The connection is down and its buffer full.
            TooLargeError: The broker's `max_payload` is smaller.
        """
        try:
            await self.client.publish(subject, data, headers=dict(headers) if headers else None)
        except nats.errors.Error as error:
            raise translated(error, subject) from error

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Receive plain messages, all that are sent once this has returned.

        A handler's errors are logged and never end the subscription. While the broker is away this
        waits for it.

        Raises:
            BusUnavailableError: The bus is closed.
        """

        async def guarded(message: Msg) -> None:
            try:
                await handler(message)
            except Exception:  # noqa: BLE001 - a handler must not end its subscription; it is logged
                _log.exception("handler_failed", pattern=subject)

        try:
            subscription = await self.client.subscribe(
                subject, queue=queue, cb=guarded, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            await self.settle()
        except nats.errors.Error as error:
            raise translated(error, subject) from error
        return subscription

    async def settle(self) -> None:
        """Return once the broker has done what was asked of it; what it forgot is asked anew.

        While the broker is away this waits for it.

        Raises:
            BusUnavailableError: The bus is closed.
        """
        while True:
            await self.wait_connected()
            try:
                return await settle(self.client, timeout_s=_SETTLE_S)
            except nats.errors.FlushTimeoutError:
                _log.info("bus_not_settled")

    async def exchange(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_s: float = 5,
        headers: dict[str, str] | None = None,
        done: Callable[[Msg], bool] | None = None,
    ) -> list[Msg]:
        """Ask, and return the answer, or all answers until `done` accepts one as the last.

        Raises:
            TimedOutError: No answer in `timeout_s` seconds.
            BusUnavailableError: Nobody listens on the subject.
            PermissionDeniedError: This user may not publish there.
        """
        if self._box is None:
            raise BusUnavailableError("the bus was not connected by Bus.connect")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._box.ask(subject, data, headers=headers, done=done)
        except TimeoutError as error:
            raise TimedOutError(f"{subject} did not answer within {timeout_s:g} s") from error
        except nats.errors.Error as error:
            raise translated(error, subject) from error

    async def request(self, subject: str, data: bytes, *, timeout_s: float = 5) -> bytes:
        """Ask for one answer; raises as `exchange` does."""
        return (await self.exchange(subject, data, timeout_s=timeout_s))[0].data

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Send a command, with the current span as its parent, and return its typed result.

        Args:
            subject: Where it is asked.
            request: The command's body.
            result: The type of its result.
            timeout_s: How long it may take.
            silence_s: How long the service may give no sign of life, for commands that take long;
                0 waits for the answer alone.

        Raises:
            RefusedError: The service refused; the error carries the typed refusal.
            InvalidMessageError: The answer is not a reply.
            TimedOutError: No answer in `timeout_s` seconds.
            BusUnavailableError: No service listens.
        """
        data, trace = encode(request), inject(current())

        async def ask(headers: dict[str, str], done: Callable[[Msg], bool] | None) -> list[Msg]:
            return await self.exchange(
                subject, data, timeout_s=timeout_s, headers={**trace, **headers} or None, done=done
            )

        if silence_s:
            answer = await while_alive(ask, silence_s=silence_s)
        else:
            [answer] = await ask({}, None)
        return result_of(answer, subject, result)

    async def create(self, subject: str, data: bytes, *, guard: str = "") -> Stored:
        """Store an event unless one of its group exists, and return only once that is certain.

        Stored means acknowledged, or refused because the subject or its guard is taken (10071).
        Anything else leaves it unknown (10164, no answer, no responders), so it is repeated.

        Args:
            subject: Where it is stored.
            data: The event.
            guard: Pattern of the subjects among which only one may exist; the subject by default.

        Raises:
            PermissionDeniedError: This user may not publish there.
            TooLargeError: The broker will never take it.
            PermanentError: The broker refuses it for another lasting reason.
            BusUnavailableError: The bus was closed meanwhile.
        """
        [stored] = await self._publisher().store([guarded(Creation(subject, data, guard))])
        return stored

    async def create_all(self, creations: Iterable[Creation]) -> list[Stored]:
        """Store events together, each unless one of its group exists; see `create`.

        Returns what became of each, in their order, only once that is certain for all. A lasting
        error is raised then too: the first one, with those of other events as its notes.
        """
        return await self._publisher().store([guarded(creation) for creation in creations])

    async def append(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None = None
    ) -> int:
        """Store a message with no guard and return its sequence; raises as `create` does."""
        return (await self.store(subject, data, headers=headers)).sequence

    async def store(self, subject: str, data: bytes, *, headers: dict[str, str] | None) -> Stored:
        """Publish until the stream has taken or refused the message; see `create`."""
        [stored] = await self._publisher().store([Outgoing(subject, data, headers)])
        return stored

    def _publisher(self) -> StreamPublisher:
        if self._streams is None:
            raise BusUnavailableError("the bus was not connected by Bus.connect")
        return self._streams

    async def drain(self) -> None:
        """Let subscriptions finish, flush, and close."""
        self._begin_closing()
        try:
            async with asyncio.timeout(5):
                await self.client.drain()
        except (TimeoutError, nats.errors.Error):
            await self.client.close()

    async def close(self) -> None:
        """Close at once."""
        self._begin_closing()
        await self.client.close()

    def _begin_closing(self) -> None:
        self._closing = True
        self._up.set()  # whoever waits for the broker hears that it will not come

    async def _on_error(self, error: Exception) -> None:
        denied = violated_subject(error)
        if denied is not None:
            self.observer.violation()
            _log.error("permission_violation", subject=denied)
            if self._box is not None and self._streams is not None:
                self._box.deny(denied)
                self._streams.deny(denied)
            return
        level = "info" if self._closing else "warning"
        getattr(_log, level)("bus_error", error=masked(str(error) or type(error).__name__))

    async def _on_disconnected(self) -> None:
        if not self._closing:
            self._up.clear()
            _log.warning("bus_disconnected")

    async def _on_reconnected(self) -> None:
        self._up.set()
        _log.info("bus_reconnected")
        for callback in tuple(self._on_reconnect):
            callback()
