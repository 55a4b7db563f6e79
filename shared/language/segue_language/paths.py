"""What does a dotted path such as `parse-changes.files[0].name` stand for?"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from segue_language.problems import shown

_WORD = r"\w+(?:-\w+)*"
PATH: Final = rf"[^\W\d_]\w*(?:-\w+)*(?:\.{_WORD}|\[\d+\])*"
"""A path, as a regular expression: names with inner hyphens, dots, indices."""

CONSTANTS: Final = frozenset({"true", "false", "none", "True", "False", "None"})
STEPS: Final = "steps"
INPUTS: Final = "inputs"
OUTPUT: Final = "output"
RUN: Final = "run"
"""The run itself, where neither a step nor an input has this name."""

STATES: Final = frozenset({"status", "error"})
"""What there is to know of a step beside its output."""

STEP_PARTS: Final = "a step has its 'output', 'status' and 'error' only"
_SUFFIX: Final = "_output"
_MAX_NAMES: Final = 8
_PART = re.compile(rf"{_WORD}")
_HYPHENATED = re.compile(r"[^\W\d]\w*(?:\.\w+)*")


class UnresolvedError(LookupError):
    """A path leads to nothing; the message says where it ends."""


class Reference(NamedTuple):
    """A path as a template uses it."""

    text: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What templates can see."""

    inputs: Mapping[str, object]
    """The run's inputs by name."""
    outputs: Mapping[str, object]
    """Outputs by step key; whatever it raises but a `LookupError` passes through."""
    values: Mapping[str, object] = field(default_factory=dict)
    """What is there for this step alone: its rendered `with`, the item of a `forEach`, `run`."""
    states: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By step key: its `status`, and its `error` with `code` and `message` if it has one."""

    @property
    def steps(self) -> Collection[str]:
        """The steps of which something is known."""
        return self.outputs.keys() | self.states.keys() if self.states else self.outputs


class Target(NamedTuple):
    """What a path's head names."""

    kind: str
    """`value`, `step` (its output), `state` or `input`; `steps` and `inputs` for all of them."""
    name: str
    used: int
    """How many of the path's parts name it."""


def reference(text: str) -> Reference:
    """Take a path apart."""
    return Reference(text, tuple(_PART.findall(text)))


def alternatives(text: str) -> Iterator[Reference]:
    """Yield the paths of `a-b.c-1` read as a subtraction."""
    for match in _HYPHENATED.finditer(text.replace("-", " ")):
        yield reference(match[0])


def target_of(
    parts: tuple[str, ...],
    *,
    steps: Collection[str],
    inputs: Collection[str],
    values: Collection[str] = (),
) -> Target | None:
    """Return what a path's head names; short forms look at values, steps, then inputs."""
    head = parts[0]
    if head in values and not (head == RUN and (head in steps or head in inputs)):
        return Target("value", head, 1)
    if head in (STEPS, INPUTS):
        return _canonical(parts, steps if head == STEPS else inputs)
    if head in steps:
        return Target("step", head, 1)
    key = head.removesuffix(_SUFFIX)
    if key != head and key in steps:
        return Target("step", key, 1)
    return Target("input", head, 1) if head in inputs else None


def _canonical(parts: tuple[str, ...], names: Collection[str]) -> Target | None:
    head, name = parts[0], parts[1] if len(parts) > 1 else None
    if name is None:
        return Target(head, "", 1)
    if name not in names:
        return None
    if head == INPUTS:
        return Target("input", name, 2)
    if parts[2:3] == (OUTPUT,):
        return Target("step", name, 3)
    return Target("state", name, 2) if len(parts) > 2 and parts[2] in STATES else None  # noqa: PLR2004 - steps.<key>.<what>


def resolve(path: Reference, scope: Scope) -> object:
    """Return the value a path leads to.

    Raises:
        UnresolvedError: It leads to nothing.
    """
    target = target_of(path.parts, steps=scope.steps, inputs=scope.inputs, values=scope.values)
    if target is None or target.kind == STEPS:
        raise UnresolvedError(_unknown(path, scope))
    if target.kind == INPUTS:
        return dict(scope.inputs)
    if target.kind == "state":
        return _state(target.name, path, scope)
    if target.kind == "step" and target.name not in scope.outputs:
        raise UnresolvedError(f"{shown(path.text)}: step {shown(target.name)} has no output")
    held = {"value": scope.values, "step": scope.outputs, "input": scope.inputs}[target.kind]
    value, rest = held[target.name], path.parts[target.used :]
    if target.used == 1 and rest[:1] == (OUTPUT,) and target.kind == "step":
        rest = rest if isinstance(value, Mapping) and OUTPUT in value else rest[1:]
    return _walk(value, rest, path)


def _state(key: str, path: Reference, scope: Scope) -> object:
    """Return what is known of a step; one without an error has nothing where it would stand."""
    if key not in scope.states:
        raise UnresolvedError(f"{shown(path.text)}: step {shown(key)} is not settled")
    what, *rest = path.parts[2:]
    value = scope.states[key].get(what)
    return None if value is None and what == "error" else _walk(value, tuple(rest), path)


def _walk(value: object, rest: tuple[str, ...], path: Reference) -> object:
    for part in rest:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnresolvedError(f"{shown(path.text)} has no {shown(part)}; {_holds(value)}")
    return value


def _holds(value: object) -> str:
    if isinstance(value, Mapping):
        return f"there is {_listed(value)}" if value else "the mapping there is empty"
    if isinstance(value, list | tuple):
        return f"the list there has {len(value)} items"
    return "the value there holds no others"


def _unknown(path: Reference, scope: Scope) -> str:
    head, name = path.parts[0], path.parts[1] if len(path.parts) > 1 else None
    if head == STEPS and name in scope.steps:
        return f"{shown(path.text)}: {STEP_PARTS}, as in steps.{name}.output"
    if head == STEPS:
        return f"{shown(path.text)}: there is an output of {_listed(scope.outputs)}"
    if head == INPUTS:
        return f"{shown(path.text)}: there is input {_listed(scope.inputs)}"
    return f"{shown(head)} is neither a step with an output nor an input"


def _listed(names: Mapping[str, object]) -> str:
    listed = ", ".join(shown(str(name)) for name in islice(names, _MAX_NAMES))
    more = len(names) - _MAX_NAMES
    return f"{listed or 'none'}{f' and {more} more' if more > 0 else ''}"


def is_known(path: Reference, scope: Scope) -> bool:
    """Tell whether a path begins with what the scope has."""
    names = {"inputs": scope.inputs, "values": scope.values}
    return target_of(path.parts, steps=scope.steps, **names) is not None
