"""The scripted model: what answers on the bus in place of a model, exactly as a test says?"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
from nats.aio.msg import Msg

from segue_contracts.envelope import decode_body, encode, raw
from segue_contracts.reply import Refused, Reply
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Part,
    Stop,
    StopReason,
    Text,
    ToolCall,
    Usage,
)
from segue_contracts.v1.registry import CHAT
from segue_shared.bus import Bus

Answer = ChatResponse | Refused
Script = Sequence[Answer | Callable[[ChatRequest], Answer]]
"""Answers in order; a function makes one of its request."""

PROVIDER = "scripted"


def says(text: str, *, stop: StopReason = "end", usage: Usage | None = None) -> ChatResponse:
    """Return an answer of text.

    Args:
        text: What the model says.
        stop: Why it stops.
        usage: What it used; nothing by default.
    """
    return _answer([Text(text=text)], stop, usage or Usage())


def calls(*tools: str, **arguments: object) -> ChatResponse:
    """Return an answer that asks for tools, each with the same arguments."""
    args = encode(arguments).decode()
    parts = [ToolCall(id=f"call-{tool}", name=tool, args_json=args) for tool in tools]
    return _answer(parts, "tool_use", Usage())


def _answer(parts: Sequence[Part], stop: StopReason, usage: Usage) -> ChatResponse:
    return ChatResponse(
        provider=PROVIDER,
        model_served="script-1",
        message=ChatMessage(role="assistant", parts=list(parts)),
        stop=Stop(reason=stop),
        usage=usage,
    )


class ScriptedModel:
    """Answers chat commands from a script, and remembers what it was asked.

    A request that comes again under its id gets the answer it got before, as from a provider that
    never charges twice. Beyond its end the script refuses.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[ChatRequest] = []
        """Every request, in order, repeated ones left out."""
        self._script = deque(script)
        self._answered: dict[str, Answer] = {}

    async def answer(self, message: Msg) -> None:
        """Answer one command."""
        request = decode_body(message.data, ChatRequest)
        answer = self._answered.get(request.id) or self._next(request)
        if request.id:
            self._answered[request.id] = answer
        reply = Reply(refused=answer) if isinstance(answer, Refused) else Reply(result=raw(answer))
        await message.respond(encode(reply))

    def _next(self, request: ChatRequest) -> Answer:
        self.requests.append(request)
        if not self._script:
            return Refused(code="provider_failed", message="the script has ended")
        line = self._script.popleft()
        answer = line(request) if callable(line) else line
        if isinstance(answer, Refused):
            return answer
        return msgspec.structs.replace(answer, id=request.id)


@asynccontextmanager
async def scripted_model(bus: Bus, script: Script) -> AsyncIterator[ScriptedModel]:
    """Answer `providers.chat` in every namespace for the length of a block."""
    model = ScriptedModel(script)
    subject = subjects.command("*", CHAT.service, CHAT.verb)
    subscription = await bus.subscribe(subject, model.answer, queue=CHAT.service)
    try:
        yield model
    finally:
        await subscription.unsubscribe()
