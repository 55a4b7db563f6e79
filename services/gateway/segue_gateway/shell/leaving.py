"""Leaving: how is work for a client given up when the client goes away?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_log = structlog.get_logger()


class UntilGone(Response):
    """An answer that is worked on for as long as its client is there.

    Args:
        work: Makes and sends the answer; it is cancelled when the client goes away.
    """

    def __init__(self, work: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Race the work with the client's leaving."""
        work = asyncio.ensure_future(self._work(scope, receive, send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            was_done = work.done()
            await cancelled(work, gone)
        if was_done:
            work.result()
        else:
            _log.info("client_left", path=scope["path"])


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone; servers ignore what is written to one who has."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and return once they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
