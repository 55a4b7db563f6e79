"""HTTP: how does a process show its health, its metrics and its own pages?

One uvicorn server in the service's own event loop. `/livez`, `/readyz` and `/metrics` are answered
here; everything else goes to the mounted application. The application's lifespan events are not
sent: a service has `start` and `stop`.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, cast

import msgspec
import structlog
import uvicorn

from segue_shared.health import Health
from segue_shared.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]

_log = structlog.get_logger()

_JSON: Final = "application/json"
_BACKLOG: Final = 2048
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound
_PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_READS: Final = frozenset({"GET", "HEAD"})


class HttpServer:
    """The one HTTP server of a process."""

    def __init__(self, *, host: str, port: int, health: Health, metrics: Metrics) -> None:
        self._host = host
        self._port = port
        self._router = _Router(health, metrics)
        self._serving: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            self._router,
            http=cast("type[asyncio.Protocol]", _connection),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._server = _Server(config)

    @property
    def port(self) -> int:
        """The port it listens on; known once it has started."""
        return self._port

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        host = _ANY_HOST.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def mount(self, app: ASGIApp) -> None:
        """Hand every request but the probes to an application."""
        self._router.app = app

    def expect_app(self) -> None:
        """Answer 503 instead of 404 until an application is mounted."""
        self._router.app = _not_yet

    async def start(self) -> None:
        """Listen; once it returns, the port is open and probes are answered.

        Raises:
            OSError: The address cannot be used.
        """
        listener = await asyncio.to_thread(_listen, self._host, self._port)
        self._port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listener]), name="http")

    async def stop(self, deadline_s: float) -> None:
        """Take no more requests, let open ones end, and end them after `deadline_s` seconds."""
        if self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = math.ceil(deadline_s) + 1
        self._server.should_exit = True
        await self._router.close(deadline_s)
        await self._serving


def _connection(*, config: uvicorn.Config, **given: Any) -> asyncio.Protocol:
    """Return what speaks HTTP with a peer.

    The first peer waits until it is loaded, so that no start does: together as long as the server.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol  # noqa: PLC0415 - as said
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol  # noqa: PLC0415 - as said

    config.ws_protocol_class = cast("type[asyncio.Protocol] | None", AutoWebSocketsProtocol)
    speak: Callable[..., asyncio.Protocol] = AutoHTTPProtocol
    return speak(config=config, **given)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    [family, *_], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    listener = socket.create_server(
        (host, port), family=socket.AddressFamily(family), backlog=_BACKLOG
    )
    # asyncio asks for it only on sockets that it made itself; without it each answer waits for the
    # other side's delayed acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Router:
    """Answers probes, and hands on the rest while counting what is open."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self.app: ASGIApp = _nothing_here
        self._health = health
        self._metrics = metrics
        self._open: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in _PROBES:
            await self._probe(scope, send)
        elif self._closed:
            await _refuse(scope, send, "this service is stopping")
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Message, receive: Receive, send: Send) -> None:
        """Run the application in a task that can be ended without ending the connection's own."""
        response = _Response(scope, send)
        task = asyncio.create_task(_run(self.app, scope, receive, response))
        self._open.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._open.discard(task)
            task.cancel()
        if task.cancelled():
            await response.end()
        else:
            task.result()

    async def close(self, deadline_s: float) -> None:
        """Wait for what is open, and end it after the deadline."""
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=deadline_s)
        self._closed = True
        left = tuple(self._open)
        for task in left:
            task.cancel()
        if left:
            _log.info("http_streams_ended", count=len(left))
            await asyncio.wait(left)

    async def _probe(self, scope: Message, send: Send) -> None:
        if scope["method"] not in _READS:
            await _answer(send, 405, b'{"status":"use GET"}', extra=((b"allow", b"GET, HEAD"),))
        elif scope["path"] == "/metrics":
            body, content_type = self._metrics.exposition(_header(scope, b"accept"))
            await _answer(send, 200, body, content_type=content_type)
        else:
            health = self._health
            problems = health.live() if scope["path"] == "/livez" else health.ready()
            await _answer(send, 503 if problems else 200, _state("failing", problems))


class _Response:
    """Passes a response on and remembers how far it got."""

    def __init__(self, scope: Message, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started = False
        self._complete = False

    async def __call__(self, message: Message) -> None:
        self._started = True
        self._complete = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        """Finish a response whose application was ended."""
        if not self._started:
            await _refuse(self._scope, self._send, "this service is stopping")
        elif self._scope["type"] == "http" and not self._complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _run(app: ASGIApp, scope: Message, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _nothing_here(scope: Message, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _answer(send, 404, b'{"status":"not found"}')
    else:
        await send({"type": "websocket.close", "code": 1000})


async def _not_yet(scope: Message, _receive: Receive, send: Send) -> None:
    await _refuse(scope, send, "this service is starting")


async def _refuse(scope: Message, send: Send, why: str) -> None:
    """Answer that the caller should come back, or go to another instance."""
    if scope["type"] == "http":
        extra = ((b"retry-after", b"1"), (b"connection", b"close"))
        await _answer(send, 503, _state(why, {}), extra=extra)
    else:
        await send({"type": "websocket.close", "code": 1012, "reason": why})


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: str = _JSON,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _state(status: str, problems: dict[str, str]) -> bytes:
    """Return a body that says how it stands: `ok` when nothing is wrong."""
    if status == "failing" and not problems:
        return b'{"status":"ok"}'
    return msgspec.json.encode({"status": status} | ({"problems": problems} if problems else {}))


def _header(scope: Message, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
