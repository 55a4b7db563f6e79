"""Where in a definition do templates stand, and which names do they see there alone?"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from segue_language.paths import RUN
from segue_language.problems import Path
from segue_language.templates import Mode

EVENT: Final = "event"
"""What a wait's `match` reads."""

ITEM_NAMES: Final = frozenset({"item", "index"})
"""What the templates of a step with `forEach` read."""

PROMPTS: Final = ("prompt", "system")
COMPENSATE: Final = "compensate"
_RUN: Final = frozenset({RUN})
_ITEM: Final = _RUN | ITEM_NAMES
_EVENT: Final = _RUN | {EVENT}
_RARE: Final = frozenset({"fleet", "forEach", "wait", "approval", COMPENSATE})

Fields = Mapping[str, object]


class Site(NamedTuple):
    """A template, and where it stands."""

    path: Path
    source: str
    mode: Mode
    names: frozenset[str]
    """What is there beside steps and inputs."""


def step_sites(step: Fields) -> Iterator[Site]:
    """Yield the templates of a step in its canonical form."""
    names = _RUN if step.get("forEach") is None else _ITEM
    when = step.get("when")
    if isinstance(when, str):
        yield Site(("when",), when, "condition", _RUN)
    yield from _task_sites(step, (), names)
    if not _RARE.isdisjoint(step):
        yield from _rare_sites(step, names)


def _rare_sites(step: Fields, names: frozenset[str]) -> Iterator[Site]:
    yield from value_sites(step.get("fleet"), ("fleet",), names)
    yield from value_sites(step.get("forEach"), ("forEach",), _RUN)
    yield from _wait_sites(step.get("wait"), names)
    yield from _approval_sites(step.get("approval"), names)
    undo = step.get(COMPENSATE)
    if isinstance(undo, dict):
        yield from _task_sites(undo, (COMPENSATE,), names)


def _task_sites(task: Fields, path: Path, names: frozenset[str]) -> Iterator[Site]:
    """Yield the templates in what a task is handed, and in its prompts."""
    given, llm = task.get("with"), task.get("llm")
    if given:
        yield from value_sites(given, (*path, "with"), names)
    if not isinstance(llm, dict):
        return
    seen = names.union(map(str, given)) if isinstance(given, dict) else names
    for name in PROMPTS:
        text = llm.get(name)
        if isinstance(text, str):
            yield Site((*path, "llm", name), text, "prompt", seen)


def _wait_sites(wait: object, names: frozenset[str]) -> Iterator[Site]:
    match = wait.get("match") if isinstance(wait, dict) else None
    if isinstance(match, str):
        yield Site(("wait", "match"), match, "condition", _EVENT)
    until = wait.get("until") if isinstance(wait, dict) else None
    yield from value_sites(until, ("wait", "until"), names)


def _approval_sites(approval: object, names: frozenset[str]) -> Iterator[Site]:
    if isinstance(approval, dict):
        yield from value_sites(approval.get("message"), ("approval", "message"), names)
    else:
        yield from value_sites(approval, ("approval",), names)


def result_sites(workflow: Fields) -> Iterator[Site]:
    """Yield the templates of a workflow's outputs."""
    yield from value_sites(workflow.get("outputs"), ("outputs",), _RUN)


def key_sites(workflow: Fields) -> Iterator[Site]:
    """Yield the templates that are filled before a run begins."""
    for field in ("concurrency", "rate"):
        held = workflow.get(field)
        if isinstance(held, dict):
            yield from value_sites(held.get("key"), (field, "key"), frozenset())


def value_sites(value: object, path: Path, names: frozenset[str] = _RUN) -> Iterator[Site]:
    """Yield the templates in a JSON-like value."""
    left: list[tuple[Path, object]] = [(path, value)]
    while left:
        where, item = left.pop()
        if isinstance(item, str):
            if "{" in item:
                yield Site(where, item, "text", names)
        elif isinstance(item, dict):
            left += [((*where, name), held) for name, held in item.items() if _may_hold(held)]
        elif isinstance(item, list):
            left += [((*where, index), held) for index, held in enumerate(item) if _may_hold(held)]


def _may_hold(value: object) -> bool:
    return "{" in value if isinstance(value, str) else isinstance(value, dict | list)
