"""Model calls: how does a test ask an adapter, and read what it answers?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from segue_contracts.v1.chat import ChatMessage, ChatRequest, StreamOptions, Text, Tool
from segue_providers.core.answer import AnswerEvent, Stopped
from segue_providers.core.assembly import Assembly
from segue_providers.shell.ports import ModelCallError, ModelClient

KEY: Final = SecretStr("the-key-that-nobody-may-read-7351")
"""A key without the form of any vendor's, so that only cutting it out hides it."""
TOOLS: Final = [
    Tool(
        name="look_up",
        description="Looks a city up.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["city"],
        },
    )
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What became of one call."""

    events: tuple[AnswerEvent, ...]
    error: ModelCallError | None

    @property
    def assembly(self) -> Assembly:
        """The answer as far as it came."""
        assembly = Assembly()
        for event in self.events:
            assembly.take(event)
        return assembly

    @property
    def whole(self) -> bool:
        """Whether the provider proved that its answer is whole."""
        return any(isinstance(event, Stopped) for event in self.events)

    @property
    def text(self) -> str:
        """All text that was said."""
        parts = self.assembly.message().parts
        return "".join(part.text for part in parts if isinstance(part, Text))


def asking(text: str = "Hello", *, model: str, stream: bool, **options: Any) -> ChatRequest:
    """Return a request with one question."""
    messages = [ChatMessage(role="user", parts=[Text(text=text)])]
    return ChatRequest(
        **{"messages": messages, "model": model, "stream": StreamOptions(on=stream), **options}
    )


async def call(client: ModelClient, request: ChatRequest) -> Called:
    """Ask once, and take all there is."""
    events: list[AnswerEvent] = []
    async with reading(client, request) as answer:
        try:
            async for event in answer:
                events.append(event)  # noqa: PERF401 - what came before an error counts
        except ModelCallError as error:
            return Called(events=tuple(events), error=error)
    return Called(events=tuple(events), error=None)


@asynccontextmanager
async def reading(
    client: ModelClient, request: ChatRequest
) -> AsyncIterator[AsyncIterator[AnswerEvent]]:
    """Read an answer, and close it whatever happens."""
    answer = client.answer(request)
    try:
        yield answer
    finally:
        await answer.aclose()
