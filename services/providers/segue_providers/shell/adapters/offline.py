"""The stand-in as a provider: how does it answer and stream like one that has models?"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from pydantic import SecretStr

from segue_contracts.v1.chat import ChatRequest, Part, Text
from segue_providers.core.answer import (
    AnswerEvent,
    Began,
    Closed,
    Grew,
    Metered,
    Opened,
    Stopped,
    Whole,
)
from segue_providers.core.configuration import Provider
from segue_providers.core.offline import MODEL, answer, chunks
from segue_providers.core.usage import expected_input
from segue_providers.shell.ports import Embedded, ModelCallError


class OfflineModelClient:
    """Answers without any model."""

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer from the request alone; large ones are read in a thread."""
        response = await asyncio.to_thread(answer, request)
        yield Began(model=MODEL, warnings=tuple(response.warnings))
        for index, part in enumerate(response.message.parts):
            for event in _events(index, part):
                yield event
        yield Metered(usage=response.usage)
        yield Stopped(stop=response.stop)

    async def embed(self, _texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Refuse: there is no meaning in vectors that no model made."""
        asked = f"{model or 'any'}, {dimensions or 'any'} dimensions"
        message = f"the stand-in has no model ({asked}); configure one with an embedding_model"
        raise ModelCallError("model_not_found", message)

    async def count(self, request: ChatRequest) -> int | None:
        """Return the estimate that its usage is made of."""
        return expected_input(request)

    async def probe(self) -> None:
        """Answer at once: it is always there."""


def connect(_provider: Provider, _key: SecretStr | None, _http: object) -> OfflineModelClient:
    """Return the stand-in; it needs neither key nor connection."""
    return OfflineModelClient()


def _events(index: int, part: Part) -> Iterator[AnswerEvent]:
    if not isinstance(part, Text):
        yield Whole(index=index, part=part)
        return
    yield Opened(index=index, kind="text")
    for piece in chunks(part.text):
        yield Grew(index=index, text=piece)
    yield Closed(index=index)
