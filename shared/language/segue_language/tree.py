"""Which paths does a parsed expression use, and does it use nothing that is forbidden?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from jinja2 import nodes

from segue_language.paths import Reference, reference
from segue_language.problems import closest, shown
from segue_language.sandbox import AS_FILTERS, EACH, METHODS, SANDBOX

LOOKUP: Final = "_path"
KNOWN: Final = "_known"
PLACEHOLDER: Final = "_placeholder"
MAX_NODES: Final = 5_000
MAX_NESTING: Final = 40
_GENERATED: Final = frozenset({LOOKUP, KNOWN, PLACEHOLDER})
_LOOP_NAME: Final = "loop"

_STRUCTURE = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Keyword, nodes.Pair)
_VALUES = (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Slice, nodes.CondExpr)
_OPERATORS = (nodes.BinExpr, nodes.UnaryExpr, nodes.Compare, nodes.Operand)
_ALLOWED = (*_STRUCTURE, *_VALUES, *_OPERATORS)


class TreeError(ValueError):
    """The expression uses what is not available."""


@dataclass(slots=True)
class Inspection:
    """A tree whose paths have become lookups, and the paths."""

    tree: nodes.Template
    references: list[Reference] = field(default_factory=list)
    placeholders: list[Reference] = field(default_factory=list)


def inspect(tree: nodes.Template) -> Inspection:
    """Check a tree and turn its paths into lookups.

    Raises:
        TreeError: It uses what is not available, or is too large.
    """
    _check_size(tree)
    inspection = Inspection(tree)
    _Walker(inspection).visit(tree, frozenset())
    return inspection


def _check_size(tree: nodes.Node) -> None:
    level: list[nodes.Node] = [tree]
    total = depth = 0
    while level:
        total, depth = total + len(level), depth + 1
        if total > MAX_NODES or depth > MAX_NESTING:
            raise TreeError("the expression is too large")
        level = [child for node in level for child in node.iter_child_nodes()]


class _Walker:
    """Replaces paths by lookups, except under names that a loop binds."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._special: dict[type[nodes.Node], Callable[..., nodes.Node]] = {
            nodes.For: self._for,
            nodes.Name: self._path,
            nodes.Getattr: self._path,
            nodes.Getitem: self._path,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
            nodes.Concat: self._concat,
            nodes.CondExpr: self._cond,
        }

    def visit(self, node: nodes.Node, bound: frozenset[str]) -> nodes.Node:
        special = self._special.get(type(node))
        if special is not None:
            return special(node, bound)
        if not isinstance(node, _ALLOWED):
            name = type(node).__name__.lower()
            raise TreeError(f"'{name}' is not available in expressions")
        return self._children(node, bound)

    def _children(self, node: nodes.Node, bound: frozenset[str]) -> nodes.Node:
        for name, value in [*node.iter_fields()]:
            if isinstance(value, nodes.Node):
                setattr(node, name, self.visit(value, bound))
            elif isinstance(value, list):
                setattr(node, name, self._all(value, bound))
        return node

    def _all(self, values: Iterable[object], bound: frozenset[str]) -> list[object]:
        return [self.visit(v, bound) if isinstance(v, nodes.Node) else v for v in values]

    def _for(self, node: nodes.For, bound: frozenset[str]) -> nodes.Node:
        if node.recursive:
            raise TreeError("a recursive loop is not available in expressions")
        inner = bound | {name.name for name in _names(node.target)} | {_LOOP_NAME}
        node.iter = _filter_call(self.visit(node.iter, bound), EACH)
        node.body = self._nodes(node.body, inner)
        node.else_ = self._nodes(node.else_, bound)
        if node.test is not None:
            node.test = self.visit(node.test, inner)
        return node

    def _nodes(self, body: list[nodes.Node], bound: frozenset[str]) -> list[nodes.Node]:
        return [self.visit(node, bound) for node in body]

    def _expression(self, node: nodes.Node, bound: frozenset[str]) -> nodes.Expr:
        visited = self.visit(node, bound)
        if not isinstance(visited, nodes.Expr):
            raise TreeError("an expression was expected")
        return visited

    def _expressions(self, listed: Iterable[nodes.Expr], bound: frozenset[str]) -> list[nodes.Expr]:
        return [self._expression(node, bound) for node in listed]

    def _path(self, node: nodes.Expr, bound: frozenset[str]) -> nodes.Node:
        parts = _chain(node)
        if parts is None:
            return self._children(node, bound)
        if parts[0] in bound:
            return node
        path = Reference(".".join(parts), tuple(parts))
        self._inspection.references.append(path)
        return _lookup(parts)

    def _call(self, node: nodes.Call, bound: frozenset[str]) -> nodes.Node:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TreeError("'*' is not available in calls")
        callee = node.node
        if isinstance(callee, nodes.Name) and callee.name in _GENERATED:
            return self._generated(node, callee.name)
        node.args = self._expressions(node.args, bound)
        self._all(node.kwargs, bound)
        if isinstance(callee, nodes.Name) and callee.name == "range" and "range" not in bound:
            return node
        if not isinstance(callee, nodes.Getattr):
            raise TreeError(
                "only range() and the methods of texts, lists and mappings can be called"
            )
        return self._method(node, callee, bound)

    def _generated(self, node: nodes.Call, name: str) -> nodes.Node:
        first = node.args[0]
        if name == PLACEHOLDER and isinstance(first, nodes.Const):
            self._inspection.placeholders.append(reference(first.value))
        return node

    def _method(self, node: nodes.Call, callee: nodes.Getattr, bound: frozenset[str]) -> nodes.Node:
        owner = self._expression(callee.node, bound)
        if callee.attr == "join":
            return _filter_call(node.args[0] if node.args else owner, "join", [owner])
        if callee.attr in AS_FILTERS:
            return _filter_call(owner, callee.attr, node.args)
        looped = isinstance(owner, nodes.Name) and owner.name == _LOOP_NAME
        if callee.attr not in METHODS and not (looped and callee.attr == "cycle"):
            hint = closest(callee.attr, METHODS | AS_FILTERS)
            raise TreeError(_missing("method", callee.attr, hint))
        callee.node = owner
        return node

    def _filter(self, node: nodes.Filter, bound: frozenset[str]) -> nodes.Node:
        if node.name not in SANDBOX.filters or node.name == EACH:
            raise TreeError(_missing("filter", node.name, closest(node.name, SANDBOX.filters)))
        return self._children(node, bound)

    def _test(self, node: nodes.Test, bound: frozenset[str]) -> nodes.Node:
        if node.name not in SANDBOX.tests:
            raise TreeError(_missing("test", node.name, closest(node.name, SANDBOX.tests)))
        return self._children(node, bound)

    def _concat(self, node: nodes.Concat, bound: frozenset[str]) -> nodes.Node:
        return _filter_call(nodes.List(self._expressions(node.nodes, bound), lineno=1), "join")

    def _cond(self, node: nodes.CondExpr, bound: frozenset[str]) -> nodes.Node:
        """Note a hyphenated path once; its other reading, a subtraction, is no path of its own."""
        text = _known_text(node)
        if text is None:
            return self._children(node, bound)
        noted = len(self._inspection.references)
        if node.expr2 is not None:
            node.expr2 = self._expression(node.expr2, bound)
        del self._inspection.references[noted:]
        self._inspection.references.append(reference(text))
        return node


