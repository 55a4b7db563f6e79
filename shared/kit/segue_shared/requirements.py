"""Requirements: does the broker have what a service needs?"""

from typing import Final

import msgspec

from segue_shared.bus import Bus
from segue_shared.errors import PermissionDeniedError, TransientError
from segue_shared.runtime import Requires

_NOT_FOUND: Final = 404


class _ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _ApiError | None = None


async def missing(bus: Bus, requires: Requires) -> list[str]:
    """Return what is not there, each in a few words; empty when all is."""
    problems = [await _problem(bus, what, call) for what, call in _calls(requires)]
    return [problem for problem in problems if problem]


def _calls(requires: Requires) -> list[tuple[str, str]]:
    """Return what is needed, in words and as the JetStream call that tells of it."""
    return [
        *((f"stream {name}", f"STREAM.INFO.{name}") for name in requires.streams),
        *((f"bucket {name}", f"STREAM.INFO.KV_{name}") for name in requires.buckets),
        *((f"object bucket {name}", f"STREAM.INFO.OBJ_{name}") for name in requires.object_buckets),
        *((f"consumer {name}", f"CONSUMER.INFO.{name}") for name in requires.consumers),
    ]


async def _problem(bus: Bus, what: str, call: str) -> str:
    try:
        answer = msgspec.json.decode(await bus.request(f"$JS.API.{call}", b""), type=_Answer)
    except TransientError:
        return f"{what} (JetStream does not answer)"
    except PermissionDeniedError:
        return f"{what} (this user may not look)"
    if answer.error is None:
        return ""
    return what if answer.error.code == _NOT_FOUND else f"{what} ({answer.error.description})"
