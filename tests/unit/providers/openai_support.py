"""What tests of OpenAI's wires share: requests, profiles and answers put together."""

from collections.abc import Iterable
from typing import Any, Final

from segue_contracts.v1.chat import ChatMessage, ChatRequest, Part, Role, Text, Tool
from segue_providers.core.answer import AnswerEvent
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.openai_profile import Profile

VENDOR: Final = Profile(name="openai", vendor=True)
LOCAL: Final = Profile(name="localhost:11434", vendor=False)
REASONER: Final = "gpt-5.5"
CHATTER: Final = "gpt-4o"
WEATHER: Final = Tool(
    name="weather",
    description="Tells the weather.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)
CLOSED: Final = {**WEATHER.parameters, "additionalProperties": False}


def said(*parts: Part, role: Role = "user", name: str = "") -> ChatMessage:
    """One message."""
    return ChatMessage(role=role, parts=[*parts], name=name)


def asking(*messages: ChatMessage, model: str = CHATTER, **options: Any) -> ChatRequest:
    """A request; without messages it says hello."""
    return ChatRequest(model=model, messages=[*messages] or [said(Text(text="hello"))], **options)


def assembled(events: Iterable[AnswerEvent]) -> Assembly:
    """An answer as the router puts it together, which refuses events that cannot be."""
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return assembly
