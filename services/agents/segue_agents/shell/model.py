"""The model: how is one asked, and what if nobody answers for a while?"""

from typing import Final

import msgspec
import structlog

from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.registry import CHAT
from segue_contracts.v1.values import Failure
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError, TransientError
from segue_worker.ports import EventBus
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

_BACKOFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0)


class ModelCaller:
    """Asks the providers service, again and again while it is away; the caller bounds the time.

    Args:
        bus: Where it is asked.
        clock: For deadlines and pauses.
        timeout_s: How long one call may take.
        silence_s: How long the providers may give no sign of life before another is asked.
    """

    def __init__(self, bus: EventBus, *, clock: Clock, timeout_s: float, silence_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._timeout_s = timeout_s
        self._silence_s = silence_s

    async def ask(self, ticket: Ticket, request: ChatRequest) -> ChatResponse | Failure:
        """Return the answer, or why there will be none; the id keeps repeated calls one call."""
        tries = 0
        while True:
            try:
                return await self._call(ticket, request)
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
            msgspec.structs.replace(request, deadline_ms=deadline),
            ChatResponse,
            timeout_s=self._timeout_s,
            silence_s=self._silence_s,
        )


def _busy(refused: Refused) -> bool:
    return refused.code == "unavailable" and refused.retryable


def _failure(refused: Refused) -> Failure:
    return Failure(
        code=refused.code,
        message=refused.message,
        retryable=refused.retryable,
        details=refused.details,
    )
