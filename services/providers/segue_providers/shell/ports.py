"""Ports: what does the providers service need from models?"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from segue_contracts.v1.chat import ChatRequest, ChatResponse, ErrorClass
from segue_contracts.v1.deltas import Delta
from segue_shared.errors import SegueError

Emit = Callable[[Delta], Awaitable[None]]
"""Takes a delta of the answer; its request, attempt, number and time are filled in there."""


class ModelCallError(SegueError):
    """A provider did not answer; the class of the error says what may follow.

    Args:
        error: What kind of failure it is.
        message: One sentence for people; never a key or a payload.
        http_status: The provider's status code; 0 for none.
    """

    def __init__(self, error: ErrorClass, message: str, *, http_status: int = 0) -> None:
        super().__init__(message)
        self.error: ErrorClass = error
        self.http_status = http_status


class ModelClient(Protocol):
    """One provider's models, behind the vendor's own interface."""

    async def chat(self, request: ChatRequest, *, emit: Emit) -> ChatResponse:
        """Answer a request once: no retry, no fallback, no silent cut.

        The adapter emits `start` and the parts; the router adds the one `end` or `error`.

        Args:
            request: What is asked; `model` is empty for the provider's default.
            emit: Takes the answer's deltas, whether or not anybody listens.

        Raises:
            ModelCallError: There is no complete answer. Every error of the vendor's library
                becomes this one.
        """
        ...
