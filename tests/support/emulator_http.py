"""The emulator's sockets: how are requests read, and replies written with all their faults?"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

_MAX_HEAD: Final = 64 * 1024
_SEND_BUFFER: Final = 32 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_BEFORE_RESET_S: Final = 0.02
"""Time for what was written to arrive, since a reset throws away what was not read yet."""


class ClientGoneError(Exception):
    """The client went away before its reply was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request as it was read."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.StreamReaderProtocol):
    """One client; it notices at once when that client goes away."""

    def __init__(self, serve: "Callable[[Connection], Awaitable[None]]") -> None:
        self.gone = asyncio.Event()
        self._serving: asyncio.Future[None] | None = None
        self._serve = serve
        super().__init__(asyncio.StreamReader(limit=_MAX_HEAD), self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serving = asyncio.ensure_future(self._serve(self))

    def eof_received(self) -> bool:
        """Take the client's end of the connection as the end of all."""
        self.gone.set()
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever writes that nobody reads."""
        self.gone.set()
        super().connection_lost(exc)

    async def read(self) -> Head | None:
        """Return the next request; None when the client is done."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length) if length else b""
        return Head(method=method, target=target, headers=headers, body=body)

    async def write(self, data: bytes) -> None:
        """Write no faster than the client reads.

        Raises:
            ClientGoneError: Nobody reads any more.
        """
        if self.gone.is_set():
            raise ClientGoneError
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError as error:
            raise ClientGoneError from error

    async def pause(self, seconds: float | None) -> None:
        """Say nothing for a while; None for ever.

        Raises:
            ClientGoneError: The client did not wait so long.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.gone.wait()
        except TimeoutError:
            return
        raise ClientGoneError

    async def reset(self) -> None:
        """Break the connection off, so that the client's system reports a reset."""
        await asyncio.sleep(_BEFORE_RESET_S)
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()

    def close(self) -> None:
        """End the connection in good order."""
        self.writer.close()


def head_bytes(status: int, headers: dict[str, str]) -> bytes:
    """Return the head of a reply."""
    lines = [f"HTTP/1.1 {status} Emulated", *(f"{key}: {value}" for key, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole_bytes(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """Return a reply of known length."""
    return head_bytes(status, {**headers, "content-length": str(len(body))}) + body


def json_bytes(status: int, body: Any, headers: dict[str, str] | None = None) -> bytes:
    """Return a JSON reply."""
    data = json.dumps(body, ensure_ascii=False).encode()
    return whole_bytes(status, {"content-type": "application/json", **(headers or {})}, data)


def chunk(data: bytes) -> bytes:
    """Wrap a piece for chunked transfer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def shredded(data: bytes) -> Sequence[bytes]:
    """Divide bytes so that every sequence of UTF-8 is cut, and ASCII here and there."""
    pieces, start = [], 0
    for at in range(1, len(data)):
        inside = data[at] & 0xC0 == 0x80  # a byte that continues a character
        if inside or at - start >= 11:
            pieces.append(data[start:at])
            start = at
    return [*pieces, data[start:]]
