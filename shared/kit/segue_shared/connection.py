"""The connection: what of nats-py is done here in a shorter way, since every message passes?

Only the two hot paths differ: how a message is written, and how one is read. Whatever is unusual
(another line of the protocol, a connection that is not up, a name that needs checking) goes to
nats-py as ever. It offers no public way to either, hence the private names.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

_log = structlog.get_logger()

_END: Final = b"\r\n"
_VERSION: Final = "NATS/1.0"


class Headers(Mapping[str, str]):
    """A message's headers, which are only taken apart when somebody looks."""

    __slots__ = ("_found", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._found: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        if self._found is None:
            self._found = _parsed(self._raw)
        return self._found


def _parsed(raw: bytes) -> dict[str, str]:
    """Return headers, and the status of an inline status line, under the names nats-py gives it."""
    first, *lines = raw.decode("utf-8", "replace").split("\r\n")
    status, _, description = first.removeprefix(_VERSION).strip().partition(" ")
    found = {"Status": status} if status.isdigit() else {}
    if description:
        found["Description"] = description
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and len(name.split()) == 1:
            found[name.strip()] = value.strip()
    return found


class Sink:
    """Takes a subscription's messages at once, with no queue and no task between.

    It stands where nats-py expects the future of a single answer, and has what is used of one.

    Args:
        take: Called for each message from within the read loop, so it must be quick.
    """

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self._take = take

    def cancelled(self) -> bool:
        """Say that messages are always wanted."""
        return False

    def set_result(self, message: Msg) -> None:
        """Take a message; an error is logged, for it must not end the read loop."""
        try:
            self._take(message)
        except Exception:  # noqa: BLE001 - logged; the connection belongs to others too
            _log.exception("message_not_taken", subject=message.subject)


class Connection(Client):
    """nats-py's connection with short ways for messages."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _ShortParser(self)

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish; see nats-py for what may be wrong."""
        command = _command(subject, payload, reply, headers)
        if not command or self._status != Client.CONNECTED or len(payload) > self._max_payload:
            plain = dict(headers) if headers else None
            await super().publish(subject, payload, reply, plain)
            return
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._pending_data_size > self._max_pending_size > 0:
            await self._flush_pending(force_flush=True)
        elif cast("asyncio.Queue[Any]", self._flush_queue).empty():
            await self._flush_pending()

    async def deliver(self, words: list[str], head: bytes, body: bytes) -> None:
        """Hand a message to its subscription.

        Args:
            words: Its line: `MSG <subject> <sid> [<reply>] …`.
            head: Its headers as they came.
            body: Its content.
        """
        sid, reply = int(words[2]), words[3] if len(words) > _LEAST_WORDS[words[0]] else ""
        subscription = self._subs.get(sid)
        sink = getattr(subscription, "_future", None)
        if type(sink) is not Sink:
            await self._process_msg(sid, words[1].encode(), reply.encode(), body, head)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(body)
        headers = cast("dict[str, str]", Headers(head)) if head else None
        sink.set_result(Msg(self, words[1], reply, body, headers))


_LEAST_WORDS: Final = {"MSG": 4, "HMSG": 5}


def _command(subject: str, payload: bytes, reply: str, headers: Mapping[str, str] | None) -> bytes:
    """Return what is written for a message; nothing if anything of it needs nats-py's care."""
    if not _is_plain(subject):
        return b""
    if not headers:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload)
    text = _VERSION
    for name, value in headers.items():
        if not (_is_name(name) and value.isprintable()):
            return b""
        text += f"\r\n{name}: {value}"
    head = f"{text}\r\n\r\n".encode()
    line = f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n"
    return b"".join((line.encode(), head, payload, _END))


def _is_plain(subject: str) -> bool:
    return bool(subject) and " " not in subject and subject.isprintable()


@lru_cache(maxsize=256)
def _is_name(name: str) -> bool:
    return name.isascii() and name.replace("-", "").isalnum()


class _ShortParser(Parser):
    """Takes messages off the wire; every other line is left to nats-py."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._resets = 0
        super().__init__(connection)

    def reset(self) -> None:
        """Forget what has been read, for a new connection begins."""
        super().reset()
        self._resets += 1
        self._rest = bytearray()
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Read on.

        Raises:
            ProtocolError: This is not what a broker says.
        """
        try:
            if whole := self._joined(data):
                await self._parse(whole)
        except (ValueError, IndexError) as error:
            raise ProtocolError("nats: malformed message") from error

    def _joined(self, data: bytes) -> bytes:
        """Return data with what is left of before; nothing as long as a message is not whole."""
        if not self._rest:
            return data
        self._rest += data
        if len(self._rest) < self._wanted:
            return b""
        data = bytes(self._rest)
        self._rest.clear()
        self._wanted = 0
        return data

    async def _parse(self, data: bytes) -> None:
        """Read all that is whole, and keep what is left unless the connection was lost."""
        begin, resets = 0, self._resets
        while resets == self._resets:
            line_end = data.find(_END, begin)
            if line_end < 0:
                self._rest += data[begin:]
                return
            words, after = data[begin:line_end].decode().split(" "), line_end + len(_END)
            if words[0] not in _LEAST_WORDS:
                await super().parse(data[begin:after])
                begin = after
                continue
            end = after + int(words[-1])
            if end + len(_END) > len(data):
                self._rest += data[begin:]
                self._wanted = end + len(_END) - begin
                return
            head_end = after + int(words[-2]) if words[0] == "HMSG" else after
            await self._connection.deliver(words, data[after:head_end], data[head_end:end])
            begin = end + len(_END)
