"""What does a JSON text hold, and where?"""

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # the decoder's own string reader
from typing import Final, NoReturn

from segue_language.source import (
    MAX_DEPTH,
    MAX_INTEGER,
    Builder,
    Flaw,
    Mark,
    Source,
    UnreadableError,
    mark_at,
)

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"true|false|null")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_OUT_OF_RANGE = "the number is out of range"
_MAX_DIGITS = 25


class SlowPathError(ValueError):
    """The text wants a reading with positions."""


def read_quickly(text: str) -> object:
    """Return what a faultless JSON text holds, without positions.

    Raises:
        SlowPathError: It may have faults; `read_json` names them.
    """
    if _SURROGATE.search(text):
        raise SlowPathError
    try:
        value: object = _QUICK.decode(text)
    except (ValueError, RecursionError) as error:
        raise SlowPathError from error
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(value):
        raise SlowPathError
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise SlowPathError
    return mapping


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _MAX_DIGITS else MAX_INTEGER
    if not -MAX_INTEGER <= value < MAX_INTEGER:
        raise SlowPathError
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise SlowPathError
    return value


def _refuse(constant: str) -> NoReturn:
    raise SlowPathError(constant)


_QUICK = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_refuse
)


def read_json(text: str) -> Source:
    """Read a JSON text with the position of everything in it.

    Raises:
        UnreadableError: It is no JSON, or exceeds the bounds.
    """
    return _Reader(text).read()


class _Reader:
    """Walks a text without recursion; `_closers` holds the brackets still open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._index = 0
        self._builder = Builder()
        self._closers: list[str] = []
        self._line = 1
        self._line_start = 0

    def read(self) -> Source:
        self._value()
        while self._closers:
            self._continue()
        self._skip()
        if self._index < len(self._text):
            self._fail("more text after the end of the document")
        return self._builder.source()

    def _skip(self) -> str:
        match = _SPACE.match(self._text, self._index)
        end = match.end() if match else self._index
        breaks = self._text.count("\n", self._index, end)
        if breaks:
            self._line += breaks
            self._line_start = self._text.rfind("\n", 0, end) + 1
        self._index = end
        return self._text[end : end + 1]

    def _mark(self) -> Mark:
        return Mark(self._line, self._index - self._line_start + 1)

    def _fail(self, message: str) -> NoReturn:
        raise UnreadableError(Flaw(self._mark(), "invalid_json", message))

    def _value(self) -> None:
        character = self._skip()
        if character in ("{", "["):
            self._open(character)
        elif character == '"':
            mark = self._mark()
            self._builder.scalar(self._string(), mark)
        else:
            self._plain()

    def _open(self, bracket: str) -> None:
        mark = self._mark()
        self._builder.open({} if bracket == "{" else [], mark)
        self._index += 1
        closer = "}" if bracket == "{" else "]"
        if self._skip() == closer:
            self._index += 1
            self._builder.close()
            return
        self._closers.append(closer)
        self._item(closer)

    def _item(self, closer: str) -> None:
        if closer == "}":
            self._name()
        self._value()

    def _name(self) -> None:
        if self._skip() != '"':
            self._fail("expected a field name in double quotes")
        mark = self._mark()
        self._builder.key(self._string(), mark)
        if self._skip() != ":":
            self._fail("expected ':' after the field name")
        self._index += 1

    def _continue(self) -> None:
        closer = self._closers[-1]
        character = self._skip()
        if character == closer:
            self._index += 1
            self._closers.pop()
            self._builder.close()
        elif character == ",":
            self._index += 1
            if self._skip() == closer:
                self._fail(f"a comma stands before '{closer}'")
            self._item(closer)
        else:
            self._fail(f"expected ',' or '{closer}'")

    def _string(self) -> str:
        start = self._mark()
        try:
            value, end = scanstring(self._text, self._index + 1, True)  # noqa: FBT003 - the decoder's positional `strict`
        except json.JSONDecodeError as error:
            flaw = Flaw(mark_at(self._text, error.pos), "invalid_json", _lowered(error.msg))
            raise UnreadableError(flaw) from error
        text = str(value)
        self._index = end
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = "half of a surrogate pair is no character"
            raise UnreadableError(Flaw(start, "invalid_text", message)) from error
        return text

    def _plain(self) -> None:
        mark = self._mark()
        match = _WORD.match(self._text, self._index) or _NUMBER.match(self._text, self._index)
        if match is None:
            self._fail("expected a value" if self._text else "the document is empty")
        if match[0] in _WORDS:
            value = _WORDS[match[0]]
        else:
            value = self._number(match[0], whole=not (match[1] or match[2]))
        self._builder.scalar(value, mark)
        self._index = match.end()

    def _number(self, digits: str, *, whole: bool) -> float | None:
        try:
            return _integer(digits) if whole else _finite(digits)
        except SlowPathError:
            self._builder.flaw(self._mark(), "out_of_range", _OUT_OF_RANGE)
            return None


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(" at")
