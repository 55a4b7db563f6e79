"""Waiting: how does a test wait for what has no event of its own?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 20.0


async def until(ask: Callable[[], Awaitable[T]], *, patience_s: float = PATIENCE_S) -> T:
    """Ask again and again until the answer is true, and return it.

    Raises:
        TimeoutError: It never is.
    """
    async with asyncio.timeout(patience_s):
        while not (answer := await ask()):  # noqa: ASYNC110 - some things have no event
            await asyncio.sleep(0.005)  # between questions, never instead of one
    return answer
