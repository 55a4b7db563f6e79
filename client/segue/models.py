"""Models: how does a program look at the providers of models, and at what they cost?

for provider in (await client.models.status()).providers:
    print(provider.name, provider.available, provider.reason)
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from segue_contracts.v1 import registry
from segue_contracts.v1.chat import ChatMessage, ChatRequest, RouteOptions, Text
from segue_contracts.v1.providers import (
    CheckProvider,
    ExplainRoute,
    GetSpending,
    ProviderChecked,
    ProviderList,
    ProvidersStatus,
    RouteExplained,
    Spending,
)

T = TypeVar("T")

_STATUS_S: Final = 5.0
_TEST_S: Final = 130.0
"""Beyond what the router gives one call, so that its own answer is heard."""


class Ask(Protocol):
    """Sends a command and returns its typed result."""

    async def __call__(
        self,
        command: registry.Command,
        request: object,
        result: type[T],
        *,
        timeout_s: float = _STATUS_S,
    ) -> T:
        """Ask, and ask again while nobody answers."""
        ...


class Models:
    """The providers of models."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def status(self) -> ProviderList:
        """Return how the providers stand, in order of priority."""
        return await self._ask(registry.PROVIDERS_STATUS, ProvidersStatus(), ProviderList)

    async def test(self, provider: str, *, model: str = "") -> ProviderChecked:
        """Make the cheapest call that proves that a provider works.

        Args:
            provider: Its name.
            model: The model; the provider's default one when empty.
        """
        request = CheckProvider(provider=provider, model=model)
        command = registry.CHECK_PROVIDER
        return await self._ask(command, request, ProviderChecked, timeout_s=_TEST_S)

    async def explain(
        self, prompt: str, *, model: str = "", policy: str = "", prefer: Sequence[str] = ()
    ) -> RouteExplained:
        """Return who would answer a prompt now, and why not the others; nobody is called.

        Args:
            prompt: What would be asked.
            model: An alias, `provider/model`, or a provider.
            policy: The routing policy; the configured one when empty.
            prefer: Preferred providers or models, first first.

        Raises:
            RefusedError: One of the options cannot be.
        """
        message = ChatMessage(role="user", parts=[Text(text=prompt)])
        route = RouteOptions(policy=policy, order=list(prefer))
        asked = ChatRequest(messages=[message], model=model, route=route)
        return await self._ask(registry.EXPLAIN_ROUTE, ExplainRoute(request=asked), RouteExplained)

    async def spending(self, account: str = "") -> Spending:
        """Return what an account has spent; the namespace's own when none is named.

        Args:
            account: Its name, such as `run.<id>`.
        """
        return await self._ask(registry.SPENDING, GetSpending(account=account), Spending)
