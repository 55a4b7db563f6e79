"""Gemini frames: how does a stream of events take the one form that Gemini's library reads?"""

from collections.abc import Iterator
from typing import Final

_ALIVE: Final = b"data: {}\n\n"
"""An answer's piece that says nothing, which stands for a sign of life."""
_NAMING: Final = (b"event:", b"id:", b"retry:")


class Frames:
    """Rewrites a stream of events as it comes.

    The vendor's library takes whatever is no `data: ` line for a broken answer. So lines that name
    an event are left out, and comments, by which proxies keep a connection alive, become pieces
    that say nothing: they still show that the provider is there.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._within = False

    def feed(self, data: bytes) -> bytes:
        """Return the lines that are complete now."""
        *lines, self._tail = (self._tail + data).split(b"\n")
        return b"".join(written for line in lines for written in self._written(line))

    def end(self) -> bytes:
        """Return what is left when the stream is over."""
        rest, self._tail = self._tail, b""
        return b"".join(self._written(rest)) if rest else b""

    def _written(self, line: bytes) -> Iterator[bytes]:
        bare = line.rstrip(b"\r")
        if bare.startswith(b":"):
            yield b"" if self._within else _ALIVE
        elif bare.startswith(b"data:"):
            self._within = True
            yield b"data: " + bare.removeprefix(b"data:").removeprefix(b" ") + b"\n"
        elif not bare.startswith(_NAMING):
            self._within = self._within and bool(bare)
            yield bare + b"\n"
