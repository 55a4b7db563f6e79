"""What is the value of an expression, and which steps and inputs does it use?"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from segue_language.paths import (
    Reference,
    Scope,
    UnresolvedError,
    alternatives,
    is_known,
    resolve,
    target_of,
)
from segue_language.templates import ExpressionError, Mode, Placeholder, Template, template_of
from segue_language.values import MAX_OUTPUT, is_true, to_text

__all__ = [
    "ExpressionError",
    "References",
    "Scope",
    "references",
    "render",
    "render_prompt",
    "truthy",
]

_KINDS = ("step", "state", "input", "inputs", "value")


class References(NamedTuple):
    """What templates use."""

    steps: frozenset[str]
    """Keys of the steps they use: their outputs, status or errors."""
    inputs: frozenset[str]
    """Names of the inputs."""
    unknown: tuple[Reference, ...]
    """Paths that name neither."""
    outputs: frozenset[str] = frozenset()
    """Keys of the steps whose outputs they use."""
    all_inputs: bool = False
    """Whether they use `inputs` as a whole."""


def references(
    value: object,
    *,
    steps: Collection[str],
    inputs: Collection[str] = (),
    values: Collection[str] = (),
    mode: Mode = "text",
) -> References:
    """Return the steps and inputs that the templates in a JSON-like value use.

    Raises:
        ExpressionError: A template's syntax is wrong.
    """
    used: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    unknown: list[Reference] = []
    for source in (value,) if isinstance(value, str) else _texts(value):
        template = template_of(source, mode)
        for path in template.references:
            targets = _targets(path, steps, inputs, values)
            for kind, name in targets:
                used[kind].add(name)
            if not targets:
                unknown.append(path)
        for path in template.placeholders:
            for kind, name in _targets(path, steps, inputs, values):
                used[kind].add(name)
    outputs = frozenset(used["step"])
    return References(
        outputs | used["state"],
        frozenset(used["input"]),
        tuple(unknown),
        outputs,
        bool(used["inputs"]),
    )


def _texts(value: object) -> list[str]:
    texts: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, Mapping):
            left.extend(item.values())
        elif isinstance(item, list | tuple):
            left.extend(item)
    return texts


def _targets(
    path: Reference, steps: Collection[str], inputs: Collection[str], values: Collection[str]
) -> list[tuple[str, str]]:
    """Return what a path names; one with hyphens may be a subtraction of several."""
    target = target_of(path.parts, steps=steps, inputs=inputs, values=values)
    if target is not None:
        return [] if target.kind == "steps" else [(target.kind, target.name)]
    if "-" not in path.text:
        return []
    found = [
        target_of(other.parts, steps=steps, inputs=inputs, values=values)
        for other in alternatives(path.text)
    ]
    named = [(each.kind, each.name) for each in found if each is not None]
    return named if len(named) == len(found) else []


def render(value: object, scope: Scope) -> object:
    """Fill the templates in a JSON-like value; one whole expression keeps its type.

    Raises:
        ExpressionError: A template is wrong, or leads to nothing.
    """
    if isinstance(value, str):
        return _evaluate(template_of(value), scope)
    if isinstance(value, Mapping):
        return {name: render(item, scope) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, scope) for item in value]
    return value


def render_prompt(text: str, scope: Scope) -> str:
    """Fill a prompt, `{name}` placeholders included; one that names nothing stays as it is.

    Raises:
        ExpressionError: The template is wrong, or leads to nothing.
    """
    return _bounded(text, to_text(_evaluate(template_of(text, "prompt"), scope)))


def truthy(expression: str, scope: Scope) -> bool:
    """Tell whether a condition holds, written with or without braces.

    Raises:
        ExpressionError: It is wrong, or leads to nothing.
    """
    return is_true(_evaluate(template_of(expression, "condition"), scope))


def _evaluate(template: Template, scope: Scope) -> object:
    if template.parts is None:
        return _run(template.source, template.mode, scope)
    if template.whole:
        return _value(template.parts[0], template, scope)
    texts = [
        part if isinstance(part, str) else to_text(_value(part, template, scope))
        for part in template.parts
    ]
    return _bounded(template.source, "".join(texts))


def _bounded(source: str, text: str) -> str:
    if len(text) > MAX_OUTPUT:
        raise ExpressionError(source, "the text exceeds 1 MiB")
    return text


def _value(part: str | Reference | Placeholder, template: Template, scope: Scope) -> object:
    if isinstance(part, str):
        return part
    path = part.path if isinstance(part, Placeholder) else part
    if isinstance(part, Placeholder) and not is_known(path, scope):
        return f"{{{path.text}}}"
    try:
        return resolve(path, scope)
    except UnresolvedError as error:
        if "-" in path.text and not is_known(path, scope):
            return _difference(path, template, scope, error)
        raise ExpressionError(template.source, str(error)) from error


def _difference(
    path: Reference, template: Template, scope: Scope, missing: UnresolvedError
) -> object:
    """Read `count-1` as a subtraction, since no step or input has that name."""
    try:
        return _run(path.text, "condition", scope)
    except ExpressionError:
        raise ExpressionError(template.source, str(missing)) from missing


def _run(source: str, mode: Mode, scope: Scope) -> object:
    from segue_language.running import run  # noqa: PLC0415 - Jinja takes 0.1 s

    return run(source, mode, scope)
