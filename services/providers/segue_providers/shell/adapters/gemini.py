"""Gemini: how are Gemini's models called through Google's library?"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Final

import httpx2
import msgspec
from google import genai
from google.genai import errors, types
from pydantic import SecretStr, ValidationError

from segue_contracts.v1.chat import ChatRequest
from segue_contracts.v1.metering import Usage
from segue_providers.core.answer import AnswerEvent, Metered
from segue_providers.core.configuration import Provider
from segue_providers.core.failures import gemini_failure
from segue_providers.core.usage import tokens
from segue_providers.core.wires.gemini_answer import Chunk, Reader
from segue_providers.core.wires.gemini_request import Wanted, counted, translate
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.shell.adapters.gemini_channel import Channel, holding
from segue_providers.shell.failing import disconnected, refused, unreadable, without_key
from segue_providers.shell.ports import Embedded, ModelCallError, ModelClient
from segue_shared.ids import Ids, SystemIds

_TIER: Final = "x-gemini-service-tier"
_OK: Final = 200
_TAIL_S: Final = 0.5
"""How long a whole answer's connection may take to end, so that it can be used again."""
_BATCH: Final = 100
"""Texts that are embedded in one call at most; the interface takes no more."""
_OURS: Final = {"automaticFunctionCalling": {"disable": True}, "automaticContinuation": False}
"""What keeps the library from calls of its own."""
_UNSEEN: Final = {"sdk_http_response", "parsed", "automatic_function_calling_history"}
_TRUSTS_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For connections that the library could open beside ours; there are none, and making a context
that trusts somebody takes 0.1 s for each of them."""
_NO_KEY: Final = "none"
"""Sent to servers that want no key: without any, the library would take one it finds."""


def connect(provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> ModelClient:
    """Return a provider's models through one of its keys.

    Args:
        provider: The provider.
        key: The key; None for servers that want none.
        http: The connections that all providers share.
    """
    return GeminiModelClient(provider, key, http)


class GeminiModelClient:
    """Gemini's models through one key."""

    def __init__(
        self,
        provider: Provider,
        key: SecretStr | None,
        http: httpx2.AsyncClient,
        *,
        ids: Ids | None = None,
    ) -> None:
        self._key = key
        self._ids = ids or SystemIds()
        channel = Channel(http, connect_s=provider.timeouts.connect_s)
        options = types.HttpOptions(
            base_url=provider.base_url or None,
            headers={"accept-encoding": "identity"},
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=channel,
            client_args={"verify": _TRUSTS_NOBODY},
            async_client_args={"verify": _TRUSTS_NOBODY, "ssl": _TRUSTS_NOBODY},
        )
        secret = key.get_secret_value() if key is not None else _NO_KEY
        client = genai.Client(vertexai=False, api_key=secret, http_options=options)
        self._models = client.aio.models

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer a request once."""
        with self._telling():
            wanted = translate(request)
            contents, config = _typed(wanted, whole=not request.stream.on)
        reader = Reader(self._ids.unique(), warnings=wanted.warnings)
        call = self._streamed if request.stream.on else self._at_once
        async with aclosing(call(request.model, contents, config, reader)) as events:
            async for event in events:
                yield event
        if not reader.whole:
            raise unreadable("the answer ended without a reason to")

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Turn texts into vectors, some hundred a call."""
        vectors, counted_tokens = list[list[float]](), 0
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            with self._telling():
                reply = await self._models.embed_content(
                    model=model,
                    contents=[_content(text) for text in batch],
                    config=types.EmbedContentConfig(output_dimensionality=dimensions or None),
                )
            found = [one.values for one in reply.embeddings or () if one.values]
            if len(found) != len(batch):
                raise unreadable(f"{len(found)} vectors came for {len(batch)} texts")
            vectors.extend(found)
            counted_tokens += (
                reply.usage_metadata and reply.usage_metadata.prompt_token_count
            ) or 0
        return Embedded(vectors=vectors, model=model, usage=_read(counted_tokens, texts))

    async def count(self, request: ChatRequest) -> int | None:
        """Return the tokens of input of a request."""
        with self._telling():
            options = types.HttpOptions(extra_body=counted(request))
            reply = await self._models.count_tokens(
                model=request.model,
                contents=[_content("-")],
                config=types.CountTokensConfig(http_options=options),
            )
        return reply.total_tokens

    async def probe(self) -> None:
        """Ask for the name of one model."""
        with self._telling():
            await self._models.list(config=types.ListModelsConfig(page_size=1))

    async def _at_once(
        self,
        model: str,
        contents: list[types.Content],
        config: types.GenerateContentConfig,
        reader: Reader,
    ) -> AsyncGenerator[AnswerEvent, None]:
        with self._telling():
            reply = await self._models.generate_content(
                model=model, contents=contents, config=config
            )
            http = reply.sdk_http_response
            body = (http and http.body) or ""
            chunk = msgspec.json.decode(body, type=dict[str, Any]) if body else {}
        headers = (http and http.headers) or {}
        if "error" in chunk:
            raise refused(gemini_failure(_OK, chunk, headers), status=_OK, key=self._key)
        reader.service_tier = _tier(headers)
        for event in _understood(reader, chunk):
            yield event

    async def _streamed(
        self,
        model: str,
        contents: list[types.Content],
        config: types.GenerateContentConfig,
        reader: Reader,
    ) -> AsyncGenerator[AnswerEvent, None]:
        responses = list[httpx2.Response]()
        with self._telling():
            stream = await self._models.generate_content_stream(
                model=model, contents=contents, config=config
            )
        try:
            async for chunk in self._chunks(stream, responses):
                reader.service_tier = _tier(responses[0].headers)
                for event in _understood(reader, chunk):
                    yield event
                if reader.whole:
                    break
            for event in await self._tail(stream, responses, reader):
                yield event
        finally:
            await _end(stream, responses)

    async def _chunks(
        self,
        stream: AsyncIterator[types.GenerateContentResponse],
        responses: list[httpx2.Response],
    ) -> AsyncIterator[Chunk]:
        """Read a stream to its end; the first step opens it."""
        while True:
            with self._telling(), holding(responses):
                reply = await anext(stream, None)
            if reply is None:
                return
            yield reply.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_UNSEEN)

    async def _tail(
        self,
        stream: AsyncIterator[types.GenerateContentResponse],
        responses: list[httpx2.Response],
        reader: Reader,
    ) -> list[AnswerEvent]:
        """Read what follows a whole answer: usage, and the end of its connection.

        Nothing that fails here matters any more.
        """
        found = list[AnswerEvent]()
        with suppress(ModelCallError, TimeoutError):
            async with asyncio.timeout(_TAIL_S):
                async for chunk in self._chunks(stream, responses):
                    events = _understood(reader, chunk)
                    found.extend(event for event in events if isinstance(event, Metered))
        return found

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn every error of the library into one that may be shown; none keeps its cause."""
        try:
            yield
        except errors.APIError as error:
            raise self._refused(error) from None
        except errors.UnknownApiResponseError:
            raise unreadable("a piece of the answer is no JSON") from None
        except msgspec.DecodeError:
            raise unreadable("the answer is no JSON") from None
        except UnsupportedError as error:
            raise ModelCallError("bad_request", str(error)) from None
        except ValidationError as error:
            raise ModelCallError("bad_request", _where(error)) from None
        except ValueError as error:
            raise ModelCallError("bad_request", without_key(str(error), self._key)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError) as error:
            raise disconnected(error) from None

    def _refused(self, error: errors.APIError) -> ModelCallError:
        """Read an error's body; one in the middle of a stream has the status of the stream."""
        headers = getattr(error.response, "headers", None) or {}
        status = getattr(error.response, "status_code", 0)
        told = error.details if status == _OK or _is_json(headers) else None
        found = gemini_failure(status, told, headers)
        return refused(found, status=status, key=self._key)


