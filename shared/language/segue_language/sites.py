"""Where in a definition do templates stand?"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from segue_language.problems import Path
from segue_language.templates import Mode

PROMPTS: Final = ("prompt", "system")
_TEXTS: Final = ("with", "forEach", "compensate", "wait", "approval", "fleet")
_ITEM_NAMES: Final = ("item", "index")


class Site(NamedTuple):
    """A template, and where it stands."""

    path: Path
    source: str
    mode: Mode


def step_sites(step: Mapping[str, object]) -> Iterator[Site]:
    """Yield the templates of a step in its canonical form."""
    when = step.get("when")
    if isinstance(when, str):
        yield Site(("when",), when, "condition")
    llm = step.get("llm")
    for name in PROMPTS if isinstance(llm, dict) else ():
        text = llm.get(name) if isinstance(llm, dict) else None
        if isinstance(text, str):
            yield Site(("llm", name), text, "prompt")
    for name in _TEXTS:
        if name in step:
            yield from value_sites(step[name], (name,))


def value_sites(value: object, path: Path) -> Iterator[Site]:
    """Yield the templates in a JSON-like value."""
    left: list[tuple[Path, object]] = [(path, value)]
    while left:
        where, item = left.pop()
        if isinstance(item, str):
            if "{" in item:
                yield Site(where, item, "text")
        elif isinstance(item, Mapping):
            left.extend(((*where, str(name)), held) for name, held in item.items())
        elif isinstance(item, list | tuple):
            left.extend(((*where, index), held) for index, held in enumerate(item))


def local_names(step: Mapping[str, object], mode: Mode) -> frozenset[str]:
    """Return the names that are there for one step alone: map items, and `with` in prompts."""
    names: set[str] = set(_ITEM_NAMES) if step.get("forEach") is not None else set()
    given = step.get("with")
    if mode == "prompt" and isinstance(given, dict):
        names.update(map(str, given))
    return frozenset(names)
