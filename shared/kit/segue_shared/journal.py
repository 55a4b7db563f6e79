"""The journal's reader: what does a stream hold, without a consumer?

Reads are JetStream direct gets (ADR-31): one request, answered by a batch of messages.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, NotFoundError
from segue_shared.replies import status_of

EPOCH_KEY: Final = "segue_epoch"
"""Stream metadata that names the journal; a wiped or restored one has another."""

_TOO_MANY_SUBJECTS: Final = "413"
_END_OF_BATCH: Final = "204"
_NOTHING: Final = frozenset({"404", _END_OF_BATCH})
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
        answers = await self._direct({"multi_last": list(patterns), "batch": _PAGE + 24})
        if status_of(answers[-1]) == _TOO_MANY_SUBJECTS:
            return await self._page_last(patterns)
        return sorted(map(_stored, _content(answers)), key=lambda message: message.sequence)

    async def _page_last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Read everything that fits, page by page, and keep the newest of each subject."""
        newest: dict[str, StoredMessage] = {}
        for pattern in patterns:
            sequence = 0
            while page := await self.after(pattern, sequence):
                newest.update((message.subject, message) for message in page)
                sequence = page[-1].sequence
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

    async def get(self, sequence: int) -> StoredMessage | None:
        """Return the message of a sequence; None when it is gone or never was."""
        [answer] = await self._bus.exchange(self._subject, _json({"seq": sequence}))
        return None if status_of(answer) in _NOTHING else _stored(answer)

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
