"""Extraction: what does a text say, told in its own words?"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

Scalar = str | int | float | bool

MAX_CHARACTERS: Final = 512 * 1024
"""How much of a text is read."""
_MAX_MISSES: Final = 500
_OPENING: Final = re.compile(r"[{\[]")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s+|\n\s*\n|\n(?=\s*(?:[-*#>]|\d+[.)]))")  # noqa: RUF001 - full-width marks end sentences in Chinese and Japanese
_BLANK: Final = re.compile(r"\s+")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)\w*[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A text taken apart into prose and the JSON that stands in it."""

    prose: str
    values: tuple[object, ...]
    cut: bool
    """Whether the text was longer than what was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A named scalar of a JSON value."""

    path: str
    """Where it stands, such as `items[0].name`."""
    value: Scalar


_scan: Final = json.JSONDecoder().raw_decode


def parse_json(text: str) -> object:
    """Return the value of a text that is JSON as a whole; None for anything else, `null` too."""
    try:
        return _decoded(text)
    except (ValueError, RecursionError):
        return None


def _decoded(text: str) -> object:
    """Decode strictly: no NaN, no lone surrogates, no numbers out of range."""
    value: object = msgspec.json.decode(text)
    return value


def read(text: str) -> Material:
    """Take a text apart; JSON is found wherever it stands, fenced or not."""
    readable = text[:MAX_CHARACTERS]
    prose: list[str] = []
    values: list[object] = []
    position = 0
    for start, end, value in _json_in(readable):
        prose.append(readable[position:start])
        values.append(value)
        position = end
    prose.append(readable[position:])
    words = _FENCE.sub("", "\n".join(prose)) if values else readable
    return Material(prose=words.strip(), values=tuple(values), cut=len(text) > MAX_CHARACTERS)


def _json_in(text: str) -> Iterator[tuple[int, int, object]]:
    position, misses = 0, 0
    while misses < _MAX_MISSES and (opening := _OPENING.search(text, position)):
        start = opening.start()
        try:
            _, position = _scan(text, start)
            value = _decoded(text[start:position])
        except (ValueError, RecursionError):
            misses, position = misses + 1, start + 1
            continue
        if _is_structured(value):
            yield start, position, value


def _is_structured(value: object) -> bool:
    """Tell data from prose in brackets such as `[1]` or `[]`."""
    if isinstance(value, list):
        return any(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and bool(value)


def sentences(text: str, limit: int) -> list[str]:
    """Return the first sentences of a text, each on one line."""
    parts = (one_line(part) for part in _SENTENCE_END.split(text))
    return [part for part in parts if part][:limit]


def one_line(text: str, limit: int = 400) -> str:
    """Return a text with its white space folded, cut to `limit` characters."""
    folded = _BLANK.sub(" ", text).strip()
    return folded if len(folded) <= limit else f"{folded[: limit - 1].rstrip()}…"


def facts(value: object) -> Iterator[Fact]:
    """Walk a JSON value's scalars, those near its root first."""
    waiting: deque[tuple[str, object]] = deque([("", value)])
    while waiting:
        path, current = waiting.popleft()
        if isinstance(current, dict):
            waiting.extend((f"{path}.{key}" if path else str(key), current[key]) for key in current)
        elif isinstance(current, list):
            waiting.extend((f"{path}[{n}]", item) for n, item in enumerate(current))
        elif isinstance(current, str | int | float):
            yield Fact(path=path, value=current)


def mappings(value: object) -> Iterator[Mapping[str, object]]:
    """Walk the objects of a JSON value, those near its root first."""
    waiting: deque[object] = deque([value])
    while waiting:
        current = waiting.popleft()
        if isinstance(current, dict):
            yield current
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
