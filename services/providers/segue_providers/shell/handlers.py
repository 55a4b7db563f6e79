"""Handlers: what does the providers service answer when asked?"""

from collections.abc import Callable

from msgspec import UnsetType, structs

from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatMessage, ChatRequest, ChatResponse
from segue_contracts.v1.providers import (
    CheckProvider,
    CountTokens,
    EmbedTexts,
    ExplainRoute,
    GetSpending,
    ProviderChecked,
    ProviderList,
    ProvidersStatus,
    RouteExplained,
    Spending,
    TextsEmbedded,
    TokensCounted,
)
from segue_contracts.v1.registry import (
    CHAT,
    CHECK_PROVIDER,
    COUNT_TOKENS,
    EMBED,
    EXPLAIN_ROUTE,
    PROVIDERS_STATUS,
    SPENDING,
)
from segue_providers.core.standing import explained
from segue_providers.shell.ledger import Ledger
from segue_providers.shell.router import Router
from segue_providers.shell.side import Side
from segue_shared.commands import CommandServer, Context
from segue_worker.ports import PayloadStore


class Handlers:
    """The commands of the providers service.

    Args:
        router: Answers requests.
        side: Answers what is asked beside chats.
        ledger: Knows what was spent.
        payloads: Where answers are that are too large for a reply.
        status: Tells how the providers stand.
    """

    def __init__(
        self,
        router: Router,
        *,
        side: Side,
        ledger: Ledger,
        payloads: PayloadStore,
        status: Callable[[], ProviderList],
    ) -> None:
        self._router = router
        self._side = side
        self._ledger = ledger
        self._payloads = payloads
        self._status = status

    def register(self, server: CommandServer) -> None:
        """Serve every command, in all namespaces."""
        for command, handler in (
            (CHAT, self.chat),
            (PROVIDERS_STATUS, self.status),
            (EXPLAIN_ROUTE, self.route),
            (CHECK_PROVIDER, self.check),
            (EMBED, self.embed),
            (COUNT_TOKENS, self.count),
            (SPENDING, self.spending),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    async def chat(self, request: ChatRequest, context: Context) -> ChatResponse:
        """Answer `providers.chat`; a large answer goes by reference."""
        response = await self._router.chat(request, namespace=context.namespace)
        value = await self._payloads.wrap(response.message)
        if isinstance(value.inline, UnsetType):
            empty = ChatMessage(role="assistant", parts=[])
            return structs.replace(response, message=empty, message_at=value)
        return response

    async def status(self, _request: ProvidersStatus, _context: Context) -> ProviderList:
        """Answer `providers.status`."""
        return self._status()

    async def route(self, request: ExplainRoute, context: Context) -> RouteExplained:
        """Answer `providers.route`."""
        decision = await self._router.explain(request.request, namespace=context.namespace)
        return explained(decision)

    async def check(self, request: CheckProvider, context: Context) -> ProviderChecked:
        """Answer `providers.test`."""
        return await self._side.check(request, namespace=context.namespace)

    async def embed(self, request: EmbedTexts, context: Context) -> TextsEmbedded:
        """Answer `providers.embed`."""
        return await self._side.embed(request, namespace=context.namespace)

    async def count(self, request: CountTokens, context: Context) -> TokensCounted:
        """Answer `providers.count`."""
        return await self._side.count(request, namespace=context.namespace)

    async def spending(self, request: GetSpending, context: Context) -> Spending:
        """Answer `providers.spending`."""
        return await self._ledger.spending(context.namespace, request.account)
