"""The connection: do its short ways say and understand the same as nats-py's own?"""

import asyncio
from collections.abc import Mapping

import nats.errors
import pytest
import structlog.testing
from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_shared.connection import Connection, Headers, Sink

GUARD = {
    "Nats-Expected-Last-Subject-Sequence": "0",
    "Nats-Expected-Last-Subject-Sequence-Subject": "a.b.*",
}


def opened(client: Client) -> Client:
    """Return a client that takes itself for connected, and keeps what it would write."""
    client._status = Client.CONNECTED
    client._flush_queue = asyncio.Queue()
    client._flush_queue.put_nowait(asyncio.Future())
    client._flusher_task = asyncio.get_running_loop().create_future()
    return client


async def written(client: Client, *message: object) -> bytes:
    """Return the bytes that a publish writes."""
    await opened(client).publish(*message)
    return b"".join(client._pending)


@pytest.mark.parametrize(
    "message",
    [
        ("a.b", b"x"),
        ("a.b", b""),
        ("a.b", b"x\r\ny", "_INBOX.1"),
        ("a.b", b"x", "", GUARD),
        ("a.b", "ä".encode(), "_INBOX.1", {**GUARD, "Segue-Name": "Jörg  Ätna"}),
        ("a.ü", b"x"),
        ("a.b", b"x", "", {"A": "1\r\nB: 2"}),
        ("a.b", b"x", "", {" padded ": " value "}),
        ("a.b", b"x", "", {"odd_name!": "1"}),
    ],
)
async def test_a_message_is_written_as_nats_py_writes_it(message: tuple[object, ...]) -> None:
    """Byte for byte, also what needs care."""
    assert await written(Connection(), *message) == await written(Client(), *message)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (("", b""), nats.errors.BadSubjectError),
        (("a b", b""), nats.errors.BadSubjectError),
        (("a\r\nPUB x 0", b""), nats.errors.BadSubjectError),
        (("a", b"x", "", {"a b": "1"}), nats.errors.BadHeaderError),
        (("a", b"x" * (2 * 1024 * 1024)), nats.errors.MaxPayloadError),
    ],
)
async def test_what_nats_py_refuses_is_refused(
    message: tuple[object, ...], error: type[Exception]
) -> None:
    """Nothing of it is written."""
    connection = opened(Connection())

    with pytest.raises(error):
        await connection.publish(*message)

    assert connection._pending == []


async def test_a_connection_that_is_away_keeps_messages_as_nats_py_does() -> None:
    """They are sent once it is back; a closed one takes none."""
    connection = opened(Connection())
    connection._status = Client.RECONNECTING
    connection._max_pending_size = 1000

    await connection.publish("a", b"x")
    kept = b"".join(connection._pending)
    connection._status = Client.CLOSED

    assert kept == b"PUB a  1\r\nx\r\n"
    with pytest.raises(nats.errors.ConnectionClosedError):
        await connection.publish("a", b"x")


async def test_more_than_the_buffer_holds_waits_for_it_to_be_sent() -> None:
    """Whoever publishes faster than the network is held back."""
    connection = opened(Connection())
    connection._max_pending_size, connection._flush_timeout = 50, 10
    queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
    connection._flush_queue = queue
    publishing = asyncio.create_task(connection.publish("a", b"x" * 100))
    flushed = await queue.get()

    assert not publishing.done()
    flushed.set_result(None)
    await publishing


@pytest.mark.parametrize(
    "raw",
    [
        b"NATS/1.0\r\nA: 1\r\n\r\n",
        b"NATS/1.0\r\nNats-Pin-Id: p\r\nEmpty:\r\nTight:2\r\nUrl: http://x:1/\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n",
        b"NATS/1.0\r\nName: J\xc3\xb6rg\r\nBroken: \xff\r\n\r\n",
        b"NATS/1.0\r\nbad name: 1\r\nno colon\r\nGood: 1\r\n\r\n",
        b"NATS/1.0\r\nTwice: 1\r\nTwice: 2\r\n\r\n",
    ],
)
async def test_headers_are_read_as_nats_py_reads_them(raw: bytes) -> None:
    """A status line, odd spacing, bytes that are no text."""
    headers = Headers(raw)

    assert dict(headers) == await Client()._process_headers(raw)
    assert len(headers) == len(dict(headers))


