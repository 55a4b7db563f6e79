"""Commands: how does a service answer what it is asked?

One subscription per command, in the service's queue group, on the service's one connection. Each
call runs as a task; each command has a bound of its own, above which a call is refused at once, so
that no queue grows and one slow command never silences another.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec
import nats.errors
import structlog
from msgspec import Raw
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from structlog.contextvars import bind_contextvars, reset_contextvars

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused, Reply
from segue_shared import refusals, wire
from segue_shared.alive import SIGN, period_of
from segue_shared.errors import SegueError
from segue_shared.masking import masked
from segue_shared.runtime import Runtime
from segue_shared.series import Handling
from segue_shared.tracing import TraceContext, extract, fail, span

CONCURRENCY: Final = 256
"""Calls of one command that run at once, unless it says otherwise."""

_CONTENT_TYPE: Final = {"content-type": "application/json"}
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

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
        self._endpoints: list[Endpoint] = []
        self._subscriptions: list[Subscription] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._answers = False
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
        self._endpoints.append(endpoint)

    async def start(self) -> None:
        """Return once the broker sends calls here; wait for it while it is away.

        Raises:
            BusUnavailableError: The bus is closed.
        """
        client, group = self._runtime.bus.client, self._runtime.metrics.service
        for endpoint in self._endpoints:
            take = partial(self._accept, endpoint)
            try:
                subscription = await wire.listen(client, endpoint.subject, take, queue=group)
            except nats.errors.Error as error:
                raise wire.translated(error, endpoint.subject) from error
            self._subscriptions.append(subscription)
        await self._runtime.bus.settle()
        self._answers = True

    async def stop(self) -> None:
        """Leave the queue group, and answer what has arrived, within `drain_s` in all."""
        self._answers = False
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._runtime.settings.drain_s
        await self._leave()
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=max(deadline - clock(), 0))
        left = tuple(self._calls)
        for call in left:
            call.cancel()
        if left:
            await asyncio.wait(left)

    async def _leave(self) -> None:
        """Unsubscribe so that others are asked instead, and take in what was sent to us already."""
        left, self._subscriptions = self._subscriptions, []
        if not self._runtime.bus.connected:
            wire.forget(left)
            return
        try:
            async with asyncio.timeout(self._runtime.settings.drain_s):
                await wire.end(left)
        except (nats.errors.Error, TimeoutError) as error:
            _log.warning("commands_not_drained", reason=_told(error))

    def _accept(self, endpoint: "Endpoint", message: Msg) -> None:
        call = asyncio.create_task(self._answer(endpoint, message))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, endpoint: "Endpoint", message: Msg) -> None:
        to, headers = message.reply, message.headers or _NO_HEADERS
        period_s = period_of(headers) if to and headers else 0
        signs = asyncio.create_task(self._give_signs(to, period_s)) if period_s else None
        try:
            reply = await endpoint.answer(message.subject, message.data, headers)
        except asyncio.CancelledError:
            await self._send(endpoint, to, _refused(refusals.stopping(endpoint.name)))
            raise
        finally:
            if signs is not None:
                signs.cancel()
        await self._send(endpoint, to, reply)

    async def _give_signs(self, to: str, period_s: float) -> None:
        """Tell a caller that asked for it that its call is being worked on, while it is."""
        while True:
            with contextlib.suppress(nats.errors.Error):
                await self._runtime.bus.client.publish(to, headers=SIGN)
            await asyncio.sleep(period_s)

    async def _send(self, endpoint: "Endpoint", to: str, reply: bytes) -> None:
        """Send a reply to who waits for it, if anybody does."""
        if not to:
            return
        client = self._runtime.bus.client
        limit = client.max_payload
        if len(reply) > limit:
            reply = _refused(refusals.too_large(endpoint.name, len(reply), limit))
        try:
            await client.publish(to, reply, headers=_CONTENT_TYPE)
        except nats.errors.Error as error:
            _log.warning("reply_lost", command=endpoint.name, reason=_told(error))
            endpoint.series.count("failed")
        else:
            endpoint.series.count("sent")

    def _check(self) -> str | None:
        if not self._answers:
            return "commands are not answered yet"
        return None if self._runtime.bus.connected else "the broker is not reachable"


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
        self.series: Final = runtime.metrics.series(subject)
        """How its calls and replies are counted."""
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
        tokens = subject.split(".")
        self._namespace_at = tokens.index("*") if "*" in tokens else None

    async def answer(self, subject: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the reply to a request; every failure is a typed refusal."""
        if self._running >= self._concurrency:
            return _refused(refusals.overloaded(self.name, self._concurrency))
        self._running += 1
        try:
            with Handling(self.series):
                return await self._reply(subject, data, headers)
        finally:
            self._running -= 1

    async def _reply(self, subject: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            request = self._decoder.decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _refused(refusals.undecodable(self.name, error))
        with self._span(headers) as trace:
            bound = bind_contextvars(command=self.name, trace_id=trace.trace_id)
            try:
                return await self._handle(request, self._context(subject, headers, trace))
            finally:
                reset_contextvars(**bound)

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
        at = self._namespace_at
        return Context(
            subject=subject,
            namespace=self._runtime.settings.namespace if at is None else subject.split(".")[at],
            headers=headers,
            trace=trace,
        )


def _refused(refused: Refused) -> bytes:
    return encode(Reply(refused=refused))


def _told(error: Exception) -> str:
    return masked(str(error) or type(error).__name__)
