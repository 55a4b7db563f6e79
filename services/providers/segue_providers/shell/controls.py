"""Controls: what do callers still say of a call while it runs?

A caller grants credit for further deltas, or takes its call back. Hints that come for a call that
is not here are another instance's, or late, and are ignored.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from nats.aio.msg import Msg

from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.chat import ChatRequest
from segue_contracts.v1.control import CancelCall, CancelHint, GrantCredit
from segue_contracts.v1.registry import decode

_log = structlog.get_logger()


class Credit:
    """How many deltas a caller will still take.

    Args:
        granted: How many at first; 0 for any number, for ever.
    """

    def __init__(self, granted: int) -> None:
        self._left = granted
        self._bounded = granted > 0
        self._more = asyncio.Event()

    @property
    def spent(self) -> bool:
        """Whether the next delta has to wait."""
        return self._bounded and self._left < 1

    def grant(self, more: int) -> None:
        """Allow more."""
        self._left += max(more, 0)
        self._more.set()

    async def take(self) -> None:
        """Take one, waiting for it if none is left."""
        while self.spent:
            self._more.clear()
            await self._more.wait()
        self._left -= 1


class Controlled:
    """A call that can be controlled from outside.

    Args:
        request: What is asked.
        cancel: Gives the call up; takes the reason.
    """

    def __init__(self, request: ChatRequest, cancel: Callable[[str], None]) -> None:
        self.request: Final = request
        self.credit: Final = Credit(request.stream.credit if request.stream.to else 0)
        self.cancel: Final = cancel


class Controls:
    """The calls of this process that can be controlled; several may ask the same."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Controlled]] = {}

    @contextmanager
    def of(self, request: ChatRequest, cancel: Callable[[str], None]) -> Iterator[Credit]:
        """Have a call controlled while it runs; gives the credit of its caller."""
        call = Controlled(request, cancel)
        calls = self._calls.setdefault(request.id, [])
        calls.append(call)
        try:
            yield call.credit
        finally:
            calls.remove(call)
            if not calls:
                del self._calls[request.id]

    async def on_hint(self, message: Msg) -> None:
        """Take a hint from the bus; one that cannot be read is ignored."""
        try:
            body = decode(decode_event(message.data))
        except UndecodableError as error:
            _log.warning("hint_unreadable", subject=message.subject, reason=str(error))
            return
        match body:
            case GrantCredit(request=request, credit=credit, to=to):
                for call in self._calls.get(request, ()):
                    if to in ("", call.request.stream.to):
                        call.credit.grant(credit)
            case CancelCall(request=request, reason=reason):
                for call in tuple(self._calls.get(request, ())):
                    call.cancel(reason or "its caller gave it up")
            case CancelHint():
                self._cancel_of(body)
            case _:
                pass

    def _cancel_of(self, hint: CancelHint) -> None:
        """Give up the calls of a run, a step or an attempt that is no longer wanted."""
        every = [call for calls in self._calls.values() for call in calls]
        for call in [one for one in every if _means(hint, one.request)]:
            call.cancel("the work that it belongs to was cancelled")


def _means(hint: CancelHint, request: ChatRequest) -> bool:
    return (
        hint.run == request.run
        and hint.step in {"", request.step}
        and hint.attempt in {0, request.attempt}
    )
