"""OpenAI's chat completions, and servers that are like them: how do they become a port?"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import httpx2
from pydantic import SecretStr

from segue_contracts.v1.chat import ChatRequest, ToolCall
from segue_providers.core.answer import AnswerEvent
from segue_providers.core.configuration import Provider
from segue_providers.core.wires.openai_chat_answer import ChatReader
from segue_providers.core.wires.openai_chat_request import translate
from segue_providers.core.wires.openai_options import Translated
from segue_providers.shell.adapters.openai_calls import OpenAICalls, began
from segue_providers.shell.ports import Embedded, ModelClient

_PATH: Final = "/chat/completions"


def connect(provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> ModelClient:
    """Return a provider's models through one of its keys.

    Args:
        provider: The provider; without a base URL the vendor itself.
        key: The key; None for servers that want none.
        http: The connections that all providers share.
    """
    return OpenAIChatModelClient(OpenAICalls(provider, key, http))


class OpenAIChatModelClient:
    """Models behind chat completions."""

    def __init__(self, calls: OpenAICalls) -> None:
        self._calls = calls

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer a request once."""
        wanted = self._calls.translated(translate, request)
        read = self._streamed if request.stream.on else self._whole
        with self._calls.speaking():
            async with aclosing(read(request, wanted)) as events:
                async for event in events:
                    yield event

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Turn texts into vectors."""
        return await self._calls.embed(texts, model=model, dimensions=dimensions)

    async def count(self, request: ChatRequest) -> int | None:
        """Return nothing, for this interface counts no tokens."""
        del request
        return None

    async def probe(self) -> None:
        """Ask for the list of models."""
        await self._calls.probe()

    async def _streamed(
        self, request: ChatRequest, wanted: Translated
    ) -> AsyncGenerator[AnswerEvent, None]:
        stream = await self._calls.opened(_PATH, wanted.body)
        try:
            reader = self._reader(request, wanted, stream.response)
            async for frame in stream:
                for event in reader.read(frame):
                    yield event
            for event in reader.ended(done=stream.done):
                yield event
        finally:
            await stream.close()

    async def _whole(
        self, request: ChatRequest, wanted: Translated
    ) -> AsyncGenerator[AnswerEvent, None]:
        response = await self._calls.asked(_PATH, wanted.body)
        body = self._calls.decoded(response)
        reader = self._reader(request, wanted, response)
        for event in (*reader.read(body), *reader.ended(done=True)):
            yield event

    def _reader(
        self, request: ChatRequest, wanted: Translated, response: httpx2.Response
    ) -> ChatReader:
        before = sum(isinstance(part, ToolCall) for one in request.messages for part in one.parts)
        profile = self._calls.profile(request)
        return ChatReader(profile, began(request, response, wanted), calls_before=before)
