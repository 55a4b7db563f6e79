"""An LLM step: how does a task become an outcome?"""

from typing import Final

import structlog

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.steps import StepCompleted, StepFailed
from segue_contracts.v1.values import Failure, UsageTotals
from segue_providers.core.attempts import spent, spent_of
from segue_providers.core.llm_task import TaskError, failure_of, output_of, request_of
from segue_providers.shell.router import Router
from segue_providers.shell.telling import SERVICE
from segue_shared.errors import PayloadMissingError, RefusedError, SegueError
from segue_worker.ports import PayloadStore
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

_NOTHING: Final = UsageTotals()


class LlmStep:
    """Carries LLM steps out."""

    def __init__(self, router: Router, payloads: PayloadStore) -> None:
        self._router = router
        self._payloads = payloads

    async def outcome(self, ticket: Ticket) -> Message:
        """Ask a model as the task says, and return what came of it.

        Raises:
            TransientError: A store is away; the task shall come again.
        """
        try:
            given = await self._payloads.unwrap(ticket.task.input)
            request = request_of(ticket.task, given)
        except PayloadMissingError as error:
            return _failed(ticket, _lasting("payload_missing", error))
        except TaskError as error:
            return _failed(ticket, _lasting("invalid_input", error))
        try:
            response = await self._router.chat(request, namespace=ticket.place.namespace)
        except RefusedError as error:
            return _failed(ticket, failure_of(error.refused), spent_of(error.refused))
        return await self._answered(ticket, request, response)

    def failure(self, error: Exception) -> Failure:
        """Say what an error means that the bus or nobody foresaw."""
        if isinstance(error, SegueError):
            return _lasting("failed", error)
        _log.error("step_crashed", exc_info=error)
        sentence = f"the {SERVICE} service broke down on it ({type(error).__name__})"
        return Failure(code="internal", message=sentence)

    async def _answered(
        self, ticket: Ticket, request: ChatRequest, response: ChatResponse
    ) -> Message:
        output = output_of(request, response)
        usage = spent(response.attempts)
        if output.failure is not None:
            return StepFailed(error=output.failure, usage=usage, worker=ticket.worker)
        return StepCompleted(
            output=await self._payloads.wrap(output.value),
            usage=usage,
            provider=response.provider,
            model=response.model_served,
            worker=ticket.worker,
            notes=response.warnings,
        )


def _lasting(code: str, error: Exception) -> Failure:
    return Failure(code=code, message=str(error), retryable=False)


def _failed(ticket: Ticket, failure: Failure, usage: UsageTotals = _NOTHING) -> StepFailed:
    return StepFailed(error=failure, worker=ticket.worker, usage=usage)
