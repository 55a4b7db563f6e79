"""Commands: how does a service answer what it is asked?

A FastStream broker holds one plain subscription per command, in the service's queue group, on a
connection of its own. Each call runs as a task; each command has a bound of its own, above which a
call is refused at once, so that no queue grows and one slow command never silences another.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec
import nats.errors
import structlog
from faststream.nats import NatsBroker, NatsMessage
from faststream.nats.security import NatsNKey
from faststream.nats.subscriber.usecases import CoreSubscriber
from msgspec import Raw

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused, Reply
from segue_shared import refusals, wire
from segue_shared.alive import SIGN, period_of
from segue_shared.errors import SegueError
from segue_shared.masking import masked
from segue_shared.replies import violated_subject
from segue_shared.runtime import Runtime
from segue_shared.tracing import TraceContext, extract, fail, span

CONCURRENCY: Final = 256
"""Calls of one command that run at once, unless it says otherwise."""

_CONTENT_TYPE: Final = {"content-type": "application/json"}
_PENDING_BYTES: Final = 32 * 1024 * 1024

_log = structlog.get_logger()


class Command(Protocol):
    """One thing that may be asked; the contracts hold them all."""

    @property
    def service(self) -> str:
        """Who answers."""
        ...

    @property
    def verb(self) -> str:
        """What is asked."""
        ...

    @property
    def request(self) -> type:
        """The request's body."""
        ...

    @property
    def result(self) -> type:
        """The result's body."""
        ...


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler knows of a call beside its request."""

    subject: str
    """Where it was asked."""
    namespace: str
    """The tenant that the subject names; the service's own when it names none."""
    headers: Mapping[str, str] = {}
    """The call's headers."""
    trace: TraceContext | None = None
    """The span in which the call is answered, a child of the caller's."""


Handler = Callable[[Any, Context], Awaitable[object]]
"""Answers one command: takes its request type, returns its result type.

It refuses with `RefusedError`; any other of our errors becomes the refusal that it means.
"""


class CommandServer:
    """Answers a service's commands."""

    def __init__(self, runtime: Runtime, *, concurrency: int = CONCURRENCY) -> None:
        self._runtime = runtime
        self._concurrency = concurrency
        self._service = runtime.metrics.service
        self._stopping = False
        self._calls: set[asyncio.Task[None]] = set()
        self._broker = self._make_broker()
        self._subscribers: list[CoreSubscriber] = []
        runtime.health.add("commands", self._check)

    @property
    def in_flight(self) -> int:
        """How many calls run now."""
        return len(self._calls)

    def add(
        self, command: Command, subject: str, handler: Handler, *, concurrency: int | None = None
    ) -> None:
        """Answer a command; call it before `start`.

        Args:
            command: What is asked.
            subject: Where; its first `*` stands for the namespace.
            handler: Who answers.
            concurrency: Calls of it that run at once; above, a call is refused as `unavailable`.
        """
        endpoint = Endpoint(
            command,
            subject,
            handler,
            runtime=self._runtime,
            concurrency=concurrency or self._concurrency,
        )

        async def receive(message: NatsMessage) -> None:
            self._accept(endpoint, message)

        subscriber = self._broker.subscriber(
            subject,
            queue=self._service,
            decoder=_undecoded,
            no_reply=True,
            inbox_prefix=self._runtime.settings.inbox_prefix.encode() or b"_INBOX",
            title=endpoint.name,
        )
        subscriber(receive)
        self._subscribers.append(subscriber)

    async def start(self) -> None:
        """Connect, and return once the broker sends calls here."""
        await self._broker.start()
        try:
            await wire.settle(self._broker.connection)
        except nats.errors.Error as error:
            _log.warning("commands_bus_error", error=_told(error))

    async def stop(self) -> None:
        """Leave the queue group, answer what has arrived within `drain_s`, and disconnect."""
        self._stopping = True
        if not self._broker.running:
            return
        if self._broker.connection.is_connected:
            await self._leave()
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=self._runtime.settings.drain_s)
        left = tuple(self._calls)
        for call in left:
            call.cancel()
        if left:
            await asyncio.wait(left)
        await self._disconnect()

    async def _leave(self) -> None:
        """Unsubscribe so that others are asked instead, and take in what was sent to us already."""
        left = [(subscriber, subscriber.subscription) for subscriber in self._subscribers]
        for subscriber, _ in left:
            subscriber.subscription = None
        try:
            async with asyncio.timeout(self._runtime.settings.drain_s):
                await asyncio.gather(*(wire.end(sub) for _, sub in left if sub is not None))
        except (nats.errors.Error, TimeoutError) as error:
            _log.warning("commands_not_drained", reason=_told(error))

    async def _disconnect(self) -> None:
        connection = self._broker.connection
        try:
            await self._broker.stop()
        except (nats.errors.Error, TimeoutError) as error:
            _log.warning("commands_not_drained", reason=_told(error))
            await connection.close()

    def _accept(self, endpoint: "Endpoint", message: NatsMessage) -> None:
        call = asyncio.create_task(self._answer(endpoint, message))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, endpoint: "Endpoint", message: NatsMessage) -> None:
        raw = message.raw_message
        headers = raw.headers or {}
        try:
            async with self._signs_of_life(raw.reply, period_of(headers)):
                reply = await endpoint.answer(raw.subject, raw.data, headers)
        except asyncio.CancelledError:
            await self._send(endpoint, raw.reply, _refused(refusals.stopping(endpoint.name)))
            raise
        await self._send(endpoint, raw.reply, reply)

    @contextlib.asynccontextmanager
    async def _signs_of_life(self, to: str, period_s: float) -> AsyncIterator[None]:
        """Tell a caller that asked for it that its call is being worked on, while it is."""
        if not (to and period_s):
            yield
            return
        signs = asyncio.create_task(self._give_signs(to, period_s))
        try:
            yield
        finally:
            signs.cancel()

    async def _give_signs(self, to: str, period_s: float) -> None:
        while True:
            with contextlib.suppress(nats.errors.Error):
                await self._broker.publish(b"", to, headers=SIGN)
            await asyncio.sleep(period_s)

    async def _send(self, endpoint: "Endpoint", to: str, reply: bytes) -> None:
        """Send a reply to who waits for it, if anybody does."""
        if not to:
            return
        limit = self._broker.connection.max_payload
        if len(reply) > limit:
            reply = _refused(refusals.too_large(endpoint.name, len(reply), limit))
        try:
            await self._broker.publish(reply, to, headers=_CONTENT_TYPE)
        except nats.errors.Error as error:
            _log.warning("reply_lost", command=endpoint.name, reason=_told(error))
            self._runtime.metrics.published(endpoint.subject, "failed")
        else:
            self._runtime.metrics.published(endpoint.subject, "sent")

    def _make_broker(self) -> NatsBroker:
        """Return a broker by our preset: for ever connected, silent, declaring nothing."""
        settings = self._runtime.settings
        seed = settings.nkey_seed_file
        return NatsBroker(
            settings.nats_url.split(","),
            name=f"{self._service} {settings.instance} commands",
            security=NatsNKey.from_file(seed) if seed else None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=10,
            pending_size=_PENDING_BYTES,
            inbox_prefix=settings.inbox_prefix or "_INBOX",
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=_on_reconnected,
            graceful_timeout=settings.drain_s,
            id_generator=self._runtime.ids.unique,
            apply_types=False,
            logger=None,
        )

    async def _on_error(self, error: Exception) -> None:
        denied = violated_subject(error)
        if denied is None:
            _log.warning("commands_bus_error", error=_told(error))
            return
        self._runtime.metrics.violation()
        _log.error("permission_violation", subject=denied)

    async def _on_disconnected(self) -> None:
        if not self._stopping:
            _log.warning("commands_disconnected")

    def _check(self) -> str | None:
        if not self._broker.running:
            return "commands are not answered yet"
        return None if self._broker.connection.is_connected else "the broker is not reachable"


