"""The model: how is one asked, and what if nobody answers for a while?"""

import asyncio
import contextlib
from typing import Final

import msgspec
import structlog

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatMessage, ChatRequest, ChatResponse
from segue_contracts.v1.control import CancelCall
from segue_contracts.v1.events import make_event
from segue_contracts.v1.registry import CHAT
from segue_contracts.v1.values import Failure
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import Ids
from segue_worker.ports import EventBus, PayloadStore
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0)


class ModelCaller:
    """Asks the providers service, again and again while it is away; the caller bounds the time.

    Args:
        bus: Where it is asked.
        payloads: Where conversations and answers are that are too large for a message.
        ids: New names, for events.
        source: The producer that events name.
        clock: For deadlines and pauses.
        timeout_s: How long one call may take.
        silence_s: How long the providers may give no sign of life before another is asked.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        bus: EventBus,
        *,
        payloads: PayloadStore,
        ids: Ids,
        source: str,
        clock: Clock,
        timeout_s: float,
        silence_s: float,
    ) -> None:
        self._bus = bus
        self._payloads = payloads
        self._ids = ids
        self._source = source
        self._clock = clock
        self._timeout_s = timeout_s
        self._silence_s = silence_s

    async def ask(self, ticket: Ticket, request: ChatRequest) -> ChatResponse | Failure:
        """Return the answer, or why there will be none; the id keeps repeated calls one call.

        Raises:
            SegueError: A large conversation or answer cannot be stored or read.
        """
        tries, fitting = 0, await self._fitting(request)
        while True:
            try:
                return await self._opened(await self._call(ticket, fitting))
            except asyncio.CancelledError:
                await self._take_back(ticket, request)
                raise
            except RefusedError as error:
                if not _busy(error.refused):
                    return _failure(error.refused)
                reason = error.refused.message
            except TransientError as error:
                reason = str(error)
            _log.info("model_call_again", request=request.id, tries=tries + 1, reason=reason)
            await self._clock.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
            tries += 1

    async def _call(self, ticket: Ticket, request: ChatRequest) -> ChatResponse:
        give_up = self._clock.now_ms() + round(self._timeout_s * 1000)
        deadline = min(give_up, ticket.task.deadline_ms or give_up)
        return await self._bus.call(
            subjects.command(ticket.place.namespace, CHAT.service, CHAT.verb),
            msgspec.structs.replace(
                request, deadline_ms=deadline, allowances=ticket.task.allowances
            ),
            ChatResponse,
            timeout_s=self._timeout_s,
            silence_s=self._silence_s,
        )

    async def _fitting(self, request: ChatRequest) -> ChatRequest:
        """Return a request that fits into a message; a large conversation goes by reference."""
        value = await self._payloads.wrap(request.messages)
        if isinstance(value.ref, msgspec.UnsetType):
            return request
        return msgspec.structs.replace(request, messages=[], conversation=value)

    async def _opened(self, response: ChatResponse) -> ChatResponse:
        """Return an answer with its message in it."""
        if isinstance(response.message_at, msgspec.UnsetType):
            return response
        found = await self._payloads.unwrap(response.message_at)
        message = msgspec.convert(found, ChatMessage)
        return msgspec.structs.replace(response, message=message, message_at=msgspec.UNSET)

    async def _take_back(self, ticket: Ticket, request: ChatRequest) -> None:
        """Tell the providers that an answer is no longer wanted; a hint, which may be lost."""
        namespace = ticket.place.namespace
        event = make_event(
            CancelCall(request=request.id, reason="its step no longer wants it"),
            id=self._ids.unique(),
            source=self._source,
            subject=f"{request.run}/{request.step}",
            time=rfc3339(self._clock.now_ms()),
        )
        subject = subjects.call_control(namespace, request.id, "cancel_call")
        with contextlib.suppress(TransientError):
            await self._bus.publish(subject, encode(event))


def _busy(refused: Refused) -> bool:
    return refused.code == "unavailable" and refused.retryable


def _failure(refused: Refused) -> Failure:
    return Failure(
        code=refused.code,
        message=refused.message,
        retryable=refused.retryable,
        details=refused.details,
    )
