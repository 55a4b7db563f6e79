"""Does a definition make sense as a whole?

The checks read the canonical raw form, so that one wrong field hides nothing else.
"""

from collections.abc import Collection, Iterator
from typing import Final

from segue_language.fields import workflow_reference
from segue_language.graph import Upstream, cycle_text, cycles
from segue_language.hold_checks import check_escalations, check_retry, check_schemas
from segue_language.models import BESIDE, COMPENSATIONS, KINDS, POOLS, TYPES, as_input, has_type
from segue_language.outline import Fields, Outline, dependencies_of
from segue_language.problems import Finding, Path, shown
from segue_language.template_checks import check_results, check_templates

_MAX_ESCAPED: Final = 400
_ESCAPED_BYTE: Final = 3
_NO_UNDOING: Final = "'compensate' does not say what undoes the step"


def check(
    outline: Outline,
    *,
    known_agents: Collection[str] | None = None,
    known_workflows: Collection[str] | None = None,
    typed: Collection[int] = (),
) -> Iterator[Finding]:
    """Yield everything that does not fit together.

    Args:
        outline: The definition.
        known_agents: The agents there are, if known.
        known_workflows: The workflows there are, if known; see `parse`.
        typed: Steps whose kind has been found wrong already.
    """
    upstream = Upstream(outline.dependencies)
    for index, step in outline.steps:
        yield from _check_key(outline, index, step)
        yield from _check_dependencies(outline, index, step)
        if index not in typed:
            yield from _check_kind(("steps", index), step, KINDS)
        yield from check_schemas(index, step)
        yield from check_templates(outline, upstream, index, step)
    if not upstream.is_complete:
        yield from _check_cycles(outline)
    for task, at in _tasks(outline):
        yield from check_retry(task.get("retry"), (*at, "retry"))
        yield from _check_agent(task, at, known_agents)
        yield from _check_workflow(outline, task, at, known_workflows)
    yield from check_escalations(outline, upstream)
    yield from check_results(outline)


def _tasks(outline: Outline) -> Iterator[tuple[Fields, Path]]:
    """Yield the workflow's own retry, each step, and what undoes it."""
    yield {"retry": outline.document.get("retry")}, ()
    for index, step in outline.steps:
        yield step, ("steps", index)
        undo = step.get("compensate")
        if isinstance(undo, dict):
            yield undo, ("steps", index, "compensate")


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
    for position, key in dependencies_of(step):
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
        needed = dependencies_of(outline.step(cycle[0]))
        position = next(position for position, key in needed if key == cycle[1])
        yield Finding(
            path=("steps", index, "dependsOn", position),
            code="cycle",
            message=f"the steps depend on each other: {cycle_text(cycle)}",
        )


def _check_kind(path: Path, task: Fields, all_kinds: tuple[str, ...]) -> Iterator[Finding]:
    kinds = [kind for kind in all_kinds if task.get(kind) is not None]
    if not kinds:
        what = "the step does not say what it does" if all_kinds is KINDS else _NO_UNDOING
        message = f"{what}; give it one of {', '.join(all_kinds)}"
        yield Finding(path=path, code="no_kind", message=message)
    for kind in kinds[1:]:
        message = f"'{kind}' beside '{kinds[0]}': a step has exactly one kind"
        yield Finding(path=(*path, kind), code="several_kinds", message=message, at_key=True)
    for field, allowed in BESIDE.items() if kinds else ():
        if task.get(field) is not None and not allowed & {*kinds}:
            goes = " or ".join(f"'{kind}'" for kind in all_kinds if kind in allowed)
            message = f"'{field}' goes with {goes}, not with '{kinds[0]}'"
            yield Finding(path=(*path, field), code="misplaced_field", message=message, at_key=True)
    if task.get("pool") in POOLS.values():
        message = f"the pool {shown(str(task['pool']))} is built in; choose another name"
        yield Finding(path=(*path, "pool"), code="reserved_pool", message=message)
    undo = task.get("compensate")
    if isinstance(undo, dict):
        yield from _check_kind((*path, "compensate"), undo, COMPENSATIONS)


def _check_agent(task: Fields, path: Path, known: Collection[str] | None) -> Iterator[Finding]:
    agent = task.get("agent")
    if known is not None and isinstance(agent, str) and agent not in known:
        yield Finding(
            path=(*path, "agent"),
            code="unknown_agent",
            message=f"unknown agent {shown(agent)}",
            wrong=agent,
            candidates=known,
        )


def _check_workflow(
    outline: Outline, task: Fields, path: Path, known: Collection[str] | None
) -> Iterator[Finding]:
    """A workflow may start itself: a run's depth is bounded."""
    text = task.get("workflow")
    if known is None or not isinstance(text, str):
        return
    try:
        name, selector = workflow_reference(text)
    except ValueError:
        return
    own = outline.document.get("name")
    listed = selector and any(other.startswith(f"{name}@") for other in known)
    if listed and text not in known and text != f"{own}@{outline.document.get('version')}":
        wrong = text
    elif not listed and name not in known and name != own:
        wrong = name
    else:
        return
    yield Finding(
        path=(*path, "workflow"),
        code="unknown_workflow",
        message=f"unknown workflow {shown(wrong)}",
        wrong=wrong,
        candidates=known,
    )


def check_given(declared_inputs: Fields, given: Fields) -> Iterator[Finding]:
    """Yield what is wrong with the inputs of a run."""
    for name, declared in declared_inputs.items():
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
        if name not in declared_inputs:
            yield Finding(
                path=("inputs",),
                code="unknown_input",
                message=f"the workflow declares no input {shown(str(name))}",
                wrong=str(name),
                candidates=declared_inputs,
            )


def _check_type(spec: Fields, value: object, path: Path) -> Iterator[Finding]:
    expected = spec.get("type")
    if isinstance(expected, str) and expected in TYPES and not has_type(value, expected):
        message = f"the run's value for {shown(str(path[-1]))} must be of type {expected}"
        yield Finding(path=path, code="wrong_input", message=message)
