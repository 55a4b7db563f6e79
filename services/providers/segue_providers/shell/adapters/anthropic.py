"""Claude: how is Anthropic's Messages API called with its own library?

The library connects, signs in, and tells errors apart. Its typed streams are not used: they hide
pings, which are signs of life, and end in silence when a stream is cut.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Final, cast

import anthropic
import httpx2
import msgspec
from pydantic import SecretStr

from segue_contracts.v1.chat import ChatRequest
from segue_providers.core.answer import AnswerEvent, Began
from segue_providers.core.configuration import Provider
from segue_providers.core.failures import anthropic_failure
from segue_providers.core.wires.anthropic_answer import Frame, Object, Reader
from segue_providers.core.wires.anthropic_request import Translated, countable, translated
from segue_providers.core.wires.anthropic_schema import Json
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.shell.failing import disconnected, refused, unreadable
from segue_providers.shell.http import call_timeout
from segue_providers.shell.ports import Embedded, ModelCallError, ModelClient

BASE_URL: Final = "https://api.anthropic.com"
_MESSAGES: Final = "/v1/messages"
_COUNT: Final = "/v1/messages/count_tokens"
_MODELS: Final = "/v1/models"
_LIMITS: Final = ("anthropic-ratelimit-", "retry-after")
_KEYLESS: Final[Mapping[str, Any]] = {"Authorization": anthropic.omit}
_DRAIN_S: Final = 0.1
"""How long the end of a connection's reply is waited for, so that it can be used again."""

_frames: Final = msgspec.json.Decoder(Frame)


def connect(provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> ModelClient:
    """Return a client of Claude, or of a server that speaks its interface.

    Args:
        provider: Its configuration.
        key: Its key; None for a server that wants none.
        http: The HTTP client that all providers share.
    """
    return AnthropicModelClient(provider, key, http)


class AnthropicModelClient:
    """Claude behind the neutral port."""

    def __init__(self, provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> None:
        self._models = provider.models
        self._key = key
        # Key, address and tracing are given even where there is none, since the library would
        # otherwise take them from the environment, and send a key to whom it does not belong.
        self._client = anthropic.AsyncAnthropic(
            api_key=key.get_secret_value() if key is not None else "",
            base_url=provider.base_url or BASE_URL,
            default_headers=None if key is not None else _KEYLESS,
            http_client=http,
            max_retries=0,
            timeout=call_timeout(provider.timeouts.connect_s),
            open_telemetry=False,
        )

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer a request once; see the port."""
        asked = self._translated(request)
        if not request.stream.on:
            for event in await self._whole(asked):
                yield event
            return
        response = await self._open(asked)
        try:
            async with aclosing(self._read(response, asked)) as events:
                async for event in events:
                    yield event
        finally:
            await response.aclose()

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Refuse: Claude embeds nothing."""
        del texts, dimensions
        raise ModelCallError(
            "model_not_found", f"Claude has no model {model!r} that embeds texts; name another's."
        )

    async def count(self, request: ChatRequest) -> int | None:
        """Count the tokens of input of a request."""
        asked = self._translated(request)
        body = await self._post(_COUNT, countable(asked.body), asked.headers)
        tokens = body.get("input_tokens")
        if not isinstance(tokens, int):
            raise unreadable("the reply to counting tokens holds no count")
        return tokens

    async def probe(self) -> None:
        """List the models."""
        with self._told():
            await self._client.get(_MODELS, cast_to=httpx2.Response)

    def _translated(self, request: ChatRequest) -> Translated:
        known = self._models.get(request.model)
        try:
            return translated(request, max_output=known.max_output if known else 0)
        except UnsupportedError as error:
            raise ModelCallError("bad_request", str(error)) from error

    async def _whole(self, asked: Translated) -> list[AnswerEvent]:
        with self._told():
            response = await self._client.post(
                _MESSAGES,
                cast_to=httpx2.Response,
                body=asked.body,
                options={"headers": asked.headers},
            )
        message = _decoded(response)
        if message.get("type") == "error":
            raise self._refused(response, message)
        if message.get("type") != "message" or not message.get("stop_reason"):
            raise unreadable("the reply is no whole message")
        return list(Reader(_began(response, asked), custom=asked.custom).message(message))

    async def _open(self, asked: Translated) -> httpx2.Response:
        with self._told():
            stream = await self._client.post(
                _MESSAGES,
                cast_to=object,
                body=asked.body,
                options={"headers": asked.headers},
                stream=True,
                stream_cls=anthropic.AsyncStream[object],
            )
        return stream.response

    async def _read(
        self, response: httpx2.Response, asked: Translated
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Read up to the message's end; what comes after it is no part of the answer."""
        reader = Reader(_began(response, asked), custom=asked.custom)
        async with aclosing(self._data(response)) as frames:
            async for data in frames:
                frame = _frame(data)
                if frame.type == "error":
                    raise self._refused(response, {"error": frame.error})
                for event in _taken(reader, frame):
                    yield event
                if frame.type == "message_stop":
                    await _drain(frames)
                    return

    async def _data(self, response: httpx2.Response) -> AsyncGenerator[str, None]:
        raw = anthropic.AsyncStream.raw_events(response)
        async with aclosing(cast("AsyncGenerator[Any, None]", raw)) as events:
            with self._told():
                async for event in events:
                    if event.data:
                        yield event.data

    async def _post(self, path: str, body: Json, headers: dict[str, str]) -> Object:
        with self._told():
            response = await self._client.post(
                path, cast_to=httpx2.Response, body=body, options={"headers": headers}
            )
        return _decoded(response)

    def _refused(self, response: httpx2.Response, body: object) -> ModelCallError:
        status = response.status_code
        failure = anthropic_failure(status, body, response.headers)
        return refused(failure, status=status, key=self._key)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn every error of the library, and of what it stands on, into ours."""
        try:
            yield
        except anthropic.APIStatusError as error:
            raise self._refused(error.response, error.body) from None
        except (anthropic.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise disconnected(error) from None
        except httpx2.InvalidURL as error:
            raise disconnected(error) from None
        except UnicodeDecodeError as error:
            raise unreadable("the stream is not UTF-8") from error
        except UnicodeEncodeError:
            raise ModelCallError(
                "bad_request", "the request or the key holds characters that cannot be sent"
            ) from None


def _began(response: httpx2.Response, asked: Translated) -> Began:
    headers = response.headers
    request_id = headers.get("request-id", "")
    return Began(
        ids={"request": request_id} if request_id else {},
        rate_limit={
            name.lower(): value
            for name, value in headers.items()
            if name.lower().startswith(_LIMITS)
        },
        warnings=asked.warnings,
    )


def _decoded(response: httpx2.Response) -> Object:
    try:
        return msgspec.json.decode(response.content, type=Object)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable("the reply is cut off, or no JSON") from error


def _frame(data: str) -> Frame:
    try:
        return _frames.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise unreadable("an event of the stream is cut off, or no JSON") from error


def _taken(reader: Reader, frame: Frame) -> list[AnswerEvent]:
    try:
        return list(reader.frame(frame))
    except KeyError as error:
        raise unreadable(f"part {error} of the answer goes on without having begun") from error


async def _drain(frames: AsyncGenerator[str, None]) -> None:
    """Read to the end of a reply whose answer is whole already; failing that is no failure."""
    with suppress(TimeoutError, ModelCallError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in frames:
                pass
