"""Local access: who may speak to a gateway without a login?"""

import re
from typing import Final

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from segue_gateway.core.problems import problem
from segue_gateway.settings import is_loopback
from segue_gateway.shell.answers import problem_response

_AUTHORITY: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d+)?")


class LocalOnly:
    """Refuses requests that a page from elsewhere lets a browser send here (DNS rebinding)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for this machine."""
        if scope["type"] == "http" and not names_loopback(_host(scope)):
            await _misdirected()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def names_loopback(authority: str) -> bool:
    """Tell whether a `Host` header names this machine's loopback interface.

    A page from elsewhere can make its own name resolve to 127.0.0.1 (DNS rebinding), but it cannot
    make a browser send another name than its own.
    """
    match = _AUTHORITY.fullmatch(authority)
    return match is not None and is_loopback(match[1] or match[2] or "")


def _host(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"host", b"").decode("latin-1")


def _misdirected() -> Response:
    detail = "this gateway has no login and answers to localhost only; open it by that name"
    return problem_response(problem("misdirected", detail))
