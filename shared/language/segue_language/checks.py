"""Does a definition make sense as a whole?

The checks read the canonical raw form, so that one wrong field hides nothing else.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from segue_language.expressions import References, references
from segue_language.graph import Upstream, cycle_text, cycles
from segue_language.models import BESIDE, KINDS, POOLS, TYPES, as_input, has_type
from segue_language.paths import Reference
from segue_language.problems import Finding, Path, shown
from segue_language.sites import Site, local_names, step_sites, value_sites
from segue_language.templates import ExpressionError

_MAX_ESCAPED: Final = 400
_ESCAPED_BYTE: Final = 3

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Outline:
    """What of a definition is well-formed enough to be checked."""

    document: Fields
    steps: tuple[tuple[int, Fields], ...]
    keys: Mapping[str, int]
    """The first step that has a key."""
    inputs: Fields
    dependencies: Mapping[str, tuple[str, ...]]
    """Known ones only, without a step's own key."""

    @classmethod
    def of(cls, document: Fields) -> Self:
        """Pick out what has the right form."""
        listed = document.get("steps")
        numbered = enumerate(listed if isinstance(listed, list) else [])
        steps = tuple((index, step) for index, step in numbered if isinstance(step, dict))
        keys: dict[str, int] = {}
        for index, step in steps:
            key = step.get("key")
            if isinstance(key, str):
                keys.setdefault(key, index)
        inputs = document.get("inputs")
        dependencies: dict[str, tuple[str, ...]] = {}
        for _, step in steps:
            key = step.get("key")
            if isinstance(key, str):
                known = tuple(k for _, k in _dependencies(step) if k in keys and k != key)
                dependencies.setdefault(key, known)
        return cls(document, steps, keys, inputs if isinstance(inputs, dict) else {}, dependencies)


def _dependencies(step: Fields) -> Iterator[tuple[int, str]]:
    listed = step.get("dependsOn")
    for index, key in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(key, str):
            yield index, key


def check(
    outline: Outline,
    *,
    known_agents: Collection[str] | None = None,
    given: Fields | None = None,
    typed: Collection[int] = (),
) -> Iterator[Finding]:
    """Yield everything that does not fit together.

    Args:
        outline: The definition.
        known_agents: The agents there are, if known.
        given: The inputs of a run, if there is one.
        typed: Steps whose kind has been found wrong already.
    """
    upstream = Upstream(outline.dependencies)
    for index, step in outline.steps:
        yield from _check_key(outline, index, step)
        yield from _check_dependencies(outline, index, step)
        if index not in typed:
            yield from _check_kind(index, step)
        yield from _check_agent(index, step, known_agents)
        yield from _check_templates(outline, upstream, index, step)
    if not upstream.is_complete:
        yield from _check_cycles(outline)
    yield from _check_results(outline)
    if given is not None:
        yield from _check_given(outline, given)


def _check_key(outline: Outline, index: int, step: Fields) -> Iterator[Finding]:
    key = step.get("key")
    if not isinstance(key, str):
        return
    path: Path = ("steps", index, "key")
    if outline.keys[key] != index:
        message = f"another step has the key {shown(key)} already"
        yield Finding(path=path, code="duplicate_step", message=message)
    if _escaped_length(key) > _MAX_ESCAPED:
        message = "'key' is too long for a subject; use fewer special characters"
        yield Finding(path=path, code="wrong_value", message=message)


def _escaped_length(key: str) -> int:
    """Return the length of a key in a subject, where special characters are written as bytes."""
    return sum(
        1
        if character.isascii() and character.isalnum()
        else _ESCAPED_BYTE * len(character.encode())
        for character in key
    )


def _check_dependencies(outline: Outline, index: int, step: Fields) -> Iterator[Finding]:
    for position, key in _dependencies(step):
        path: Path = ("steps", index, "dependsOn", position)
        if key == step.get("key"):
            message = f"step {shown(key)} depends on itself"
            yield Finding(path=path, code="self_dependency", message=message)
        elif key not in outline.keys:
            yield Finding(
                path=path,
                code="unknown_step",
                message=f"unknown step {shown(key)}",
                wrong=key,
                candidates=outline.keys,
            )


def _check_cycles(outline: Outline) -> Iterator[Finding]:
    for cycle in cycles(outline.dependencies):
        index = outline.keys[cycle[0]]
        step = next(step for number, step in outline.steps if number == index)
        position = next(position for position, key in _dependencies(step) if key == cycle[1])
        yield Finding(
            path=("steps", index, "dependsOn", position),
            code="cycle",
            message=f"the steps depend on each other: {cycle_text(cycle)}",
        )


def _check_kind(index: int, step: Fields) -> Iterator[Finding]:
    kinds = [kind for kind in KINDS if step.get(kind) is not None]
    if not kinds:
        message = f"the step does not say what it does; give it one of {', '.join(KINDS)}"
        yield Finding(path=("steps", index), code="no_kind", message=message)
        return
    for kind in kinds[1:]:
        message = f"'{kind}' beside '{kinds[0]}': a step has exactly one kind"
        path: Path = ("steps", index, kind)
        yield Finding(path=path, code="several_kinds", message=message, at_key=True)
    for field, allowed in BESIDE.items():
        if step.get(field) is not None and not allowed & {*kinds}:
            goes = " or ".join(f"'{kind}'" for kind in sorted(allowed))
            message = f"'{field}' goes with {goes}, not with '{kinds[0]}'"
            path = ("steps", index, field)
            yield Finding(path=path, code="misplaced_field", message=message, at_key=True)
    if step.get("pool") in POOLS.values():
        message = f"the pool {shown(str(step['pool']))} is built in; choose another name"
        yield Finding(path=("steps", index, "pool"), code="reserved_pool", message=message)


