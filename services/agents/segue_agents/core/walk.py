"""Walking code: inside which loops and which function does each node stand?"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from segue_agents.core.python_source import dotted

Kind = Literal["list", "str", "other"]
"""What a name holds, as far as its assignments tell."""

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Loop = ast.For | ast.AsyncFor | ast.While | Comprehension
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

LONG_LITERAL = 5
"""Elements from which a list written out counts as long."""

_LIST_CALLS = {"list", "sorted"}
_LIST_METHODS = {"split", "rsplit", "splitlines", "readlines"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node stands."""

    function: Function | None = None
    loops: tuple[Loop, ...] = ()
    """The loops around it within its function, outermost first."""
    names: Mapping[str, Kind] = field(default_factory=dict)
    """What the names bound in its function hold."""

    def inside(self, loop: Loop) -> "Place":
        """Return the place within one more loop."""
        return Place(function=self.function, loops=(*self.loops, loop), names=self.names)


def placed(tree: ast.Module) -> Iterator[tuple[ast.AST, Place]]:
    """Yield every node with its place, in the order of the file."""
    waiting: list[tuple[ast.AST, Place]] = [(tree, Place(names=_kinds(tree.body)))]
    while waiting:
        node, place = waiting.pop()
        yield node, place
        waiting.extend(reversed(list(_children(node, place))))


def import_names(tree: ast.AST) -> dict[str, str]:
    """Map each imported name to the full name of what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def binds(loop: Loop, name: str) -> bool:
    """Tell whether a name is assigned anew inside a loop; `+=` does not count."""
    grown = {node.target for node in ast.walk(loop) if isinstance(node, ast.AugAssign)}
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Store)
        and node not in grown
        for node in ast.walk(loop)
    )


def _children(node: ast.AST, place: Place) -> Iterator[tuple[ast.AST, Place]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _in_function(node, place)
        case ast.Lambda():
            yield node.args, place
            yield node.body, Place(function=node)
        case ast.ClassDef():
            yield from _each(ast.iter_child_nodes(node), Place(names=_kinds(node.body)))
        case ast.For() | ast.AsyncFor():
            yield node.iter, place
            yield from _each([node.target, *node.body], place.inside(node))
            yield from _each(node.orelse, place)
        case ast.While():
            yield from _each([node.test, *node.body], place.inside(node))
            yield from _each(node.orelse, place)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _in_comprehension(node, place)
        case _:
            yield from _each(ast.iter_child_nodes(node), place)


def _in_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, place: Place
) -> Iterator[tuple[ast.AST, Place]]:
    yield from _each([*node.decorator_list, *node.args.defaults], place)
    kinds = {**_parameters(node.args), **_kinds(node.body)}
    yield from _each(node.body, Place(function=node, names=kinds))


def _in_comprehension(node: Comprehension, place: Place) -> Iterator[tuple[ast.AST, Place]]:
    inner = place.inside(node)
    first = node.generators[0]
    yield first.iter, place
    yield from _each([first.target, *first.ifs], inner)
    yield from _each(node.generators[1:], inner)
    results = [item for item in ast.iter_child_nodes(node) if item not in node.generators]
    yield from _each(results, inner)


def _each(nodes: Iterable[ast.AST], place: Place) -> Iterator[tuple[ast.AST, Place]]:
    return ((node, place) for node in nodes)


def _kinds(body: Iterable[ast.AST]) -> dict[str, Kind]:
    """Tell for each name bound in a scope what it always holds."""
    kinds: dict[str, Kind] = {}
    for name, kind in _bindings(body):
        kinds[name] = kind if kinds.get(name, kind) == kind else "other"
    return kinds


def _bindings(body: Iterable[ast.AST]) -> Iterator[tuple[str, Kind]]:
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, _kind(value)
                waiting.append(value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                yield name, _annotated(annotation)
            case ast.AugAssign(target=ast.Name()):
                waiting.append(node.value)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, "other"
            case _:
                waiting.extend(ast.iter_child_nodes(node))


def _parameters(arguments: ast.arguments) -> dict[str, Kind]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {item.arg: _annotated(item.annotation) for item in every if item.annotation}


def _kind(value: ast.expr) -> Kind:
    match value:
        case ast.List(elts=elements):
            return "other" if 0 < len(elements) < LONG_LITERAL else "list"
        case ast.ListComp():
            return "list"
        case ast.JoinedStr() | ast.Constant(value=str()):
            return "str"
        case ast.Call(func=ast.Name(id=name)):
            return "list" if name in _LIST_CALLS else "str" if name == "str" else "other"
        case ast.Call(func=ast.Attribute(attr=name)):
            return "list" if name in _LIST_METHODS else "other"
        case ast.BinOp(left=left, op=ast.Add()):
            return _kind(left)
        case _:
            return "other"


def _annotated(annotation: ast.expr) -> Kind:
    name = dotted(annotation.value if isinstance(annotation, ast.Subscript) else annotation)
    match name:
        case "list" | "List" | "typing.List":
            return "list"
        case "str":
            return "str"
        case _:
            return "other"
