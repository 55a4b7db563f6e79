"""The models: how does the gateway ask the providers, and take back what nobody wants any more?"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message, encode
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.chat import ChatMessage, ChatRequest, ChatResponse
from segue_contracts.v1.control import CancelCall, GrantCredit
from segue_contracts.v1.events import make_event
from segue_contracts.v1.providers import EmbedTexts, ProviderList, ProvidersStatus, TextsEmbedded
from segue_contracts.v1.registry import Command
from segue_gateway.core.openai.faults import busy
from segue_gateway.shell.ports import ModelBus, PayloadStore
from segue_gateway.shell.watch import Watch
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import BusUnavailableError, SegueError, TransientError
from segue_shared.ids import Ids

T = TypeVar("T", bound=Message)

Call = asyncio.Task[ChatResponse]

_SOURCE: Final = "segue/gateway"
_REPLY_GRACE_S: Final = 2.0
"""What a reply gets beyond the deadline, so that the refusal is heard that says who was late."""


class Models:
    """Asks the providers service in one namespace.

    Args:
        bus: Where it is asked.
        payloads: Where conversations and answers are that are too large for a message.
        inbox: Makes subjects on which only this gateway listens.
        clock: For deadlines.
        ids: New names, for events.
        namespace: The tenant.
        timeout_s: How long an answer may take.
        silence_s: How long the providers may give no sign of life.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        bus: ModelBus,
        *,
        payloads: PayloadStore,
        inbox: Callable[[], str],
        clock: Clock,
        ids: Ids,
        namespace: str,
        timeout_s: float,
        silence_s: float,
    ) -> None:
        self._bus = bus
        self._payloads = payloads
        self._clock = clock
        self._ids = ids
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._running: Counter[str] = Counter()
        self._streamed: set[str] = set()
        self.inbox: Final = inbox
        """Makes subjects on which only this gateway listens."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Return the answer; who is cancelled while waiting takes the call back.

        Raises:
            FaultError: The same request is being streamed to another client.
            SegueError: There is none.
        """
        async with self._asking(request) as call:
            return await asyncio.shield(call)

    @asynccontextmanager
    async def watching(self, request: ChatRequest) -> AsyncIterator[Watch]:
        """Ask, and hear the answer as it is written; leaving early takes the call back.

        Raises:
            FaultError: The same request is being streamed to another client.
            SegueError: Nobody can be asked.
        """
        self._check()
        watch = Watch(request, grant=self._grant)
        listening = await self._bus.subscribe(request.stream.to, watch.on_message)
        try:
            async with self._asking(request) as call:
                watch.follow(call)
                yield watch
        finally:
            with contextlib.suppress(TransientError):
                await listening.unsubscribe()

    async def embed(self, request: EmbedTexts) -> TextsEmbedded:
        """Turn texts into vectors."""
        deadline = self._clock.now_ms() + round(self._timeout_s * 1_000)
        asked = msgspec.structs.replace(request, deadline_ms=deadline)
        return await self._call(registry.EMBED, asked, TextsEmbedded)

    async def status(self) -> ProviderList:
        """Return how the providers stand."""
        return await self._call(registry.PROVIDERS_STATUS, ProvidersStatus(), ProviderList)

    @asynccontextmanager
    async def _asking(self, request: ChatRequest) -> AsyncIterator[Call]:
        self._check()
        if request.id in self._streamed:
            # Credit is granted by the request's id, so that two streams would share it.
            raise busy()
        self._running[request.id] += 1
        if request.stream.on:
            self._streamed.add(request.id)
        call = asyncio.create_task(self._answered(request))
        try:
            yield call
        finally:
            self._running[request.id] -= 1
            # Whoever repeats a request by its key must not lose it to one who gave it up.
            last = self._running[request.id] == 0
            if last:
                del self._running[request.id]
            if request.stream.on:
                self._streamed.discard(request.id)
            if last and not _settled(call):
                await self._take_back(request.id)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def _answered(self, request: ChatRequest) -> ChatResponse:
        deadline = self._clock.now_ms() + round(self._timeout_s * 1_000)
        fitting = await self._fitting(request)
        asked = msgspec.structs.replace(fitting, deadline_ms=deadline)
        return await self._opened(await self._call(registry.CHAT, asked, ChatResponse))

    async def _call(self, command: Command, request: Message, result: type[T]) -> T:
        self._check()
        return await self._bus.call(
            subjects.command(self._namespace, command.service, command.verb),
            request,
            result,
            timeout_s=self._timeout_s + _REPLY_GRACE_S,
            silence_s=self._silence_s,
        )

    def _check(self) -> None:
        if not self._bus.connected:
            # Otherwise the request would wait in the client's buffer until it timed out.
            raise BusUnavailableError("the broker is not reachable")

    async def _fitting(self, request: ChatRequest) -> ChatRequest:
        """Return a request that fits into a message; a large conversation goes by reference."""
        value = await self._payloads.wrap(request.messages)
        if isinstance(value.ref, UnsetType):
            return request
        return msgspec.structs.replace(request, messages=[], conversation=value)

    async def _opened(self, response: ChatResponse) -> ChatResponse:
        """Return an answer with its message in it."""
        if isinstance(response.message_at, UnsetType):
            return response
        found = await self._payloads.unwrap(response.message_at)
        message = msgspec.convert(found, ChatMessage)
        return msgspec.structs.replace(response, message=message, message_at=UNSET)

    async def _grant(self, request: ChatRequest, credit: int) -> None:
        hint = GrantCredit(request=request.id, credit=credit, to=request.stream.to)
        await self._tell(request.id, "credit", hint)

    async def _take_back(self, request: str) -> None:
        """Tell the providers that an answer is no longer wanted; a hint, which may be lost."""
        hint = CancelCall(request=request, reason="its client has gone")
        with contextlib.suppress(SegueError):
            await self._tell(request, "cancel_call", hint)

    async def _tell(self, request: str, what: str, hint: Message) -> None:
        event = make_event(
            hint,
            id=self._ids.unique(),
            source=_SOURCE,
            subject=request,
            time=rfc3339(self._clock.now_ms()),
        )
        await self._bus.publish(
            subjects.call_control(self._namespace, request, what), encode(event)
        )


def _settled(call: Call) -> bool:
    """Tell whether the providers are done with a call; one of unknown fate may still run."""
    return call.done() and not (call.cancelled() or isinstance(call.exception(), TransientError))
