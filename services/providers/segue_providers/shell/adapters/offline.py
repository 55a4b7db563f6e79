"""The stand-in as a provider: how does it answer and stream like one that has models?"""

import asyncio
from collections.abc import Iterator

from segue_contracts.v1.chat import ChatRequest, ChatResponse, Part, Text, ToolCall
from segue_contracts.v1.deltas import Delta, DeltaStart, PartDelta, PartEnd, PartStart
from segue_providers.core.offline import MODEL, NAME, answer, chunks
from segue_providers.settings import Settings
from segue_providers.shell.ports import Emit


class OfflineModelClient:
    """Answers without any model."""

    async def chat(self, request: ChatRequest, *, emit: Emit) -> ChatResponse:
        """Answer from the request alone; large ones are read in a thread."""
        response = await asyncio.to_thread(answer, request)
        await emit(DeltaStart(request=request.id, provider=NAME, model=MODEL))
        for index, part in enumerate(response.message.parts):
            for delta in _deltas(request, index, part):
                await emit(delta)
        return response


def connect(_settings: Settings) -> OfflineModelClient:
    """Return the stand-in; it needs no key."""
    return OfflineModelClient()


def _deltas(request: ChatRequest, index: int, part: Part) -> Iterator[Delta]:
    name = request.id
    match part:
        case Text(text=text):
            yield PartStart(request=name, index=index, kind="text")
            for piece in chunks(text):
                yield PartDelta(request=name, index=index, text=piece)
            yield PartEnd(request=name, index=index)
        case ToolCall(id=call, name=tool, args_json=args):
            yield PartStart(request=name, index=index, kind="tool_call", id=call, name=tool)
            if "tool_args" in request.stream.include:
                yield PartDelta(request=name, index=index, args=args)
            yield PartEnd(request=name, index=index)
        case _:
            return
