"""OpenAI's adapters from outside: how do tests call every kind of server they speak to?"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2
import pytest
from pydantic import SecretStr
from support.emulating import Emulated

from segue_contracts.v1.chat import ChatMessage, ChatRequest, StreamOptions, Text, Tool
from segue_providers.core.assembly import Assembly
from segue_providers.core.configuration import Provider
from segue_providers.shell.adapters import openai_chat, openai_responses
from segue_providers.shell.ports import ModelCallError, ModelClient

SECRET: Final = "sk-proj-a1b2c3d4e5f6g7h8i9j0"
HELLO: Final = ChatMessage(role="user", parts=[Text(text='Hello! {"city": "Bonn"}')])
WEATHER: Final = Tool(
    name="weather",
    description="Tells the weather.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    strict=True,
)

Connect = Callable[[Provider, SecretStr | None, httpx2.AsyncClient], ModelClient]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of server."""

    wire: Any
    connect: Connect
    suffix: str
    model: str
    key: SecretStr | None
    on: bool = True
    """Whether it is asked to stream."""


KEY: Final = SecretStr(SECRET)
CHAT: Final = Kind(
    wire="openai-chat", connect=openai_chat.connect, suffix="/v1", model="gpt-5.5", key=KEY
)
RESPONSES: Final = replace(CHAT, wire="openai-responses", connect=openai_responses.connect)
LOCAL: Final = replace(CHAT, suffix="/local/v1", model="llama3.2", key=None)
STREAMED: Final = {"chat": CHAT, "responses": RESPONSES, "local": LOCAL}
KINDS: Final = {
    f"{name}-{'streamed' if on else 'whole'}": replace(kind, on=on)
    for name, kind in STREAMED.items()
    for on in (True, False)
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_stream = pytest.mark.parametrize("kind", STREAMED.values(), ids=STREAMED)
vendors = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS.values() if kind.key],
    ids=[n for n in KINDS if "local" not in n],
)


def clients_of(emulator: Emulated, http: httpx2.AsyncClient) -> "Clients":
    """Return how to connect to a kind of server under a scenario."""

    def connected(kind: Kind, scenario: str) -> ModelClient:
        url = emulator.url(scenario, suffix=kind.suffix)
        return kind.connect(Provider(wire=kind.wire, base_url=url), kind.key, http)

    return connected


Clients = Callable[[Kind, str], ModelClient]


def asking(kind: Kind, *messages: ChatMessage, **options: Any) -> ChatRequest:
    """Return a request; without messages it says hello."""
    stream = StreamOptions(on=kind.on)
    return ChatRequest(model=kind.model, messages=[*messages] or [HELLO], stream=stream, **options)


async def answered(client: ModelClient, request: ChatRequest) -> Assembly:
    """Return all that comes, put together."""
    assembly = Assembly()
    async with aclosing(client.answer(request)) as events:
        async for event in events:
            assembly.take(event)
    return assembly


async def failed(client: ModelClient, request: ChatRequest) -> ModelCallError:
    """Return the error of a call that fails."""
    with pytest.raises(ModelCallError) as caught:
        await answered(client, request)
    return caught.value


def bare(assembly: Assembly) -> list[Any]:
    """Return the parts of an answer without what only the provider understands."""
    parts = assembly.message().parts
    return [type(part)(**{**_fields(part), "opaque": []}) for part in parts]


def _fields(part: Any) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.__struct_fields__}