def _check_agent(index: int, step: Fields, known: Collection[str] | None) -> Iterator[Finding]:
    agent = step.get("agent")
    if known is not None and isinstance(agent, str) and agent not in known:
        yield Finding(
            path=("steps", index, "agent"),
            code="unknown_agent",
            message=f"unknown agent {shown(agent)}",
            wrong=agent,
            candidates=known,
        )


def _check_templates(
    outline: Outline, upstream: Upstream, index: int, step: Fields
) -> Iterator[Finding]:
    key = step.get("key")
    for site in step_sites(step):
        path = ("steps", index, *site.path)
        values = local_names(step, site.mode)
        found = _references(outline, site, path, values)
        if isinstance(found, Finding):
            yield found
            continue
        yield from _unknown(outline, found, path, values)
        if isinstance(key, str):
            yield from _check_upstream(upstream, found, key, path)


def _check_upstream(
    upstream: Upstream, found: References, key: str, path: Path
) -> Iterator[Finding]:
    own = "compensate" in path
    for used in sorted(found.steps):
        if used == key and not own:
            message = f"step {shown(key)} uses its own output"
            yield Finding(path=path, code="own_output", message=message)
        elif used != key and not upstream.includes(used, of=key):
            message = f"{shown(used)} may not have run before {shown(key)}; add it to 'dependsOn'"
            yield Finding(path=path, code="not_upstream", message=message)


def _references(
    outline: Outline, site: Site, path: Path, values: Collection[str] = ()
) -> References | Finding:
    try:
        return references(
            site.source,
            steps=outline.keys,
            inputs=outline.inputs,
            values=values,
            mode=site.mode,
        )
    except ExpressionError as error:
        return Finding(path=path, code="wrong_expression", message=str(error))


def _unknown(
    outline: Outline, found: References, path: Path, values: Collection[str] = ()
) -> Iterator[Finding]:
    for used in found.unknown:
        message, wrong, candidates = _explained(outline, used, values)
        yield Finding(
            path=path,
            code="unknown_reference",
            message=message,
            wrong=wrong,
            candidates=candidates,
        )


def _explained(
    outline: Outline, used: Reference, values: Collection[str]
) -> tuple[str, str, Collection[str]]:
    head, name = used.parts[0], used.parts[1] if len(used.parts) > 1 else ""
    path = shown(used.text)
    if head == "steps" and name in outline.keys:
        return f"{path}: a step has its 'output' only, as in steps.{name}.output", "", ()
    if head == "steps" and not name:
        return f"{path}: name the step, as in steps.<key>.output", "", ()
    if head == "steps":
        return f"{path}: unknown step {shown(name)}", name, outline.keys
    if head == "inputs":
        return f"{path}: unknown input {shown(name)}", name, outline.inputs
    names = [*outline.keys, *outline.inputs, *values]
    return f"{path}: {shown(head)} is neither a step nor an input", head, names


def _check_results(outline: Outline) -> Iterator[Finding]:
    """Check the templates of the workflow itself: results see all, its key only inputs."""
    for site in value_sites(outline.document.get("outputs"), ("outputs",)):
        found = _references(outline, site, site.path)
        if isinstance(found, Finding):
            yield found
        else:
            yield from _unknown(outline, found, site.path)
    for site in value_sites(outline.document.get("concurrency"), ("concurrency",)):
        found = _references(outline, site, site.path)
        if isinstance(found, Finding):
            yield found
            continue
        yield from _unknown(outline, found, site.path)
        if found.steps:
            message = "a concurrency key can use inputs only: no step has run yet"
            yield Finding(path=site.path, code="not_upstream", message=message)


def _check_given(outline: Outline, given: Fields) -> Iterator[Finding]:
    for name, declared in outline.inputs.items():
        path: Path = ("inputs", name)
        spec = as_input(declared)
        if not isinstance(spec, dict):
            continue
        if name in given:
            yield from _check_type(spec, given[name], path)
        elif spec.get("required") is True and spec.get("default") is None:
            message = f"the run needs a value for the input {shown(name)}"
            yield Finding(path=path, code="missing_input", message=message)
    for name in given:
        if name not in outline.inputs:
            yield Finding(
                path=("inputs",),
                code="unknown_input",
                message=f"the workflow declares no input {shown(str(name))}",
                wrong=str(name),
                candidates=outline.inputs,
            )


def _check_type(spec: Fields, value: object, path: Path) -> Iterator[Finding]:
    expected = spec.get("type")
    if isinstance(expected, str) and expected in TYPES and not has_type(value, expected):
        message = f"the run's value for {shown(str(path[-1]))} must be of type {expected}"
        yield Finding(path=path, code="wrong_input", message=message)
