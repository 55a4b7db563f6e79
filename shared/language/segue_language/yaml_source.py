"""What does a YAML text hold, and where?"""

import re
from collections.abc import Iterator
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from segue_language.source import (
    MAX_INTEGER,
    START,
    Builder,
    Flaw,
    Mark,
    Source,
    UnreadableError,
    mark_at,
)

_WORDS: Final[dict[str, object]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_MAX_DIGITS = 25


def read_yaml(text: str) -> Source:
    """Read a YAML 1.2 text (core schema, no tags) with the position of everything in it.

    Raises:
        UnreadableError: It is no YAML, holds several documents, or exceeds the bounds.
    """
    builder = Builder()
    documents = 0
    for event in _events(text):
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                message = "a second document begins here; a file holds one definition"
                raise UnreadableError(Flaw(_mark(event), "several_documents", message))
        _take(builder, event)
    return builder.source()


def _events(text: str) -> Iterator[Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Mark(mark.line + 1, mark.column + 1) if mark else START
        raise UnreadableError(Flaw(at, "invalid_yaml", _helped(error))) from error
    except ReaderError as error:
        at = mark_at(text, int(error.position))
        message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise UnreadableError(Flaw(at, "invalid_yaml", message)) from error
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # The reader trips over a few malformed texts instead of refusing them.
        raise UnreadableError(Flaw(START, "invalid_yaml", "this is no YAML")) from error


def _helped(error: MarkedYAMLError) -> str:
    """Say what is wrong, in what, and what helps against the two commonest mistakes."""
    message = str(error.problem or error.context or "this is no YAML").replace("\n", " ")
    if "'\\t'" in message:
        return "a tab cannot indent; use spaces"
    if message.startswith("mapping values are not allowed"):
        return f"{message}; put text that holds ': ' in quotes"
    if error.problem and error.context and error.context_mark:
        return f"{message}, {error.context} that begins on line {error.context_mark.line + 1}"
    return message


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _take(builder: Builder, event: Event) -> None:
    if isinstance(event, CollectionEndEvent):
        builder.close()
    if not isinstance(event, NodeEvent):
        return
    mark = _mark(event)
    if builder.expects_key and not isinstance(event, ScalarEvent):
        raise UnreadableError(Flaw(mark, "wrong_type", "a field's name must be plain text"))
    if isinstance(event, AliasEvent):
        builder.alias(event.anchor, mark)
        return
    if getattr(event, "tag", None) not in (None, "!"):
        builder.flaw(mark, "tag", "YAML tags are not supported; leave it out or use quotes")
    if isinstance(event, MappingStartEvent):
        builder.open({}, mark, event.anchor)
    elif isinstance(event, SequenceStartEvent):
        builder.open([], mark, event.anchor)
    elif isinstance(event, ScalarEvent):
        _take_scalar(builder, event, mark)


def _take_scalar(builder: Builder, event: ScalarEvent, mark: Mark) -> None:
    value = str(event.value)
    if not _is_text(value):
        message = "half of a surrogate pair is no character"
        raise UnreadableError(Flaw(mark, "invalid_text", message))
    plain = event.style is None or event.style == ""
    if builder.expects_key:
        builder.key(value, mark, merge=plain and value == "<<")
        return
    builder.scalar(_resolved(builder, value, mark) if plain else value, mark, event.anchor)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _resolved(builder: Builder, text: str, mark: Mark) -> object:
    """Give a plain scalar its type by the core schema, in which `yes` and dates are text."""
    if text in _WORDS:
        return _WORDS[text]
    number: float | None = None
    if _INTEGER.fullmatch(text):
        number = _integer(text)
    elif _FLOAT.fullmatch(text):
        number = float(text)
    elif not _NOT_FINITE.fullmatch(text):
        return text
    if number is None or number in (float("inf"), float("-inf")):
        builder.flaw(mark, "out_of_range", "the number is out of range")
        return None
    return number


def _integer(text: str) -> int | None:
    if len(text) > _MAX_DIGITS:
        return None
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text, base)
    return value if -MAX_INTEGER <= value < MAX_INTEGER else None
