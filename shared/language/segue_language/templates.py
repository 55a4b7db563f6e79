"""What is in a template: plain text, paths, or an expression for the sandbox?

Paths are looked up and never reach Jinja, so `{{parse-changes.files}}` works. What is more than a
path is left to `syntax`, which is loaded with the first.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from segue_language.paths import CONSTANTS, PATH, Reference, reference
from segue_language.problems import shown

Mode = Literal["text", "prompt", "condition"]
"""Whether `{name}` is a placeholder (`prompt`), and whether braces may be missing (`condition`)."""

BARE: Final = re.compile(PATH)
"""A path without braces."""

NAMED: Final = re.compile(rf"(?<!\{{)\{{({PATH})\}}(?!\}})")
"""A placeholder in a prompt."""

_CACHED_SOURCE: Final = 4_096
_BLOCK = re.compile(rf"\{{\{{\s*({PATH})\s*\}}\}}")
_BLOCK_OR_PLACEHOLDER = re.compile(f"{_BLOCK.pattern}|{NAMED.pattern}")
_CODE = re.compile(r"\{[{%#]")


class ExpressionError(ValueError):
    """An expression is wrong, or leads to nothing."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"{reason}, in {shown(expression)}")
        self.expression = expression
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A `{name}` in a prompt; without a value it stays as it is."""

    path: Reference


@dataclass(frozen=True, slots=True)
class Template:
    """A template taken apart."""

    source: str
    mode: Mode
    parts: tuple[str | Reference | Placeholder, ...] | None
    """Texts and lookups in order; none when it takes the sandbox."""
    whole: bool
    """Whether it is one expression, which keeps its type."""
    references: tuple[Reference, ...]
    """The paths it uses."""
    placeholders: tuple[Reference, ...] = ()
    """The placeholders, which may stand for nothing."""


def template_of(source: str, mode: Mode = "text") -> Template:
    """Take a template apart.

    Raises:
        ExpressionError: Its syntax is wrong, or it uses what is not available.
    """
    if len(source) > _CACHED_SOURCE:
        return _take_apart(source, mode)
    return _take_apart_cached(source, mode)


def _take_apart(source: str, mode: Mode) -> Template:
    if mode == "condition":
        return _condition(source)
    stripped = source.strip()
    block = _BLOCK.fullmatch(stripped)
    if block and _is_path(block[1]):
        path = reference(block[1])
        return Template(source, mode, (path,), whole=True, references=(path,))
    return _split(source, mode) or _for_sandbox(source, mode)


_take_apart_cached = lru_cache(maxsize=4_096)(_take_apart)


def _is_path(text: str) -> bool:
    return text not in CONSTANTS and "__" not in text


def _condition(source: str) -> Template:
    stripped = source.strip()
    block = _BLOCK.fullmatch(stripped) or BARE.fullmatch(stripped)
    text = block[1] if block and block.re is _BLOCK else stripped
    if block and _is_path(text):
        path = reference(text)
        return Template(source, "condition", (path,), whole=True, references=(path,))
    return _for_sandbox(source, "condition")


def _split(source: str, mode: Mode) -> Template | None:
    """Take a text apart that holds nothing but paths; none when it holds more."""
    parts: list[str | Reference | Placeholder] = []
    end = 0
    for match in (_BLOCK_OR_PLACEHOLDER if mode == "prompt" else _BLOCK).finditer(source):
        parts.append(source[end : match.start()])
        text = match[match.lastindex or 0]
        if not _is_path(text):
            return None
        path = reference(text)
        parts.append(path if match.lastindex == 1 else Placeholder(path))
        end = match.end()
    parts.append(source[end:])
    if any(isinstance(part, str) and _CODE.search(part) for part in parts):
        return None
    return Template(
        source,
        mode,
        tuple(part for part in parts if part),
        whole=False,
        references=tuple(part for part in parts if isinstance(part, Reference)),
        placeholders=tuple(part.path for part in parts if isinstance(part, Placeholder)),
    )


def _for_sandbox(source: str, mode: Mode) -> Template:
    from segue_language.syntax import expression_of, inspected  # noqa: PLC0415 - Jinja takes 0.1 s

    inspection = inspected(source, mode)
    return Template(
        source,
        mode,
        None,
        whole=expression_of(inspection.tree) is not None,
        references=tuple(inspection.references),
        placeholders=tuple(inspection.placeholders),
    )