def _names(target: nodes.Node) -> list[nodes.Name]:
    return [target] if isinstance(target, nodes.Name) else [*target.find_all(nodes.Name)]


def _chain(node: nodes.Node) -> list[str] | None:
    """Return the parts of a path; none where it is computed."""
    parts: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            parts.append(str(node.arg.value))
        else:
            return None
        node = node.node
    return [node.name, *reversed(parts)]


def _lookup(parts: list[str]) -> nodes.Call:
    args = [nodes.Const(part, lineno=1) for part in parts]
    return nodes.Call(nodes.Name(LOOKUP, "load", lineno=1), args, [], None, None, lineno=1)


def _filter_call(
    value: nodes.Node, name: str, args: list[nodes.Expr] | None = None
) -> nodes.Filter:
    return nodes.Filter(value, name, args or [], [], None, None, lineno=1)


def _known_text(node: nodes.CondExpr) -> str | None:
    call = node.test
    if not isinstance(call, nodes.Call) or not isinstance(call.node, nodes.Name):
        return None
    first = call.args[0] if call.args else None
    known = call.node.name == KNOWN and isinstance(first, nodes.Const)
    return str(first.value) if known and isinstance(first, nodes.Const) else None


def _missing(what: str, name: str, hint: str) -> str:
    meant = f"; did you mean '{hint}'?" if hint else ""
    return f"there is no {what} {shown(name)}{meant}"
