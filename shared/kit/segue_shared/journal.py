"""The journal's reader: what does a stream hold, without a consumer?

Reads are JetStream direct gets (ADR-31): one request, answered by a batch of messages.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.clock import rfc3339
from segue_shared.errors import BusUnavailableError, NotFoundError, PermanentError
from segue_shared.replies import status_of

EPOCH_KEY: Final = "segue_epoch"
"""Stream metadata that names the journal; a wiped or restored one has another."""

_TOO_MANY_SUBJECTS: Final = "413"
_END_OF_BATCH: Final = "204"
_NO_MESSAGE: Final = 10037
_LEFT: Final = "Nats-Num-Pending"
_UP_TO: Final = "Nats-UpTo-Sequence"
_NOT_FOUND: Final = "404"
_NOTHING: Final = frozenset({_NOT_FOUND, _END_OF_BATCH})
_PAGE: Final = 1_000


class StoredMessage(msgspec.Struct, frozen=True):
    """A message as the stream holds it."""

    subject: str
    """Where it was published."""
    sequence: int
    """Its place in the stream."""
    time_ms: int
    """When the broker stored it, Unix milliseconds."""
    data: bytes
    """Its content."""


class _Info(msgspec.Struct, frozen=True):
    class Config(msgspec.Struct, frozen=True):
        metadata: dict[str, str] = {}

    class State(msgspec.Struct, frozen=True):
        first_seq: int = 0
        last_seq: int = 0
        subjects: dict[str, int] = {}

    config: Config = Config()
    state: State = State()
    ts: str = "1970-01-01T00:00:00Z"
    error: dict[str, object] | None = None


class _Got(msgspec.Struct, frozen=True):
    class Message(msgspec.Struct, frozen=True):
        subject: str
        seq: int
        time: str
        data: bytes = b""

    message: Message | None = None
    error: dict[str, object] | None = None


class Journal:
    """Direct reads of one stream."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self._bus = bus
        self._stream = stream
        self._epoch = ""

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return the newest message of each subject that fits a pattern, in stream order.

        Raises:
            BusUnavailableError: The broker does not answer.
            TimedOutError: Nor in time.
        """
        return (await self._last(patterns))[0]

    async def unbroken(self, pattern: str) -> list[StoredMessage]:
        """Return the newest message of each subject that fits a pattern, as of one moment.

        What takes several answers may lose its older messages meanwhile, and would lack some in the
        middle; it is read again.

        Raises:
            BusUnavailableError: The broker does not answer.
            TimedOutError: Nor in time.
        """
        while True:
            found, whole = await self._last([pattern])
            if whole or not found or await self.first_sequence() <= found[0].sequence:
                return found

    async def _last(self, patterns: Sequence[str]) -> tuple[list[StoredMessage], bool]:
        """Return what `last` does, and whether one answer held all of it."""
        request: dict[str, object] = {"multi_last": list(patterns), "batch": _PAGE + 24}
        found: list[StoredMessage] = []
        while True:
            answers = await self._direct(request)
            if status_of(answers[-1]) == _TOO_MANY_SUBJECTS:
                return await self._page_last(patterns), False
            if _is_torn(answers):
                continue
            page = sorted(map(_stored, _content(answers)), key=lambda message: message.sequence)
            whole, found = not found, found + page
            headers = answers[-1].headers or {}
            if not found or headers.get(_LEFT, "0") == "0":
                return found, whole
            # The broker cuts an answer off that is too large; what is left is of the same moment.
            upto = int(headers.get(_UP_TO, 0))
            request |= {"seq": found[-1].sequence + 1, "up_to_seq": upto}

    async def _page_last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Read everything that fits, page by page, and keep the newest of each subject."""
        newest: dict[str, StoredMessage] = {}
        for pattern in patterns:
            for message in await self.all_after(pattern, 0):
                newest[message.subject] = message
        return sorted(newest.values(), key=lambda message: message.sequence)

    async def after(
        self, pattern: str, sequence: int, *, limit: int = _PAGE
    ) -> list[StoredMessage]:
        """Return up to `limit` messages that fit the pattern and come after `sequence`, in order.

        Raises:
            BusUnavailableError: The broker does not answer.
            TimedOutError: Nor in time.
        """
        request = {"batch": limit, "seq": sequence + 1, "next_by_subj": pattern}
        return [_stored(answer) for answer in _content(await self._direct(request))]

    async def all_after(self, pattern: str, sequence: int) -> list[StoredMessage]:
        """Return every message that fits the pattern and comes after `sequence`, in order."""
        messages: list[StoredMessage] = []
        while page := await self.after(pattern, sequence):
            messages += page
            sequence = page[-1].sequence
        return messages

    async def get(self, sequence: int) -> StoredMessage | None:
        """Return the message of a sequence; None when it is gone or never was.

        Raises:
            PermanentError: The broker refuses.
        """
        [answer] = await self._bus.exchange(self._subject, _json({"seq": sequence}))
        if status_of(answer) not in _NOTHING:
            return _stored(answer)
        # Whoever answers a direct get may lag behind, and lack what has just been stored.
        return await self._ask_leader({"seq": sequence})

    async def newest(self, subject: str) -> StoredMessage | None:
        """Return the newest message of a subject or pattern, as the stream's leader knows it.

        Other reads may lag behind what has just been stored; this one takes longer.

        Raises:
            PermanentError: The broker refuses.
        """
        return await self._ask_leader({"last_by_subj": subject})

    async def _ask_leader(self, request: dict[str, object]) -> StoredMessage | None:
        subject = f"$JS.API.STREAM.MSG.GET.{self._stream}"
        answer = msgspec.json.decode(await self._bus.request(subject, _json(request)), type=_Got)
        if answer.error is not None and answer.error.get("err_code") == _NO_MESSAGE:
            return None
        if answer.error is not None or answer.message is None:
            description = (answer.error or {}).get("description")
            raise PermanentError(f"stream {self._stream}: {description}")
        found = answer.message
        return StoredMessage(found.subject, found.seq, parse_time_ms(found.time), found.data)

    async def epoch(self) -> str:
        """Return the journal's identity, the first part of every cursor.

        Raises:
            NotFoundError: The stream does not exist, or the bootstrap did not make it.
        """
        if not self._epoch:
            metadata = (await self._info()).config.metadata
            if EPOCH_KEY not in metadata:
                raise NotFoundError(f"stream {self._stream} has no epoch; run 'segue bus apply'")
            self._epoch = metadata[EPOCH_KEY]
        return self._epoch

    async def last_sequence(self) -> int:
        """Return the newest sequence of the stream; 0 when it never held a message."""
        return (await self._info()).state.last_seq

    async def first_sequence(self) -> int:
        """Return the oldest sequence still held."""
        return (await self._info()).state.first_seq

    async def first_since(self, time_ms: int) -> int:
        """Return the sequence of the first message stored at or after a time, or a smaller one.

        One more than the newest when there is none.
        """
        request = {"batch": 1, "start_time": rfc3339(time_ms), "next_by_subj": ">"}
        found = [_stored(answer) for answer in _content(await self._direct(request))]
        if found:
            return found[0].sequence
        last = await self.last_sequence()
        newest = await self._ask_leader({"seq": last}) if last else None
        if newest is None or newest.time_ms < time_ms:
            return last + 1
        # Whoever answered lags behind, so that nothing is known to be older.
        return await self.first_sequence()

    async def purge(self, before: int) -> None:
        """Remove every message before a sequence.

        Raises:
            PermanentError: The broker refuses.
        """
        subject = f"$JS.API.STREAM.PURGE.{self._stream}"
        answer = await self._bus.request(subject, _json({"seq": before}), timeout_s=60)
        error = msgspec.json.decode(answer, type=_Info).error
        if error is not None:
            raise PermanentError(f"stream {self._stream}: {error.get('description')}")

    async def remove(self, sequence: int) -> None:
        """Remove one message; one that is gone already is gone.

        Raises:
            TransientError: The broker does not answer.
        """
        subject = f"$JS.API.STREAM.MSG.DELETE.{self._stream}"
        # Nothing in a journal is so secret that its place on the disk has to be overwritten.
        await self._bus.request(subject, _json({"seq": sequence, "no_erase": True}))

    async def time_ms(self) -> int:
        """Return what time it is for whoever keeps the stream, Unix milliseconds."""
        return parse_time_ms((await self._info()).ts)

    async def subjects(self, pattern: str) -> list[str]:
        """Return the subjects that hold messages and fit the pattern, at most 100,000."""
        return sorted((await self._info(subjects_filter=pattern)).state.subjects)

    @property
    def _subject(self) -> str:
        return f"$JS.API.DIRECT.GET.{self._stream}"

    async def _direct(self, request: dict[str, object]) -> list[Msg]:
        return await self._bus.exchange(self._subject, _json(request), done=_ends_batch)

    async def _info(self, **request: str) -> _Info:
        subject = f"$JS.API.STREAM.INFO.{self._stream}"
        data = await self._bus.request(subject, _json(request) if request else b"")
        info = msgspec.json.decode(data, type=_Info)
        if info.error is not None:
            raise NotFoundError(f"stream {self._stream}: {info.error.get('description')}")
        return info


def _json(request: object) -> bytes:
    return msgspec.json.encode(request)


def _ends_batch(answer: Msg) -> bool:
    return bool(status_of(answer))


def _is_torn(answers: list[Msg]) -> bool:
    """Tell whether a message was removed while it was being sent, which ends an answer amid it."""
    return len(answers) > 1 and status_of(answers[-1]) == _NOT_FOUND


def _content(answers: list[Msg]) -> list[Msg]:
    """Return the messages of a batch, without the status that ends it."""
    *messages, end = answers
    status = status_of(end)
    if status not in _NOTHING:
        description = end.headers.get("Description", "") if end.headers else ""
        raise BusUnavailableError(f"direct get refused: {status} {description}")
    return messages


def _stored(answer: Msg) -> StoredMessage:
    headers = answer.headers or {}
    return StoredMessage(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        parse_time_ms(headers["Nats-Time-Stamp"]),
        answer.data,
    )


def parse_time_ms(text: str) -> int:
    """Return Unix milliseconds of the broker's RFC 3339 timestamp with up to nine decimals."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1000 + int(f"{fraction:0<3.3}")
