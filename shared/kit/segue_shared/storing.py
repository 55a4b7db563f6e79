"""Storing: when is a message known to be in its stream?

Stored means acknowledged, or refused because its place is taken (10071). Anything else leaves it
unknown (10164, no answer, nobody listening), so it is published again. Messages that are stored
together share one future, and everything that waits shares one timer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_shared.errors import (
    InvalidMessageError,
    PermanentError,
    PermissionDeniedError,
    SegueError,
    TooLargeError,
)
from segue_shared.observer import Observer
from segue_shared.replies import status_of
from segue_shared.wire import listen, translated

_RETRY_DELAYS_S: Final = (0.01, 0.05, 0.2, 0.5, 1.0)
_UNSERVED: Final = "503"
_WRONG_LAST_SEQUENCE: Final = 10071
_IN_FLIGHT: Final = 10164
_MESSAGE_TOO_LARGE: Final = 10054
_BAD_REQUEST: Final = 400
_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_GROUP: Final = "Nats-Expected-Last-Subject-Sequence-Subject"


class Stored(msgspec.Struct, frozen=True):
    """What became of a create-if-absent publish."""

    sequence: int
    """The stream sequence; 0 when it was there before."""
    created: bool
    """Whether this publish stored it; False says that the subject or its guard was taken."""


class Creation(msgspec.Struct, frozen=True):
    """An event to be stored unless one of its group exists, or came after a known one."""

    subject: str
    """Where it is stored."""
    data: bytes
    """The event."""
    guard: str = ""
    """Pattern of the subjects among which only one may exist; the subject by default."""
    after: int = 0
    """Sequence of the newest message that the group has; 0 for none."""


class Outgoing(NamedTuple):
    """A message for a stream."""

    subject: str
    data: bytes
    headers: dict[str, str] | None = None


class _ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PublishAck(msgspec.Struct, frozen=True):
    seq: int = 0
    error: _ApiError | None = None


_ack_decoder = msgspec.json.Decoder(_PublishAck)

_Result: TypeAlias = Stored | PermanentError | None
"""What became of a message: it is in the stream, it never will be, or that is unknown."""


def guarded(creation: Creation) -> Outgoing:
    """Return the message that stores an event unless one of its group exists."""
    headers = {_LAST: str(creation.after)}
    if creation.guard:
        headers[_GROUP] = creation.guard
    return Outgoing(creation.subject, creation.data, headers)


class _Round:
    """Messages that are published together, and what is known of each."""

    __slots__ = ("deadline", "done", "left", "messages", "results", "tokens")

    def __init__(self, messages: Sequence[Outgoing], *, first: int, deadline: float) -> None:
        self.messages = messages
        self.tokens = range(first, first + len(messages))
        self.results: list[_Result] = [None] * len(messages)
        self.left = len(messages)
        self.deadline = deadline
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, token: int, result: _Result) -> None:
        """Note what became of one message."""
        self.results[token - self.tokens.start] = result
        self.left -= 1
        if self.left == 0:
            self.end()

    def end(self) -> None:
        """Have nobody wait any longer; what is not settled stays unknown."""
        if not self.done.done():
            self.done.set_result(None)


class StreamPublisher:
    """Publishes messages over and over until their streams are known to have or refuse them.

    Args:
        client: Where to.
        observer: Who is told of every publish.
        connected: Returns once the broker is reachable.
        patience_s: How long an acknowledgement may take until its message is published again.
    """

    def __init__(
        self,
        client: Client,
        *,
        observer: Observer,
        connected: Callable[[], Awaitable[None]],
        patience_s: float = 5,
    ) -> None:
        self._client = client
        self._observer = observer
        self._connected = connected
        self._patience_s = patience_s
        self._inbox = f"{client.new_inbox()}."
        self._next = 0
        self._waiting: dict[int, _Round] = {}
        self._rounds: dict[_Round, None] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen for acknowledgements."""
        await listen(self._client, f"{self._inbox}*", self._on_ack)

    async def store(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """Publish messages, and return what became of each once that is certain for all.

        Raises:
            PermissionDeniedError: This user may not publish one of them.
            TooLargeError: The broker will never take one of them.
            PermanentError: The broker refuses one of them for another lasting reason.
            BusUnavailableError: The bus was closed meanwhile.
        """
        results = await self._publish(messages)
        tries = 0
        while unknown := [place for place, result in enumerate(results) if result is None]:
            await asyncio.sleep(_RETRY_DELAYS_S[min(tries, len(_RETRY_DELAYS_S) - 1)])
            tries += 1
            again = await self._publish([messages[place] for place in unknown])
            for place, result in zip(unknown, again, strict=True):
                results[place] = result
        return _all_stored(results)

    async def _publish(self, messages: Sequence[Outgoing]) -> list[_Result]:
        """Publish each message once, and return what is known once nothing more is to come."""
        if not messages:
            return []
        await self._connected()
        deadline = asyncio.get_running_loop().time() + self._patience_s
        together = _Round(messages, first=self._next, deadline=deadline)
        self._next += len(messages)
        self._rounds[together] = None
        self._watch()
        try:
            for token, message in zip(together.tokens, messages, strict=True):
                await self._send(together, token, message)
            await together.done
        finally:
            self._forget(together)
        self._tell(together)
        return together.results

    async def _send(self, together: _Round, token: int, message: Outgoing) -> None:
        subject, data, headers = message
        self._waiting[token] = together
        try:
            await self._client.publish(subject, data, f"{self._inbox}{token}", headers)
        except nats.errors.Error as error:
            self._settle(token, translated(error, subject))

    def _on_ack(self, answer: Msg) -> None:
        token = int(answer.subject[len(self._inbox) :])
        together = self._waiting.get(token)
        if together is not None:
            subject = together.messages[token - together.tokens.start].subject
            self._settle(token, _meaning(answer, subject))

    def _settle(self, token: int, result: Stored | SegueError | None) -> None:
        together = self._waiting.pop(token, None)
        if together is not None:
            known = result if isinstance(result, (Stored, PermanentError)) else None
            together.settle(token, known)

    def deny(self, subject: str) -> None:
        """Fail what waits on a subject, lower-cased, which the broker refuses."""
        for token, together in tuple(self._waiting.items()):
            asked = together.messages[token - together.tokens.start].subject
            if asked.lower() == subject:
                error = PermissionDeniedError(f"this user may not publish on {asked}")
                self._settle(token, error)

    def _forget(self, together: _Round) -> None:
        self._rounds.pop(together, None)
        if together.left:
            for token in together.tokens:
                self._waiting.pop(token, None)

    def _watch(self) -> None:
        """See to it that the oldest round ends in time, and all after it."""
        if self._sweeper is None and self._rounds:
            oldest = next(iter(self._rounds))
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_at(oldest.deadline, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for together in [late for late in self._rounds if late.deadline <= now]:
            together.end()
            self._forget(together)
        self._sweeper = None
        self._watch()

    def _tell(self, together: _Round) -> None:
        published = self._observer.published
        for message, result in zip(together.messages, together.results, strict=True):
            if result is None:
                published(message.subject, "unknown")
            else:
                created = isinstance(result, Stored) and result.created
                published(message.subject, "stored" if created else "refused")


def _meaning(answer: Msg, subject: str) -> Stored | SegueError | None:
    """Read an acknowledgement; None when it leaves unknown what became of the message."""
    if not answer.data and status_of(answer) == _UNSERVED:
        return None
    try:
        ack = _ack_decoder.decode(answer.data)
    except msgspec.DecodeError as error:
        return InvalidMessageError(f"{subject} was acknowledged in another form: {error}")
    return Stored(ack.seq, created=True) if ack.error is None else _refusal(ack.error, subject)


def _refusal(error: _ApiError, subject: str) -> Stored | PermanentError | None:
    """Tell what a refused publish means: stored already, unknown (None), or never."""
    if error.err_code == _WRONG_LAST_SEQUENCE:
        return Stored(0, created=False)
    if error.err_code == _MESSAGE_TOO_LARGE:
        return TooLargeError(f"the stream takes no message of this size on {subject}")
    if error.err_code == _IN_FLIGHT or error.code != _BAD_REQUEST:
        return None
    return PermanentError(f"the broker refuses {subject}: {error.description} ({error.err_code})")


def _all_stored(results: Sequence[_Result]) -> list[Stored]:
    """Return what was stored, or raise the first lasting error with the others noted."""
    errors = [result for result in results if isinstance(result, PermanentError)]
    if errors:
        first, *others = errors
        for other in others:
            first.add_note(str(other))
        raise first
    return [result for result in results if isinstance(result, Stored)]
