"""Logs: how does a service write what happened, without payloads and secrets?

One JSON object a line on standard error. Values are cut and cleaned here, in one place: keys that
name a secret or a payload lose their value, text that looks like a secret is masked wherever it
stands, and bytes or unknown objects are named by their kind only.
"""

import enum
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from segue_shared.masking import REDACTED, masked

OMITTED: Final = "[omitted]"

_MAX_TEXT: Final = 4_000
_MAX_TRACE: Final = 16_000
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 4
_SECRET_WORDS: Final = frozenset(
    {
        "apikey",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "nkey",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "secrets",
        "seed",
        "token",
    }
)
_SECRET_KEY: Final = re.compile(r"(api|access|private|secret|signing|encryption)_?key")
_PAYLOADS: Final = frozenset(
    {
        "arguments",
        "body",
        "content",
        "data",
        "input",
        "inputs",
        "messages",
        "output",
        "outputs",
        "payload",
        "prompt",
        "text",
    }
)
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")


def configure(level: str, *, service: str, instance: str, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process, other libraries' included.

    Args:
        level: The least level that is written: `debug`, `info`, `warning` or `error`.
        service: The service's name.
        instance: Which one of it.
        stream: Where lines go; standard error by default.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    named = _Named(service, instance)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        named,
        clean,
    ]
    render = structlog.processors.JSONRenderer(serializer=_json)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_over_stdlib(shared, render, stream=stream or sys.stderr, debug=level == "debug")


def _take_over_stdlib(
    shared: Iterable[Processor], render: Processor, *, stream: TextIO, debug: bool
) -> None:
    """Write what libraries log in the same form; below a warning only when debugging."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if debug else logging.WARNING)


class _Named:
    """Adds which process speaks."""

    def __init__(self, service: str, instance: str) -> None:
        self._names = {"service": service, "instance": instance}

    def __call__(self, _logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        return {**entry, **self._names}


def clean(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """Take payloads, secrets and anything of unknown form out of a log entry."""
    return {str(key): _clean_field(str(key), value, _MAX_DEPTH) for key, value in entry.items()}


def _clean_field(key: str, value: object, depth: int) -> object:
    if _is_secret(key):
        return REDACTED
    if key.lower() in _PAYLOADS:
        return OMITTED
    limit = _MAX_TRACE if key == "exception" else _MAX_TEXT
    return _clean_value(value, depth, limit)


def _is_secret(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    return not _SECRET_WORDS.isdisjoint(words) or bool(_SECRET_KEY.search("_".join(words)))


def _clean_value(value: object, depth: int, limit: int = _MAX_TEXT) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case enum.Enum():
            return _clean_value(value.value, depth)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case str() | BaseException() | os.PathLike():
            return _mask(str(value), limit)
        case _ if depth == 0:
            return f"<{type(value).__name__}>"
        case Mapping():
            return _clean_mapping(value, depth - 1)
        case Sequence() | set() | frozenset():
            return [_clean_value(item, depth - 1) for item in list(value)[:_MAX_ITEMS]]
        case _:
            return f"<{type(value).__name__}>"


def _clean_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    items = list(value.items())[:_MAX_ITEMS]
    return {str(key): _clean_field(str(key), item, depth) for key, item in items}


def _mask(text: str, limit: int) -> str:
    shown = masked(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown)} characters)"


def _json(entry: Mapping[str, object], **_options: object) -> str:
    return msgspec.json.encode(entry).decode()