def _typed(
    wanted: Wanted, *, whole: bool
) -> tuple[list[types.Content], types.GenerateContentConfig]:
    """Return a request in the library's types; a whole reply is handed out as it came."""
    contents = [
        types.Content.model_validate_json(msgspec.json.encode(one)) for one in wanted.contents
    ]
    options = {**wanted.config, **_OURS, "shouldReturnHttpResponse": whole}
    config = types.GenerateContentConfig.model_validate_json(msgspec.json.encode(options))
    if wanted.extra:
        config.http_options = types.HttpOptions(extra_body=wanted.extra)
    return contents, config


def _understood(reader: Reader, chunk: Chunk) -> list[AnswerEvent]:
    try:
        return list(reader.read(chunk))
    except (AttributeError, TypeError, ValueError):
        raise unreadable("the answer is not what the interface promises") from None


def _content(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


def _read(counted_tokens: int, texts: Sequence[str]) -> Usage:
    """Return the usage of embedding, which not every model's reply tells."""
    if counted_tokens:
        return Usage(input_total=counted_tokens, input_uncached=counted_tokens)
    estimated = sum(tokens(len(text)) for text in texts)
    return Usage(input_total=estimated, input_uncached=estimated, source="estimated")


def _is_json(headers: Mapping[str, str]) -> bool:
    """Tell whether the vendor wrote a reply, and not some proxy before it."""
    return "json" in headers.get("content-type", "")


def _tier(headers: Mapping[str, str]) -> str:
    return headers.get(_TIER) or ""


def _where(error: ValidationError) -> str:
    """Say where a request does not fit the interface, without what stands there."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"Gemini's interface has no place for `{place}` of the request: {first['msg']}."


async def _end(
    stream: AsyncIterator[types.GenerateContentResponse], responses: list[httpx2.Response]
) -> None:
    """End the connection, and then the library's generators, which would linger otherwise."""
    for response in responses:
        await response.aclose()
    if responses:
        with suppress(errors.APIError, httpx2.HTTPError, httpx2.StreamError, ValueError):
            async for _ in stream:
                pass
