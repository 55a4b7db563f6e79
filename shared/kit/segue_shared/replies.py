"""The reply box: how do answers find the call that waits for them?

One subscription serves all requests of a connection; each call owns one token below its inbox. A
permission violation, which the broker reports on the side, becomes an error of the calls that wait
on that subject.
"""

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_contracts.envelope import UndecodableError, decode_body
from segue_contracts.reply import Reply
from segue_shared.errors import (
    BusUnavailableError,
    InvalidMessageError,
    PermissionDeniedError,
    RefusedError,
)
from segue_shared.wire import listen

T = TypeVar("T")

_reply_decoder = msgspec.json.Decoder(Reply)
_VIOLATION = re.compile(
    r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.IGNORECASE
)


def violated_subject(error: Exception) -> str | None:
    """Return the subject of a permission violation, lower-cased as the client library gives it."""
    match = _VIOLATION.search(str(error))
    return match[1].lower() if match else None


def status_of(message: Msg) -> str:
    """Return the status code of a broker message; empty for a message with content."""
    if message.data or not message.headers:
        return ""
    return message.headers.get("Status", "")


class _Waiting:
    """One call: what it asked, and where its answers go."""

    __slots__ = ("collected", "done", "future", "subject")

    def __init__(self, subject: str, done: Callable[[Msg], bool] | None) -> None:
        self.subject = subject
        self.done = done
        self.collected: list[Msg] = []
        self.future: asyncio.Future[list[Msg]] = asyncio.get_running_loop().create_future()


class ReplyBox:
    """Requests over one shared inbox."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = client.new_inbox()
        self._waiting: dict[str, _Waiting] = {}
        self._next = 0

    async def open(self) -> None:
        """Subscribe to the inbox."""
        await listen(self._client, f"{self._prefix}.*", self._on_reply)

    async def ask(
        self,
        subject: str,
        data: bytes,
        *,
        headers: dict[str, str] | None = None,
        done: Callable[[Msg], bool] | None = None,
    ) -> list[Msg]:
        """Publish and wait for the answer, or for answers until `done` says it was the last.

        The caller bounds the time, with `asyncio.timeout`.

        Raises:
            BusUnavailableError: Nobody listens on the subject.
            PermissionDeniedError: This user may not publish there.
        """
        self._next += 1
        token = str(self._next)
        waiting = self._waiting[token] = _Waiting(subject, done)
        try:
            reply = f"{self._prefix}.{token}"
            await self._client.publish(subject, data, reply=reply, headers=headers)
            return await waiting.future
        finally:
            self._waiting.pop(token, None)

    def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._prefix) + 1 :])
        if waiting is None or waiting.future.done():
            return
        if not message.data and status_of(message) == "503":
            waiting.future.set_exception(BusUnavailableError(f"nobody serves {waiting.subject}"))
            return
        waiting.collected.append(message)
        if waiting.done is None or waiting.done(message):
            waiting.future.set_result(waiting.collected)

    def deny(self, subject: str) -> None:
        """Fail the calls that wait on a subject which the broker refuses."""
        for waiting in self._waiting.values():
            if waiting.subject.lower() == subject and not waiting.future.done():
                waiting.future.set_exception(
                    PermissionDeniedError(f"this user may not publish on {waiting.subject}")
                )


def result_of(answer: Msg, subject: str, result: type[T]) -> T:
    """Return the typed result that a reply holds.

    Raises:
        RefusedError: It holds a refusal.
        InvalidMessageError: It is no reply, or its result has another form.
    """
    try:
        reply = _reply_decoder.decode(answer.data)
        if isinstance(reply.refused, msgspec.UnsetType):
            if isinstance(reply.result, msgspec.UnsetType):
                raise InvalidMessageError(f"{subject} answered with neither result nor refusal")
            return decode_body(reply.result, result)
    except (msgspec.DecodeError, UndecodableError) as error:
        raise InvalidMessageError(f"{subject} answered with another form: {error}") from error
    raise RefusedError(reply.refused)
