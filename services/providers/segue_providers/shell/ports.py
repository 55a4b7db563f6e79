"""Ports: what does the providers service need from models?"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from segue_contracts.v1.chat import ChatRequest, ErrorClass
from segue_contracts.v1.deltas import Delta
from segue_contracts.v1.metering import Usage
from segue_providers.core.answer import AnswerEvent
from segue_shared.errors import SegueError

Emit = Callable[[Delta], Awaitable[None]]


class ModelCallError(SegueError):
    """A provider did not answer; the class of the error says what may follow.

    Args:
        error: What kind of failure it is.
        message: One sentence for people; never a key or a payload.
        http_status: The provider's status code; 0 for none.
        code: The provider's own code; empty for none.
        retry_after_s: Seconds it asks to wait; None when it did not say.
    """

    def __init__(
        self,
        error: ErrorClass,
        message: str,
        *,
        http_status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.error: ErrorClass = error
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """Texts as vectors."""

    vectors: list[list[float]]
    """One for each text, in order."""
    model: str
    """The model that served."""
    usage: Usage = Usage()
    """Tokens it used."""


class ModelClient(Protocol):
    """One provider's models through one key, behind the vendor's own interface.

    Every error of the vendor's library becomes a `ModelCallError`. Nothing is retried in here, no
    timeout is kept but the one of connecting, and no call outlives its generator or its task.
    """

    def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer a request once.

        The provider is asked to stream when `stream.on` is set; the events are the same otherwise,
        only that they come at once. Closing the generator ends the connection within 0.5 s. The
        provider is read no faster than the events are taken.

        Args:
            request: What is asked; `model` is the provider's own name of a model.

        Raises:
            ModelCallError: There is no answer, or no more of it.
        """
        ...

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Turn texts into vectors; `dimensions` 0 leaves their length to the model."""
        ...

    async def count(self, request: ChatRequest) -> int | None:
        """Return the tokens of input of a request; None when the provider cannot count."""
        ...

    async def probe(self) -> None:
        """Ask something that costs nothing, such as the list of models."""
        ...
