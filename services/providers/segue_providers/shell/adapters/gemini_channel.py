"""Gemini's channel: how does Gemini's library use the connections that all providers share?"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import httpx2

from segue_providers.core.wires.gemini_frames import Frames
from segue_providers.shell.http import call_timeout

_HELD: Final[ContextVar[list[httpx2.Response] | None]] = ContextVar("held", default=None)


@contextmanager
def holding(responses: list[httpx2.Response]) -> Iterator[None]:
    """Collect the responses that are opened within.

    The library keeps them where nobody can close them: a stream that is left in the middle stays
    open until the garbage collector comes by.
    """
    token = _HELD.set(responses)
    try:
        yield
    finally:
        _HELD.reset(token)


class Channel(httpx2.AsyncClient):
    """An HTTP client without connections of its own.

    Args:
        http: The client whose connections are used.
        connect_s: Seconds to wait for a connection; nothing else is timed.
    """

    def __init__(self, http: httpx2.AsyncClient, *, connect_s: float) -> None:
        super().__init__(transport=httpx2.AsyncBaseTransport(), trust_env=False)
        self._http: Final = http
        self._timing: Final = call_timeout(connect_s)

    def build_request(self, *args: Any, **options: Any) -> httpx2.Request:
        """Build a request under our own timeout, since the library's would be none at all."""
        return self._http.build_request(*args, **{**options, "timeout": self._timing})

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **_: Any
    ) -> httpx2.Response:
        """Send a request; events that are streamed back come in the form the library reads."""
        response = await self._http.send(request, stream=stream, auth=None)
        held = _HELD.get()
        if stream and held is not None:
            held.append(response)
        if stream and _is_plain_stream(response):
            response.stream = _Rewritten(response.stream)
        return response


class _Rewritten(httpx2.AsyncByteStream):
    """The bytes of a reply, rewritten as they come."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        frames = Frames()
        async for data in self._stream:
            if self._closed:
                raise httpx2.StreamClosed
            if lines := frames.feed(data):
                yield lines
        if rest := frames.end():
            yield rest

    async def aclose(self) -> None:
        """End the connection, or give it back when all was read."""
        self._closed = True
        await self._stream.aclose()


def _is_plain_stream(response: httpx2.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream") and "content-encoding" not in response.headers
