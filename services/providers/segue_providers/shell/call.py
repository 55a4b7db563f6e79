"""A call: how does one request get from provider to provider until one answers?"""

import asyncio
from collections.abc import Mapping

from msgspec import structs

from segue_contracts.v1.chat import CallAttempt, ChatRequest, ChatResponse
from segue_providers.core.attempts import all_failed, goes_on, settled
from segue_providers.core.route import Decision, Target
from segue_providers.shell.deltas import DeltaStream
from segue_providers.shell.ports import ModelCallError, ModelClient
from segue_shared.errors import RefusedError


class Call:
    """One routed request; it ends with an answer or a refusal, and its stream with one of both."""

    def __init__(self, request: ChatRequest, *, decision: Decision, deltas: DeltaStream) -> None:
        self._request = request
        self._decision = decision
        self._deltas = deltas
        self._tries: list[CallAttempt] = []

    async def run(self, clients: Mapping[str, ModelClient], *, seconds: float) -> ChatResponse:
        """Ask the providers in order.

        Args:
            clients: The providers' clients by name.
            seconds: How long all of it may take.

        Raises:
            RefusedError: None of them answered.
        """
        try:
            response = await self._bounded(clients, seconds)
        except ModelCallError as error:
            await self._deltas.fail(error.error, str(error))
            raise RefusedError(all_failed(self._tries)) from error
        except asyncio.CancelledError:
            await self._deltas.fail("cancelled", "the call was given up")
            raise
        except Exception:
            await self._deltas.fail("server_error", "the providers service broke down on it")
            raise
        await self._deltas.end(response)
        return settled(
            response,
            self._request,
            decision=self._decision,
            tries=self._tries,
            first_ms=self._deltas.first_ms,
            total_ms=self._deltas.elapsed_ms,
        )

    async def _bounded(self, clients: Mapping[str, ModelClient], seconds: float) -> ChatResponse:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._first_answer(clients)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = ModelCallError("timeout_total", f"no answer within {seconds:g} s")
            target = self._decision.targets[min(len(self._tries), len(self._decision.targets) - 1)]
            self._note(target, late)
            raise late from error

    async def _first_answer(self, clients: Mapping[str, ModelClient]) -> ChatResponse:
        *others, last = self._decision.targets
        for target in others:
            try:
                return await self._ask(clients, target)
            except ModelCallError as error:
                self._note(target, error)
                if not self._may_go_on(error):
                    raise
                await self._deltas.restart(error.error)
        try:
            return await self._ask(clients, last)
        except ModelCallError as error:
            self._note(last, error)
            raise

    async def _ask(self, clients: Mapping[str, ModelClient], target: Target) -> ChatResponse:
        request = structs.replace(self._request, model=target.model)
        return await clients[target.provider].chat(request, emit=self._deltas.emit)

    def _may_go_on(self, error: ModelCallError) -> bool:
        """Go on unless another provider would fail too, or an answer was shown that must stand."""
        shown = self._deltas.spoken and self._request.stream.on
        return goes_on(error.error) and (not shown or self._request.stream.on_break == "restart")

    def _note(self, target: Target, error: ModelCallError) -> None:
        spent = sum(one.total_ms for one in self._tries)
        self._tries.append(
            CallAttempt(
                number=len(self._tries) + 1,
                provider=target.provider,
                model=target.model,
                error=error.error,
                message=str(error),
                http_status=error.http_status,
                total_ms=self._deltas.elapsed_ms - spent,
            )
        )
