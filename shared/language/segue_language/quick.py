"""Is it clear at first sight that the checks would find nothing?

Most definitions are faultless, and this look takes a third of the time. It says yes only where it
is sure; everything rare and everything doubtful is left to the checks.
"""

from collections.abc import Collection, Iterator
from typing import Final

from segue_language.graph import Upstream
from segue_language.models import BESIDE, KINDS, POOLS
from segue_language.outline import Fields, Outline
from segue_language.paths import target_of
from segue_language.sites import PROMPTS
from segue_language.templates import ExpressionError, Mode, template_of

_MAX_KEY: Final = 32
"""Fits into a subject whatever its characters are."""

_KINDS: Final = frozenset(KINDS)
_BESIDE: Final = frozenset(BESIDE)
_POOLS: Final = frozenset(POOLS.values())
_RARE_IN_STEP: Final = frozenset(
    {"forEach", "compensate", "outputSchema", "wait", "approval", "fleet", "workflow"}
)
_RARE_IN_WORKFLOW: Final = frozenset({"concurrency", "rate"})
_RUN: Final = frozenset({"run"})

Text = tuple[str, Mode, frozenset[str]]
"""A template, how it is read, and the names that are there for it alone."""


def is_faultless(outline: Outline, known_agents: Collection[str] | None) -> bool:
    """Tell whether a definition is surely without faults; no says nothing."""
    document, steps = outline.document, outline.steps
    if len(outline.keys) != len(steps) or not _RARE_IN_WORKFLOW.isdisjoint(document):
        return False
    upstream = Upstream(outline.dependencies)
    if not upstream.is_complete or _has_classes(document):
        return False
    return all(
        _is_simple(outline, step, known_agents) and _reads_upstream(outline, upstream, step)
        for _, step in steps
    ) and _are_known(outline, document.get("outputs"))


def _is_simple(outline: Outline, step: Fields, known_agents: Collection[str] | None) -> bool:
    """Tell whether a step has a short key, known dependencies, one kind and nothing rare."""
    key, listed = step["key"], step.get("dependsOn")
    kinds = _KINDS.intersection(step)
    if len(kinds) != 1 or not _RARE_IN_STEP.isdisjoint(step) or _has_classes(step):
        return False
    if not isinstance(key, str) or len(key) > _MAX_KEY:
        return False
    if listed and not (isinstance(listed, list) and len(listed) == len(outline.dependencies[key])):
        return False
    (kind,) = kinds
    if kind == "agent":
        agent = step["agent"]
        return isinstance(agent, str) and (known_agents is None or agent in known_agents)
    return step[kind] is not None and _BESIDE.isdisjoint(step) and step.get("pool") not in _POOLS


def _has_classes(fields: Fields) -> bool:
    retry = fields.get("retry")
    return isinstance(retry, dict) and "classes" in retry


def _reads_upstream(outline: Outline, upstream: Upstream, step: Fields) -> bool:
    """Tell whether a step's templates read inputs and what runs before it."""
    key = str(step["key"])
    for source, mode, names in _texts(step):
        found = _steps_read(outline, source, mode, names)
        if found is None:
            return False
        if any(used == key or not upstream.includes(used, of=key) for used in found):
            return False
    return True


def _are_known(outline: Outline, results: object) -> bool:
    """Tell whether results read what there is."""
    return all(
        _steps_read(outline, source, "text", _RUN) is not None for source in _filled(results)
    )


def _texts(step: Fields) -> Iterator[Text]:
    when, given, llm = step.get("when"), step.get("with"), step.get("llm")
    if isinstance(when, str):
        yield when, "condition", _RUN
    if given:
        yield from ((text, "text", _RUN) for text in _filled(given))
    if isinstance(llm, dict):
        names = _RUN.union(given) if isinstance(given, dict) else _RUN
        for prompt in PROMPTS:
            text = llm.get(prompt)
            if isinstance(text, str):
                yield text, "prompt", names


def _filled(value: object) -> list[str]:
    """Return the texts in a JSON-like value that may be templates."""
    found: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if "{" in item:
                found.append(item)
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, list):
            left += item
    return found


def _steps_read(
    outline: Outline, source: str, mode: Mode, names: frozenset[str]
) -> list[str] | None:
    """Return the steps that a template reads; none where it reads what may not be there."""
    try:
        template = template_of(source, mode)
    except ExpressionError:
        return None
    found: list[str] = []
    for path in template.references + template.placeholders:
        target = target_of(path.parts, steps=outline.keys, inputs=outline.inputs, values=names)
        if target is None:
            return None
        if target.kind in ("step", "state"):
            found.append(target.name)
        elif target.kind == "steps":
            return None
    return found
