"""Support: what the providers say to a gateway on fakes, and who reads it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from msgspec import structs
from unit.gateway.gateway_support import Stage

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Stop,
    Text,
)
from segue_contracts.v1.deltas import (
    Delta,
    DeltaEnd,
    DeltaStart,
    PartDelta,
    PartStart,
    StepDelta,
)
from segue_contracts.v1.events import make_event
from segue_shared.errors import (
    RefusedError,
)

CHAT = "segue.v1.default.cmd.providers.chat"
EMBED = "segue.v1.default.cmd.providers.embed"
STATUS = "segue.v1.default.cmd.providers.status"
ANSWER = ChatResponse(
    provider="claude",
    message=ChatMessage(role="assistant", parts=[Text(text="Hello")]),
    stop=Stop(reason="end"),
)
BODY: dict[str, Any] = {"model": "claude", "messages": [{"role": "user", "content": "Hi."}]}
STREAMED = BODY | {"stream": True}
WHOLE: tuple[Delta, ...] = (
    DeltaStart(request="", provider="claude", seq=0),
    PartStart(request="", index=0, kind="text", seq=1),
    PartDelta(request="", index=0, text="Hello", seq=2),
    DeltaEnd(request="", stop=Stop(reason="end"), seq=3),
)
LIMITED = RefusedError(
    Refused(
        code="provider_failed",
        message="slow down",
        retryable=True,
        details={"error": "rate_limited"},
    )
)
PATIENCE_S = 5.0


def framed(delta: Delta) -> bytes:
    """Return a delta as it travels."""
    body = StepDelta(run="", step="", delta=delta)
    return encode(make_event(body, id="d", source="s", subject="r", time="t"))


def playing(
    stage: Stage, deltas: Sequence[Delta], end: ChatResponse | Exception = ANSWER
) -> Callable[[ChatRequest], Awaitable[ChatResponse]]:
    """Let the providers say some deltas, and then answer or refuse."""

    async def chat(_request: ChatRequest) -> ChatResponse:
        for delta in deltas:
            await stage.bus.say(framed(delta))
        if isinstance(end, Exception):
            raise end
        return end

    return chat


def later(delta: Delta) -> Delta:
    """Return a delta as the one that follows it would be counted."""
    return structs.replace(delta, seq=delta.seq + 1)


class Reader:
    """A client that reads only when it is let."""

    def __init__(self, stage: Stage) -> None:
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.begun = asyncio.Event()
        self.body = b""
        self._sent = False
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        app: Any = stage.gateway.asgi
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": json.dumps(STREAMED).encode()}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.begun.set()
        await self.reads.wait()
        self.body += message.get("body", b"")
