"""OpenAI's responses: how do they become a port?"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import httpx2
import msgspec
from pydantic import SecretStr

from segue_contracts.v1.chat import ChatRequest
from segue_providers.core.answer import AnswerEvent
from segue_providers.core.configuration import Provider
from segue_providers.core.wires.openai_options import Translated
from segue_providers.core.wires.openai_responses_answer import ResponsesReader, failure_in
from segue_providers.core.wires.openai_responses_request import counted, translate
from segue_providers.shell.adapters.openai_calls import OpenAICalls, began
from segue_providers.shell.ports import Embedded, ModelCallError, ModelClient

_PATH: Final = "/responses"
_NO_SUCH_ENDPOINT: Final = frozenset({404, 405, 501})


class _Counted(msgspec.Struct, frozen=True):
    input_tokens: int


def connect(provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> ModelClient:
    """Return a provider's models through one of its keys.

    Args:
        provider: The provider; without a base URL the vendor itself.
        key: The key; None for servers that want none.
        http: The connections that all providers share.
    """
    return OpenAIResponsesModelClient(OpenAICalls(provider, key, http))


class OpenAIResponsesModelClient:
    """Models behind responses."""

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
        """Return the tokens of input; None where nobody counts them, as at compatible servers."""
        wanted = self._calls.translated(translate, request)
        try:
            with self._calls.speaking():
                reply = await self._calls.asked(f"{_PATH}/input_tokens", counted(wanted.body))
                return msgspec.json.decode(reply.content, type=_Counted).input_tokens
        except ModelCallError as error:
            if error.http_status in _NO_SUCH_ENDPOINT:
                return None
            raise

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
                self._check(frame)
                if reader.stopped:
                    await stream.drain()
                    break
        finally:
            await stream.close()

    async def _whole(
        self, request: ChatRequest, wanted: Translated
    ) -> AsyncGenerator[AnswerEvent, None]:
        response = await self._calls.asked(_PATH, wanted.body)
        body = self._calls.decoded(response)
        for event in self._reader(request, wanted, response).whole(body):
            yield event
        self._check(body)

    def _reader(
        self, request: ChatRequest, wanted: Translated, response: httpx2.Response
    ) -> ResponsesReader:
        return ResponsesReader(self._calls.profile(request), began(request, response, wanted))

    def _check(self, frame: object) -> None:
        """Raise what the library does not: failures are events like others to it."""
        failure = failure_in(frame)
        if failure is not None:
            raise self._calls.refused(failure)