class Listening:
    """A connection with two subscriptions, one handed its messages at once, one queued."""

    def __init__(self) -> None:
        self.connection = opened(Connection())
        self.seen: list[tuple[str, str, bytes, Mapping[str, str]]] = []
        self.pongs = 0

    async def open(self) -> "Listening":
        """Subscribe."""
        sink = Sink(self.take)
        await self.connection.subscribe("a.>", future=sink)
        await self.connection.subscribe("b.>", cb=self.take_later)
        self.connection._pending.clear()
        return self

    def take(self, message: Msg) -> None:
        """Note a message."""
        self.seen.append((message.subject, message.reply, message.data, message.headers or {}))

    async def take_later(self, message: Msg) -> None:
        """Note a message that was queued."""
        self.take(message)

    async def read(self, *pieces: bytes) -> None:
        """Hand over bytes as they arrive, and let the queue be worked off."""
        for piece in pieces:
            await self.connection._ps.parse(piece)
        await self.connection._subs[2]._pending_queue.join()


WIRE = (
    b"PING\r\n"
    b"MSG a.1 1 5\r\nhello\r\n"
    b"MSG a.2 1 reply.1 0\r\n\r\n"
    b"+OK\r\n"
    b"HMSG a.3 1 18 23\r\nNATS/1.0\r\nA: 1\r\n\r\nx\r\ny\x00\r\n"
    b"HMSG a.4 1 $JS.ACK.1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"PONG\r\n"
    b"MSG b.1 2 3\r\nMSG\r\n"
    b"MSG a.5 9 3\r\nnot\r\n"
    b"MSG a.6 1 1\r\n!\r\n"
)
EXPECTED = [
    ("a.1", "", b"hello", {}),
    ("a.2", "reply.1", b"", {}),
    ("a.3", "", b"x\r\ny\x00", {"A": "1"}),
    ("a.4", "$JS.ACK.1", b"", {"Status": "503"}),
    ("a.6", "", b"!", {}),
    ("b.1", "", b"MSG", {}),
]


@pytest.mark.parametrize("cut", range(1, len(WIRE)))
async def test_messages_are_whole_wherever_the_network_cuts_them(cut: int) -> None:
    """Between any two bytes."""
    listening = await Listening().open()

    await listening.read(WIRE[:cut], WIRE[cut:])

    assert sorted(listening.seen) == EXPECTED
    assert b"".join(listening.connection._pending) == b"PONG\r\n"


async def test_messages_are_whole_when_they_come_byte_by_byte() -> None:
    """However slow the network is."""
    listening = await Listening().open()

    await listening.read(*(WIRE[at : at + 1] for at in range(len(WIRE))))

    assert sorted(listening.seen) == EXPECTED


async def test_what_is_half_read_is_forgotten_with_its_connection() -> None:
    """The next connection begins with a line of its own."""
    listening = await Listening().open()

    await listening.read(b"MSG a.1 1 500\r\nhel")
    listening.connection._ps.reset()
    await listening.read(b"MSG a.2 1 1\r\nx\r\n")

    assert listening.seen == [("a.2", "", b"x", {})]


async def test_what_came_with_the_end_of_a_connection_is_dropped() -> None:
    """Nothing of a lost connection is taken for the next one's."""
    listening = await Listening().open()

    def lose(_message: Msg) -> None:
        listening.connection._ps.reset()

    await listening.connection.subscribe("c.>", future=Sink(lose))
    await listening.read(b"MSG c.1 3 1\r\nx\r\nMSG a.1 1 1\r\ny\r\nMSG a")
    await listening.read(b"MSG a.2 1 1\r\nz\r\n")

    assert [seen[0] for seen in listening.seen] == ["a.2"]


@pytest.mark.parametrize("line", [b"MSG a.1 x 1\r\nx\r\n", b"MSG\r\n", b"WHAT\r\n", b"\r\n"])
async def test_what_no_broker_says_is_an_error_of_the_protocol(line: bytes) -> None:
    """So that the client connects anew."""
    listening = await Listening().open()

    with pytest.raises(nats.errors.ProtocolError):
        await listening.read(line)


async def test_a_listener_that_fails_is_told_and_ends_nothing() -> None:
    """The connection belongs to others too."""
    listening = await Listening().open()

    def fail(_message: Msg) -> None:
        raise KeyError

    await listening.connection.subscribe("c.>", future=Sink(fail))
    with structlog.testing.capture_logs() as logged:
        await listening.read(b"MSG c.1 3 1\r\nx\r\nMSG a.1 1 1\r\ny\r\n")

    assert [line["event"] for line in logged] == ["message_not_taken"]
    assert [seen[0] for seen in listening.seen] == ["a.1"]
