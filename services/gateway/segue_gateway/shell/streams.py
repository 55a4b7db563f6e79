"""Streams: how does a live stream of the events service pass through?"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from segue_gateway.core.problems import ProblemError, problem
from segue_gateway.shell.leaving import cancelled, until_gone

_log = structlog.get_logger()

_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 60.0
"""The events service gives a sign of life every 15 seconds."""

_OK: Final = 200
_PASSED_ON: Final = ("content-type", "cache-control", "retry-after", "x-accel-buffering")
_BYE: Final = b'event: bye\ndata: {"reason":"shutdown"}\n\n'


class Streams:
    """All streams that this gateway passes on."""

    def __init__(
        self,
        url: str,
        *,
        write_timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self.write_timeout_s: Final = write_timeout_s
        """Seconds after which a viewer that does not read is taken for gone."""
        self.closing: Final = asyncio.Event()
        """Set when all streams shall end."""
        self._open = 0
        self._idle = asyncio.Event()
        self._transport = transport
        self._made: httpx.AsyncClient | None = None

    async def open(self, run: str, *, query: dict[str, str], last_event_id: str | None) -> Response:
        """Open the stream of a run, or pass on why there is none.

        Raises:
            ProblemError: The events service is not configured or does not answer.
        """
        if not self._url:
            detail = "this gateway knows no events service; set SEGUE_EVENTS_URL"
            raise ProblemError(problem("unavailable", detail))
        headers = {"accept": "text/event-stream", "accept-encoding": "identity"}
        if last_event_id:
            headers["last-event-id"] = last_event_id
        client = self._client()
        request = client.build_request(
            "GET", f"/v1/runs/{run}/stream", params=query, headers=headers
        )
        try:
            upstream = await client.send(request, stream=True)
            if upstream.status_code != _OK:
                return await _whole(upstream)
        except httpx.HTTPError as error:
            _log.warning("events_unreachable", error=str(error) or type(error).__name__)
            detail = "the events service does not answer; come back in a moment"
            raise ProblemError(problem("unavailable", detail)) from error
        return _Relay(upstream, self)

    async def close(self) -> None:
        """End all streams with a goodbye; viewers resume at another instance."""
        self.closing.set()
        while self._open:
            self._idle.clear()
            await self._idle.wait()
        if self._made is not None:
            await self._made.aclose()

    def _client(self) -> httpx.AsyncClient:
        """Return the client; it is made for the first stream, since it reads all certificates."""
        if self._made is None:
            self._made = httpx.AsyncClient(
                base_url=self._url,
                timeout=httpx.Timeout(_CONNECT_S, read=_SILENCE_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
                transport=self._transport,
                trust_env=False,
            )
        return self._made

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a stream as open for the length of a block."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._idle.set()


class _Relay(Response):
    """Writes what comes, as it comes, until one side ends; then closes the other."""

    def __init__(self, upstream: httpx.Response, streams: Streams) -> None:
        super().__init__(status_code=upstream.status_code)
        self._upstream = upstream
        self._streams = streams
        self._between_events = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Race the stream with the client's leaving and the gateway's own."""
        relay = asyncio.create_task(self._pass_on(send))
        gone = asyncio.create_task(until_gone(receive))
        closing = asyncio.create_task(self._streams.closing.wait())
        with self._streams.counted():
            try:
                done, _ = await asyncio.wait(
                    (relay, gone, closing), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                await cancelled(relay, gone, closing)
                await self._upstream.aclose()
            if gone not in done:
                await self._end(send, bye=closing in done and self._between_events)

    async def _pass_on(self, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in _kept(self._upstream).items()]
        await self._deliver(
            send, {"type": "http.response.start", "status": 200, "headers": headers}
        )
        try:
            async for chunk in self._upstream.aiter_raw():
                self._between_events = chunk.endswith(b"\n\n")
                await self._deliver(send, _body(chunk))
        except httpx.HTTPError as error:
            # The viewer resumes from the last whole event it has.
            _log.info("stream_broke", error=str(error) or type(error).__name__)

    async def _end(self, send: Send, *, bye: bool) -> None:
        try:
            await self._deliver(send, _body(_BYE if bye else b"", more=False))
        except (TimeoutError, OSError):
            _log.info("viewer_stuck")

    async def _deliver(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._streams.write_timeout_s):
            await send(message)


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _kept(upstream: httpx.Response) -> dict[str, str]:
    return {name: upstream.headers[name] for name in _PASSED_ON if name in upstream.headers}


async def _whole(upstream: httpx.Response) -> Response:
    """Pass on an answer that is no stream."""
    return Response(await upstream.aread(), upstream.status_code, _kept(upstream))
