"""Signs of life: how does a caller know that a long answer is still being worked on?

A caller that asks for them, by a header with the seconds between two, gets an empty reply with the
same header at that pace until the answer comes. When they stop, whoever worked on it is gone, and
the caller need not wait for its own time limit. Callers that do not ask get one reply, as always.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from nats.aio.msg import Msg

from segue_shared.errors import TimedOutError

HEADER: Final = "Segue-Alive"
SIGN: Final = {HEADER: "yes"}
"""The headers of a sign of life."""

_SIGNS_PER_SILENCE: Final = 5
_LEAST_PERIOD_S: Final = 0.05
_MOST_PERIOD_S: Final = 60.0

Ask = Callable[[dict[str, str], Callable[[Msg], bool]], Awaitable[list[Msg]]]
"""Sends a request with further headers; takes what tells the last reply from others."""


def period_of(headers: Mapping[str, str]) -> float:
    """Return the seconds between signs that a request asks for; 0 for none."""
    try:
        period = float(headers.get(HEADER, "0"))
    except ValueError:
        return 0
    return min(max(period, _LEAST_PERIOD_S), _MOST_PERIOD_S) if period > 0 else 0


async def while_alive(ask: Ask, *, silence_s: float) -> Msg:
    """Return the answer, however long it takes, as long as signs of life come.

    Args:
        ask: Sends the request.
        silence_s: How long there may be neither a sign nor the answer.

    Raises:
        TimedOutError: Whoever worked on it is gone; whether it took effect is unknown.
    """
    clock = asyncio.get_running_loop().time
    heard = clock()

    def is_last(message: Msg) -> bool:
        nonlocal heard
        heard = clock()
        # Some clients answer with the headers of the request, so the header alone tells nothing.
        return bool(message.data) or (message.headers or {}).get(HEADER) != SIGN[HEADER]

    asking = asyncio.ensure_future(ask({HEADER: str(silence_s / _SIGNS_PER_SILENCE)}, is_last))
    try:
        while not asking.done():
            left = heard + silence_s - clock()
            if left <= 0:
                raise TimedOutError(f"no sign of life within {silence_s:g} s")
            await asyncio.wait({asking}, timeout=left)
        return asking.result()[-1]
    finally:
        asking.cancel()
