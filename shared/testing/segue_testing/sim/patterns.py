"""Patterns: which subjects does a pattern with wildcards fit, and what does it make of them?"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_WILDCARD: Final = re.compile(r"\{\{wildcard\((\d+)\)\}\}")
_FORMS: Final = {"*": "([^.]+)", ">": "(.+)"}


def _expression(pattern: str) -> str:
    return r"\.".join(_FORMS.get(token) or re.escape(token) for token in pattern.split("."))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_expression(pattern))


def is_pattern(subject: str) -> bool:
    """Tell whether a subject holds wildcards."""
    return not _FORMS.keys().isdisjoint(subject.split("."))


def fits(pattern: str, subject: str) -> bool:
    """Tell whether a subject fits a pattern."""
    return pattern == subject or _compiled(pattern).fullmatch(subject) is not None


Branches = dict[str, "Branches"]


def _tree(patterns: tuple[str, ...]) -> Branches:
    """Return the patterns token by token; an empty token ends one."""
    root: Branches = {}
    for pattern in patterns:
        node = root
        for token in (*pattern.split("."), ""):
            node = node.setdefault(token, {})
    return root


def _reaches(node: Branches, tokens: list[str], at: int) -> bool:
    if at == len(tokens):
        return "" in node
    if ">" in node:
        return True
    branches = (node.get(tokens[at]), node.get("*"))
    return any(one is not None and _reaches(one, tokens, at + 1) for one in branches)


@lru_cache(maxsize=1024)
def any_of(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """Return what tells whether a subject fits one of several patterns; none stand for all."""
    if len(patterns) == 1:
        return _compiled(patterns[0]).fullmatch
    tree = _tree(patterns or (">",))
    return lambda subject: _reaches(tree, subject.split("."), 0)


def transformed(subject: str, *, source: str, destination: str) -> str | None:
    """Return where a subject is republished; None when it does not fit the source.

    Args:
        subject: What was stored.
        source: A pattern.
        destination: A template; `{{wildcard(n)}}` is the n-th `*`, `>` the rest.
    """
    match = _compiled(source).fullmatch(subject)
    if match is None:
        return None
    groups = match.groups()
    filled = _WILDCARD.sub(lambda wildcard: groups[int(wildcard[1]) - 1], destination)
    return f"{filled[:-1]}{groups[-1]}" if filled.endswith(">") else filled
