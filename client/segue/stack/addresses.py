"""Addresses: which port can a service have, and does anything answer at one?"""

import asyncio
import socket
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"
NATS_PORT: Final = 4222
_PROBE_S: Final = 1.0


def free_port(preferred: int = 0) -> int:
    """Return a port of the loopback interface that is free now: the preferred one when it is."""
    if preferred and _is_free(preferred):
        return preferred
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do: a port in TIME_WAIT is free, one that somebody listens on is not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


async def answers(url: str) -> bool:
    """Tell whether something accepts connections at one of the addresses of a broker URL."""
    for address in url.split(","):
        parts = urlsplit(address if "//" in address else f"nats://{address}")
        if await _accepts(parts.hostname or LOOPBACK, parts.port or NATS_PORT):
            return True
    return False


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_PROBE_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    # The other side may hang up first; it did answer.
    with suppress(OSError):
        await writer.wait_closed()
    return True
