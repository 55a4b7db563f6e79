"""OpenAI's interfaces: which request of such a client gets which answer?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.providers import TextsEmbedded
from segue_gateway.core.bodies import idempotency_key
from segue_gateway.core.openai.chat_reply import ChatStream, completion
from segue_gateway.core.openai.chat_request import chat_body, chat_request
from segue_gateway.core.openai.faults import Fault, FaultError, invalid, of_problem
from segue_gateway.core.openai.figures import reply_headers
from segue_gateway.core.openai.listing import (
    EmbeddingBody,
    batches,
    embedding_body,
    embeddings,
    model,
    models,
)
from segue_gateway.core.openai.responses_reply import Asked, whole
from segue_gateway.core.openai.responses_request import responses_body, responses_request
from segue_gateway.core.openai.responses_stream import ResponsesStream
from segue_gateway.core.problems import ProblemError
from segue_gateway.shell.leaving import UntilGone
from segue_gateway.shell.models import Models
from segue_gateway.shell.openai_answers import Streamed, answer, fault_of, fault_response
from segue_shared.clock import Clock
from segue_shared.errors import SegueError
from segue_shared.ids import Ids

Json = dict[str, Any]

MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes of the largest body; images travel in it."""

_AT_ONCE: Final = 4
"""Messages with texts to embed that are on their way at once."""


class OpenAiOperations:
    """What a client of OpenAI's interfaces can do here.

    Args:
        models: Who is asked.
        clock: When an answer was made.
        ids: New names, for requests.
        write_timeout_s: Seconds after which a client that does not read is taken for gone.
    """

    def __init__(self, models: Models, *, clock: Clock, ids: Ids, write_timeout_s: float) -> None:
        self._models = models
        self._clock = clock
        self._ids = ids
        self._write_timeout_s = write_timeout_s

    async def chat_completions(self, request: Request) -> Response:
        """Answer as `POST /v1/chat/completions` does."""
        body = chat_body(await _body(request))
        inbox = self._models.inbox() if body.stream else ""
        asked = chat_request(body, id=self._id_of(request), inbox=inbox)
        created = self._now_s()
        if inbox:
            scribe = ChatStream(asked, created=created, usage=body.wants_usage)
            return self._streamed(Streamed(asked, scribe, write_timeout_s=self._write_timeout_s))
        return self._answered(asked, lambda found: completion(found, asked, created=created))

    async def responses(self, request: Request) -> Response:
        """Answer as `POST /v1/responses` does."""
        body = responses_body(await _body(request))
        inbox = self._models.inbox() if body.stream else ""
        sent = responses_request(body, id=self._id_of(request), inbox=inbox)
        asked = Asked(request=sent, body=body, created=self._now_s())
        if inbox:
            scribe = ResponsesStream(asked)
            return self._streamed(Streamed(sent, scribe, write_timeout_s=self._write_timeout_s))
        return self._answered(sent, lambda found: whole(found, asked))

    async def embed(self, request: Request) -> Response:
        """Answer as `POST /v1/embeddings` does."""
        body = embedding_body(await _body(request))

        async def work() -> Response:
            return answer(embeddings(await self._embedded(body), body))

        return _until_gone(work)

    async def list_models(self) -> Response:
        """Answer as `GET /v1/models` does."""
        return answer({"object": "list", "data": models(await self._models.status())})

    async def get_model(self, name: str) -> Response:
        """Answer as `GET /v1/models/{model}` does."""
        return answer(model(name, await self._models.status()))

    def _answered(self, asked: ChatRequest, told: Callable[[ChatResponse], Json]) -> Response:
        async def work() -> Response:
            found = await self._models.ask(asked)
            return answer(told(found), {"X-Request-Id": asked.id, **reply_headers(found)})

        return _until_gone(work)

    def _streamed(self, streamed: Streamed) -> Response:
        async def work(_scope: Scope, _receive: Receive, send: Send) -> None:
            await streamed.write(self._models, send)

        return UntilGone(work)

    async def _embedded(self, body: EmbeddingBody) -> list[TextsEmbedded]:
        """Embed all texts with the model that embedded the first: vectors of two are no pair."""
        first, *others = batches(body)
        found = await self._models.embed(first)
        named = f"{found.provider}/{found.model}"
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(index: int) -> TextsEmbedded:
            async with places:
                return await self._models.embed(msgspec.structs.replace(others[index], model=named))

        async with asyncio.TaskGroup() as group:
            rest = [group.create_task(one(index)) for index in range(len(others))]
        return [found, *(task.result() for task in rest)]

    def _id_of(self, request: Request) -> str:
        """Return a request's id: the caller's key, or one that never was."""
        given = request.headers.get("idempotency-key")
        if given is None:
            return f"http-{self._ids.unique()}{self._ids.unique()}"
        return f"http-key-{idempotency_key(given)}"

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1_000


def add_openai(api: FastAPI, operations: OpenAiOperations) -> None:
    """Add the routes; OpenAI describes them, so that our own description does not."""
    routes: tuple[tuple[str, str, Callable[..., Awaitable[Response]]], ...] = (
        ("POST", "/v1/chat/completions", operations.chat_completions),
        ("POST", "/v1/responses", operations.responses),
        ("POST", "/v1/embeddings", operations.embed),
        ("GET", "/v1/models", operations.list_models),
        ("GET", "/v1/models/{name:path}", operations.get_model),
    )
    for method, path, handler in routes:
        api.add_api_route(path, _told(handler), methods=[method], include_in_schema=False)


def _told(
    handler: Callable[..., Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Let everything that goes wrong leave in the form that these clients read."""

    async def handle(request: Request) -> Response:
        named = request.path_params
        arguments = named or ({"request": request} if request.method == "POST" else {})
        try:
            return await handler(**arguments)
        except ProblemError as error:
            return fault_response(of_problem(error.problem))
        except (FaultError, SegueError) as error:
            return fault_response(fault_of(error))

    return handle


def _until_gone(work: Callable[[], Awaitable[Response]]) -> Response:
    """Answer with what some work returns, which ends when the client goes away."""

    async def send_it(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await work()
        except* (FaultError, SegueError) as group:
            response = fault_response(_first(group))
        await response(scope, receive, send)

    return UntilGone(send_it)


def _first(group: BaseExceptionGroup[FaultError | SegueError]) -> Fault:
    """Return the fault of the first error of several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, FaultError | SegueError)  # noqa: S101 - nothing else is in the group
    return fault_of(error)


async def _body(request: Request) -> bytes:
    """Read the body, but no more of it than may be."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            error = invalid(f"a body has at most {MAX_BODY} bytes", code="too_large")
            raise FaultError(msgspec.structs.replace(error.fault, status=413))
    return bytes(data)
