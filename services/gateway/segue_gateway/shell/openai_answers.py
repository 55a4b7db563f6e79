"""OpenAI's answers: how do results, streams and errors leave for such a client?"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog
from fastapi import Response
from starlette.types import Message, Send

from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.deltas import Delta, DeltaStart, Heartbeat
from segue_gateway.core.openai.faults import Fault, FaultError, of_refused
from segue_gateway.shell.models import Models
from segue_shared.errors import (
    RefusedError,
    SegueError,
    TimedOutError,
    TooLargeError,
    TransientError,
)

_log = structlog.get_logger()

_JSON: Final = "application/json"
_SIGN: Final = b": the model is still at work\n\n"
"""A comment, which clients skip and which keeps connections open."""


class Scribe(Protocol):
    """Writes one answer as frames of a stream."""

    def take(self, delta: Delta) -> Iterator[bytes]:
        """Yield the frames of what is new."""
        ...

    def end(self, response: ChatResponse) -> Iterator[bytes]:
        """Yield the frames of the end."""
        ...

    def fail(self, fault: Fault) -> Iterator[bytes]:
        """Yield the frames that say that there is no whole answer."""
        ...


def answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a result."""
    return Response(msgspec.json.encode(body), headers=headers, media_type=_JSON)


def fault_response(fault: Fault) -> Response:
    """Answer with a fault."""
    return Response(fault.body(), fault.status, headers=fault.headers(), media_type=_JSON)


def fault_of(error: FaultError | SegueError) -> Fault:
    """Return what any of our errors is to such a client."""
    match error:
        case FaultError():
            return error.fault
        case RefusedError():
            return of_refused(error.refused)
        case TimedOutError():
            return _server(504, "timeout", str(error), again=True)
        case TransientError():
            return _server(503, "unavailable", str(error), again=True)
        case TooLargeError():
            return Fault(status=413, message=str(error), code="too_large")
        case _:
            _log.error("model_call_failed", error=str(error))
            message = "the answer has another form than expected; the gateway's log says more"
            return _server(500, "internal", message, again=False)


def _server(status: int, code: str, message: str, *, again: bool) -> Fault:
    return Fault(status=status, message=message, type="server_error", code=code, again=again)


class Streamed:
    """One answer as server-sent events.

    Nothing is sent before the first word of the answer or the first sign that it is worked on, so
    that what goes wrong until then has a status of its own. After it an error is the last event,
    and the mark of a whole answer is missing.

    Args:
        request: What is asked.
        scribe: Writes the frames.
        write_timeout_s: Seconds after which a client that does not read is taken for gone.
    """

    def __init__(self, request: ChatRequest, scribe: Scribe, *, write_timeout_s: float) -> None:
        self._request = request
        self._scribe = scribe
        self._write_timeout_s = write_timeout_s
        self._provider = ""
        self._begun = False

    async def write(self, models: Models, send: Send) -> None:
        """Ask, and write the answer as it comes, as fast as the client reads."""
        try:
            await self._write(models, send)
        except (FaultError, SegueError) as error:
            await self._fail(fault_of(error), send)
        except (TimeoutError, OSError):
            _log.info("client_stuck", request=self._request.id)

    async def _write(self, models: Models, send: Send) -> None:
        async with models.watching(self._request) as watch:
            async for delta in watch.deltas():
                if isinstance(delta, DeltaStart):
                    self._provider = delta.provider
                signs = (_SIGN,) if isinstance(delta, Heartbeat) else self._scribe.take(delta)
                await self._deliver(signs, send)
            await self._deliver(self._scribe.end(await watch.response()), send)
        await self._put({"type": "http.response.body", "body": b""}, send)

    async def _fail(self, fault: Fault, send: Send) -> None:
        if not self._begun:
            whole = fault_response(fault)
            start = {"type": "http.response.start", "status": whole.status_code}
            await self._put({**start, "headers": whole.raw_headers}, send)
            await self._put({"type": "http.response.body", "body": whole.body}, send)
            return
        _log.info("model_stream_broke", request=self._request.id, code=fault.code)
        await self._deliver(self._scribe.fail(fault), send)
        await self._put({"type": "http.response.body", "body": b""}, send)

    async def _deliver(self, frames: Iterable[bytes], send: Send) -> None:
        data = b"".join(frames)
        if not data:
            return
        if not self._begun:
            self._begun = True
            headers = [(name.encode(), text.encode()) for name, text in self._headers().items()]
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await self._put(start, send)
        await self._put({"type": "http.response.body", "body": data, "more_body": True}, send)

    def _headers(self) -> dict[str, str]:
        told = {"x-segue-provider": self._provider} if self._provider else {}
        return {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-request-id": self._request.id,
            **told,
        }

    async def _put(self, message: Message, send: Send) -> None:
        async with asyncio.timeout(self._write_timeout_s):
            await send(message)
