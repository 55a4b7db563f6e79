"""OpenAI's library: how is it called so that no error, and no end of a stream, gets lost?

The library's own way to call an endpoint by its path is used, since the bodies are written and read
by our own pure modules; its models of requests and answers would be built for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream, Omit
from openai._streaming import ServerSentEvent
from openai.types import CreateEmbeddingResponse
from pydantic import SecretStr

from segue_contracts.v1.chat import ChatRequest
from segue_contracts.v1.metering import Usage
from segue_providers.core.answer import Began
from segue_providers.core.configuration import Provider
from segue_providers.core.failures import openai_failure
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.core.wires.openai_options import Json, Translated
from segue_providers.core.wires.openai_profile import VENDOR_URL, Profile, at_vendor, profile_of
from segue_providers.shell.failing import disconnected, refused, unreadable
from segue_providers.shell.http import call_timeout
from segue_providers.shell.ports import Embedded, ModelCallError

_IN_BAND: Final = 200
_LIMITS: Final = "x-ratelimit-"
_TAIL_S: Final = 0.5
"""How long a whole answer's connection may take to end, so that it can be used again."""
_NO_KEY: Final = "none"
"""What the library is told where there is no key, lest it take one it finds; it is not sent."""


class Frames(AsyncStream[object]):
    """A stream that remembers whether the server said that nothing follows."""

    done: bool = False
    """Whether `[DONE]` was there, which the library swallows."""

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            self.done = self.done or event.data.startswith("[DONE]")
            yield event

    async def drain(self) -> None:
        """Read to the end of the connection, if that comes soon; what is left says nothing."""
        with suppress(TimeoutError, openai.OpenAIError, httpx2.HTTPError, ValueError):
            async with asyncio.timeout(_TAIL_S):
                async for _ in self:
                    continue


class OpenAICalls:
    """The vendor's library, told everything that it would look for in the environment.

    Args:
        provider: The provider's configuration.
        key: Its key; None for servers that want none.
        http: The client that all adapters share.
    """

    def __init__(self, provider: Provider, key: SecretStr | None, http: httpx2.AsyncClient) -> None:
        self._base_url = provider.base_url
        self._key = key
        self._unsent = _unsent(provider.base_url, key)
        self._sdk = AsyncOpenAI(
            api_key=key.get_secret_value() if key is not None else _NO_KEY,
            admin_api_key="",
            base_url=provider.base_url or VENDOR_URL,
            http_client=http,
            max_retries=0,
            timeout=call_timeout(provider.timeouts.connect_s),
        )

    def profile(self, request: ChatRequest) -> Profile:
        """Return what the server is like, for the model asked."""
        return profile_of(self._base_url, request.model)

    def translated(
        self, translate: Callable[[ChatRequest, Profile], Translated], request: ChatRequest
    ) -> Translated:
        """Write a request, and refuse one that cannot be written."""
        try:
            return translate(request, self.profile(request))
        except UnsupportedError as error:
            raise ModelCallError("bad_request", str(error)) from None

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Turn every error of the library, and of what it stands on, into the port's."""
        try:
            yield
        except openai.APIStatusError as error:
            raise self.refused(error.body, error.response) from None
        except openai.APIConnectionError as error:
            raise disconnected(error) from None
        except openai.APIError as error:
            raise self.refused(error.body) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise disconnected(error) from None
        except UnicodeEncodeError:
            raise ModelCallError(
                "bad_request", "the request or the key holds characters that cannot be sent"
            ) from None
        except (openai.OpenAIError, ValueError) as error:
            raise unreadable(f"the answer cannot be read ({type(error).__name__})") from None

    def refused(self, body: object, response: httpx2.Response | None = None) -> ModelCallError:
        """Return the error of a refusal, also of one in the middle of a good reply."""
        status = response.status_code if response is not None else _IN_BAND
        headers = response.headers if response is not None else {}
        return refused(openai_failure(status, body, headers), status=status, key=self._key)

    async def opened(self, path: str, body: Json) -> Frames:
        """Ask for a stream; whoever gets it closes it."""
        return await self._sdk.post(
            path,
            cast_to=object,
            body=body,
            options={"headers": self._unsent},
            stream=True,
            stream_cls=Frames,
        )

    async def asked(self, path: str, body: Json) -> httpx2.Response:
        """Ask for a whole reply."""
        options: openai.RequestOptions = {"headers": self._unsent}
        return await self._sdk.post(path, cast_to=httpx2.Response, body=body, options=options)

    def decoded(self, response: httpx2.Response) -> object:
        """Return the body of a whole reply, unless it tells of an error behind a good status.

        A response that failed is left to its reader, since it tells what was used.
        """
        body: object = response.json()
        if isinstance(body, dict) and body.get("error") and "output" not in body:
            raise self.refused(body, response)
        return body

    async def probe(self) -> None:
        """Ask for the list of models, which costs nothing."""
        with self.speaking():
            options: openai.RequestOptions = {"headers": self._unsent}
            await self._sdk.get("/models", cast_to=httpx2.Response, options=options)

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Turn texts into vectors."""
        if not texts:
            return Embedded(vectors=[], model=model)
        with self.speaking():
            reply = await self._sdk.embeddings.create(
                model=model,
                input=[*texts],
                dimensions=dimensions or openai.omit,
                extra_headers=self._unsent,
            )
            return _embedded(reply, len(texts), model)


def _unsent(base_url: str, key: SecretStr | None) -> dict[str, str | Omit]:
    """Return headers not to send: the vendor's accounts to others, and a key that is none."""
    unsent: dict[str, str | Omit] = {}
    if not at_vendor(base_url):
        unsent |= {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    if key is None:
        unsent["Authorization"] = Omit()
    return unsent


def began(request: ChatRequest, response: httpx2.Response, wanted: Translated) -> Began:
    """Return what is known of an answer as soon as its headers are there."""
    headers = response.headers
    number = headers.get("x-request-id", "")
    return Began(
        model=request.model,
        ids={"request": number} if number else {},
        rate_limit={name: value for name, value in headers.items() if name.startswith(_LIMITS)},
        warnings=wanted.warnings,
    )


def _embedded(reply: CreateEmbeddingResponse, texts: int, model: str) -> Embedded:
    ordered = sorted(reply.data, key=lambda one: one.index)
    vectors = [[float(number) for number in one.embedding] for one in ordered]
    if len(vectors) != texts:
        raise unreadable(f"{len(vectors)} vectors came for {texts} texts")
    return Embedded(vectors=vectors, model=reply.model or model, usage=_used(reply))


def _used(reply: CreateEmbeddingResponse) -> Usage:
    # The library declares usage, and does not check that it came.
    usage: object = reply.usage
    if usage is None:
        return Usage(source="partial")
    total = reply.usage.prompt_tokens
    return Usage(input_total=total, input_uncached=total, raw=reply.usage.to_dict())