class Endpoint:
    """One command: from the bytes of a request to the bytes of its reply."""

    def __init__(
        self,
        command: Command,
        subject: str,
        handler: Handler,
        *,
        runtime: Runtime,
        concurrency: int,
    ) -> None:
        self.name: Final = f"{command.service}.{command.verb}"
        """How the command is called in messages to people."""
        self.subject: Final = subject
        """Where it is asked."""
        self._attributes = {
            "rpc.system": "nats",
            "rpc.service": command.service,
            "rpc.method": command.verb,
        }
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(command.request)
        self._result = command.result
        self._handler = handler
        self._runtime = runtime
        self._concurrency = concurrency
        self._running = 0

    async def answer(self, subject: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the reply to a request; every failure is a typed refusal."""
        if self._running >= self._concurrency:
            return _refused(refusals.overloaded(self.name, self._concurrency))
        self._running += 1
        try:
            with self._runtime.metrics.message(subject):
                return await self._reply(subject, data, headers)
        finally:
            self._running -= 1

    async def _reply(self, subject: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            request = self._decoder.decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _refused(refusals.undecodable(self.name, error))
        with (
            self._span(headers) as trace,
            structlog.contextvars.bound_contextvars(command=self.name, trace_id=trace.trace_id),
        ):
            return await self._handle(request, self._context(subject, headers, trace))

    def _span(self, headers: Mapping[str, str]) -> AbstractContextManager[TraceContext]:
        """Return the span in which a call is answered, a child of the caller's."""
        return span(
            self.name,
            ids=self._runtime.ids,
            parent=extract(headers),
            serves=True,
            attributes=self._attributes,
            tracer=self._runtime.tracer,
        )

    async def _handle(self, request: object, context: Context) -> bytes:
        try:
            result = await self._handler(request, context)
            if not isinstance(result, self._result):
                raise TypeError(f"{self.name} returned a {type(result).__name__}")  # noqa: TRY301 - a fault of ours, handled like any other
            return encode(Reply(result=Raw(encode(result))))
        except SegueError as error:
            return self._refuse(refusals.refusal_of(error))
        except Exception:  # noqa: BLE001 - the caller gets a refusal, the log the traceback
            _log.exception("command_failed")
            fail("unexpected error")
            return _refused(refusals.unexpected(self.name, self._runtime.settings.instance))

    def _refuse(self, refused: Refused) -> bytes:
        is_ours = refused.code == "internal"
        level = "warning" if is_ours else "debug"
        getattr(_log, level)("command_refused", code=refused.code, reason=refused.message)
        if is_ours:
            fail(refused.code)
        return _refused(refused)

    def _context(self, subject: str, headers: Mapping[str, str], trace: TraceContext) -> Context:
        return Context(
            subject=subject,
            namespace=_namespace(self.subject, subject) or self._runtime.settings.namespace,
            headers=headers,
            trace=trace,
        )


def _namespace(pattern: str, subject: str) -> str:
    """Return the token of a subject where its pattern has the first `*`; empty for none."""
    pairs = zip(pattern.split("."), subject.split("."), strict=False)
    return next((token for place, token in pairs if place == "*"), "")


def _refused(refused: Refused) -> bytes:
    return encode(Reply(refused=refused))


async def _undecoded(message: NatsMessage) -> NatsMessage:
    """Hand the message itself to the handler: bodies are decoded by msgspec, once."""
    return message


def _told(error: Exception) -> str:
    return masked(str(error) or type(error).__name__)


async def _on_reconnected() -> None:
    _log.info("commands_reconnected")
