"""An LLM step: how does a task become an outcome?"""

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.steps import StepCompleted, StepFailed
from segue_contracts.v1.values import Failure
from segue_providers.core.llm_task import TaskError, failure_of, output_of, request_of
from segue_providers.core.offline import NAME
from segue_providers.core.usage import totals
from segue_providers.shell.ports import PayloadStore
from segue_providers.shell.router import Router
from segue_providers.shell.ticket import Ticket
from segue_shared.errors import PayloadMissingError, RefusedError


class LlmStep:
    """Carries LLM steps out.

    Args:
        worker: Who this process is.
    """

    def __init__(self, router: Router, payloads: PayloadStore, *, worker: str) -> None:
        self._router = router
        self._payloads = payloads
        self._worker = worker

    async def outcome(self, ticket: Ticket) -> Message:
        """Ask a model as the task says, and return what came of it.

        Raises:
            TransientError: A store is away; the task shall come again.
        """
        try:
            given = await self._payloads.unwrap(ticket.task.input)
            request = request_of(ticket.task, given)
        except PayloadMissingError as error:
            return self._failed(
                Failure(code="payload_missing", message=str(error), retryable=False)
            )
        except TaskError as error:
            return self._failed(Failure(code="invalid_input", message=str(error), retryable=False))
        try:
            response = await self._router.chat(request, namespace=ticket.place.namespace)
        except RefusedError as error:
            return self._failed(failure_of(error.refused))
        return await self._answered(request, response)

    async def _answered(self, request: ChatRequest, response: ChatResponse) -> Message:
        output = output_of(request, response)
        called = 0 if response.provider == NAME else 1
        usage = totals(response.usage, cost_usd=response.cost.usd, model_calls=called)
        if output.failure is not None:
            return StepFailed(error=output.failure, usage=usage, worker=self._worker)
        return StepCompleted(
            output=await self._payloads.wrap(output.value),
            usage=usage,
            provider=response.provider,
            model=response.model_served,
            worker=self._worker,
            notes=response.warnings,
        )

    def _failed(self, failure: Failure) -> StepFailed:
        return StepFailed(error=failure, worker=self._worker)
