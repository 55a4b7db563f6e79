"""ASGI: how do the service's answers reach an HTTP server?"""

import asyncio
from collections.abc import Iterable
from typing import Final

from segue_events.core import problems
from segue_events.core.problems import ProblemError
from segue_shared.http import Message, Receive, Send

_STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


class StuckError(Exception):
    """The viewer has not read for so long that it is taken for gone."""


class EventStream:
    """One response without an end, written chunk by chunk with a deadline each."""

    def __init__(self, send: Send, *, write_timeout_s: float) -> None:
        self._send = send
        self._write_timeout_s = write_timeout_s

    async def open(self) -> None:
        """Write the head."""
        await self._send(_head(200, _STREAM_HEADERS))

    async def write(self, data: bytes) -> None:
        """Write some bytes.

        Raises:
            StuckError: They cannot be written in time, or the connection broke.
        """
        await self._deliver({"type": "http.response.body", "body": data, "more_body": True})

    async def close(self) -> None:
        """End the response; raises as `write` does."""
        await self._deliver({"type": "http.response.body", "body": b"", "more_body": False})

    async def _deliver(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._send(message)
        except (TimeoutError, OSError) as error:
            raise StuckError from error


async def answer(send: Send, problem: ProblemError) -> None:
    """Answer with a problem."""
    headers = [(b"content-type", problems.CONTENT_TYPE.encode()), (b"cache-control", b"no-store")]
    if problem.status == problems.UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    if problem.status == problems.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"GET"))
    await send(_head(problem.status, headers))
    await send({"type": "http.response.body", "body": problems.body(problem)})


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone; servers ignore what is written to one who has."""
    while (await receive())["type"] != "http.disconnect":
        pass


def headers_of(scope: Message) -> dict[str, str]:
    """Return the request's headers by lower-case name."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}
