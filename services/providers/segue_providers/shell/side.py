"""Beside chats: what else is asked of models?"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final, TypeVar

from msgspec import structs

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import ChatMessage, ChatRequest, OutputOptions, RouteOptions
from segue_contracts.v1.parts import Text
from segue_contracts.v1.providers import (
    CheckProvider,
    CountTokens,
    EmbedTexts,
    ProviderChecked,
    TextsEmbedded,
    TokensCounted,
)
from segue_providers.core.attempts import unanswerable
from segue_providers.core.catalogue import Target
from segue_providers.core.fleet import Admission, Barred, Fleet
from segue_providers.core.health import Result
from segue_providers.core.ledger import Amount
from segue_providers.core.usage import expected_input, tokens
from segue_providers.shell.configured import Configured
from segue_providers.shell.ledger import Ledger
from segue_providers.shell.meter import GRACE_MS
from segue_providers.shell.ports import Embedded, ModelCallError
from segue_providers.shell.router import Router
from segue_providers.shell.setup import Setup
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError
from segue_shared.ids import Ids
from segue_shared.refusals import invalid

MOST_TEXTS: Final = 2_048
"""Texts that are embedded at once at most."""
_CHECK_TOKENS: Final = 16
_LONGEST_S: Final = 60.0
_T = TypeVar("_T")


class Side:
    """Embeddings, counts and checks.

    Args:
        configured: What is configured.
        fleet: How everything fares.
        ledger: Who pays for embeddings.
        router: Answers chats.
        clock: Time.
        ids: New names.
        draw: Draws a random number from 0 to 1.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        configured: Configured,
        *,
        fleet: Fleet,
        ledger: Ledger,
        router: Router,
        clock: Clock,
        ids: Ids,
        draw: Callable[[], float],
    ) -> None:
        self._configured = configured
        self._fleet = fleet
        self._ledger = ledger
        self._router = router
        self._clock = clock
        self._ids = ids
        self._draw = draw

    async def embed(self, request: EmbedTexts, *, namespace: str) -> TextsEmbedded:
        """Turn texts into vectors, by the first provider that can.

        Raises:
            RefusedError: There is nothing to embed, or nobody could.
        """
        if not 0 < len(request.texts) <= MOST_TEXTS:
            raise RefusedError(invalid(f"texts: 1 to {MOST_TEXTS} are needed"))
        async with self._configured.lease() as setup:
            targets, failed = _embedders(request.model, setup), []
            for target in targets:
                try:
                    return await self._embedded(request, target, setup, namespace=namespace)
                except ModelCallError as error:
                    failed.append(f"{target.provider} failed with {error.error} ({error})")
        why = "; ".join(failed) or (
            f"no provider knows {request.model!r}"
            if request.model
            else "no provider that can is configured; give one a key, or an embedding_model"
        )
        raise RefusedError(Refused(code="provider_failed", message=f"nothing was embedded: {why}"))

    async def count(self, request: CountTokens, *, namespace: str) -> TokensCounted:
        """Count the tokens of a request for whoever would answer it.

        Raises:
            RefusedError: Nobody would.
        """
        decision = await self._router.explain(request.request, namespace=namespace)
        if not decision.targets:
            raise RefusedError(unanswerable(decision))
        target = decision.targets[0]
        async with self._configured.lease() as setup:
            counted = await self._counted(request.request, target, setup)
        return TokensCounted(
            provider=target.provider,
            model=target.model,
            tokens=expected_input(request.request) if counted is None else counted,
            estimated=counted is None,
        )

    async def check(self, request: CheckProvider, *, namespace: str) -> ProviderChecked:
        """Make the cheapest call that proves that a provider works."""
        name = f"{request.provider}/{request.model}" if request.model else request.provider
        began = self._clock.monotonic()
        result = ProviderChecked(provider=request.provider, model=request.model, ok=False)
        try:
            response = await self._router.chat(_trial(request.provider, name), namespace=namespace)
        except RefusedError as error:
            refused = error.refused
            result = structs.replace(
                result,
                error=refused.details.get("error", refused.details.get("reason", refused.code)),
                message=refused.message,
            )
        else:
            result = structs.replace(
                result,
                ok=True,
                provider=response.provider,
                model=response.model_served,
                cost=response.cost,
            )
        total_ms = round((self._clock.monotonic() - began) * 1000, 3)
        return structs.replace(result, total_ms=total_ms)

    async def _counted(self, request: ChatRequest, target: Target, setup: Setup) -> int | None:
        """Return what the provider counted; None when it cannot, or fails to."""
        asked = structs.replace(request, model=target.model)
        try:
            return await self._admitted(
                target,
                setup,
                lambda admission: setup.client(target.provider, admission.key).count(asked),
            )
        except ModelCallError:
            return None

    async def _embedded(
        self, request: EmbedTexts, target: Target, setup: Setup, *, namespace: str
    ) -> TextsEmbedded:
        expected = sum(tokens(len(text)) for text in request.texts)
        most = setup.prices.most(*target, input_tokens=expected, max_output=0) or Decimal(0)
        until_ms = self._clock.now_ms() + round(_LONGEST_S * 1000) + GRACE_MS
        held = await self._ledger.reserve(
            namespace,
            request.allowances,
            request=self._ids.unique(),
            amount=Amount(most, expected),
            until_ms=until_ms,
        )

        def work(admission: Admission) -> Awaitable[Embedded]:
            client = setup.client(target.provider, admission.key)
            return client.embed(request.texts, model=target.model, dimensions=request.dimensions)

        try:
            found = await self._admitted(target, setup, work, until_ms=request.deadline_ms)
        except BaseException:
            await self._ledger.release(held)
            raise
        priced = setup.prices.cost(*target, usage=found.usage, served=found.model)
        spent = Amount(Decimal(priced.cost.usd), found.usage.input_total)
        await self._ledger.settle(held, spent)
        return TextsEmbedded(
            provider=target.provider,
            model=found.model or target.model,
            vectors=found.vectors,
            usage=found.usage,
            cost=priced.cost,
        )

    async def _admitted(
        self,
        target: Target,
        setup: Setup,
        work: Callable[[Admission], Awaitable[_T]],
        *,
        until_ms: int = 0,
    ) -> _T:
        """Do something that a breaker and a key admit, and let them learn from it."""
        now_ms, keys = self._clock.now_ms(), setup.keys(target.provider)
        admission = self._fleet.admit(target, now_ms=now_ms, having=keys)
        if isinstance(admission, Barred):
            raise ModelCallError(admission.error, admission.reason)
        began, result = self._clock.monotonic(), Result(error="cancelled")
        try:
            async with asyncio.timeout(self._left_s(until_ms)):
                done = await work(admission)
            result = Result(total_ms=(self._clock.monotonic() - began) * 1000)
        except ModelCallError as error:
            result = Result(error=error.error, retry_after_s=error.retry_after_s)
            raise
        except TimeoutError as error:
            result = Result(error="timeout_total", total_ms=_LONGEST_S * 1000)
            raise ModelCallError("timeout_total", "no answer in time") from error
        finally:
            now_ms = self._clock.now_ms()
            self._fleet.record(admission, result, now_ms=now_ms, jitter=self._draw())
        return done

    def _left_s(self, until_ms: int) -> float:
        if not until_ms:
            return _LONGEST_S
        return min(max((until_ms - self._clock.now_ms()) / 1000, 0), _LONGEST_S)


def _embedders(name: str, setup: Setup) -> list[Target]:
    """Return who may embed, in order: who is named, else who has a model for it."""
    entries = setup.catalogue.entries
    if not name:
        return [
            Target(entry.name, entry.settings.embedding_model)
            for entry in entries.values()
            if entry.settings.embedding_model and not entry.found.obstacle
        ]
    found = setup.catalogue.resolve(name)
    named = [
        target if "/" in name else Target(target.provider, _own(target, name, setup))
        for target in found
    ]
    return [target for target in named if not entries[target.provider].found.obstacle]


def _own(target: Target, name: str, setup: Setup) -> str:
    """Return a provider's model for embeddings when only the provider is named."""
    entry = setup.catalogue.entries[target.provider]
    return entry.settings.embedding_model if name.lower() in entry.names else target.model


def _trial(provider: str, name: str) -> ChatRequest:
    text = Text(text="Answer with the word ready.")
    return ChatRequest(
        messages=[ChatMessage(role="user", parts=[text])],
        model=name if "/" in name else "",
        output=OutputOptions(max_tokens=_CHECK_TOKENS),
        route=RouteOptions(order=[name], allow=[provider], max_attempts=1),
    )
