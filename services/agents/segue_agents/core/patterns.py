"""Slow patterns: which code does needless work as its input grows?"""

import ast
from collections.abc import Callable, Iterator, Mapping

from segue_agents.core.findings import Finding, Severity
from segue_agents.core.python_source import dotted
from segue_agents.core.walk import (
    LONG_LITERAL,
    Place,
    binds,
    import_names,
    placed,
)

TOOL = "find_slow_patterns"

Detector = Callable[[ast.AST, Place, Mapping[str, str]], tuple[str, str] | None]
"""Looks at one node and returns the rule it breaks and a sentence, or nothing."""

_SEVERITIES: Mapping[str, Severity] = {
    "blocking-call-in-async": "high",
    "front-of-list-in-loop": "medium",
    "list-concatenation-in-loop": "medium",
    "membership-in-loop": "medium",
    "query-in-loop": "medium",
    "string-concatenation-in-loop": "low",
    "compile-in-loop": "low",
    "nested-loop-same-iterable": "low",
    "append-in-deep-loops": "low",
}

_BLOCKING = frozenset(
    {
        "time.sleep",
        "os.system",
        "subprocess.run",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "urllib.request.urlopen",
        *(
            f"{library}.{verb}"
            for library in ("requests", "httpx")
            for verb in ("get", "post", "put", "patch", "delete", "head", "options", "request")
        ),
    }
)
"""Calls that hold up the thread until something outside answers."""

_QUERIES = frozenset({"execute", "fetchone", "fetchval", "fetchrow"})
_DATABASES = frozenset({"cursor", "cur", "conn", "connection", "db", "database", "session"})
_DEEP = 3


def find_patterns(file: str, tree: ast.Module) -> list[Finding]:
    """Look at every node of a file; each pattern only where the code itself shows it."""
    names = import_names(tree)
    return [
        Finding(
            tool=TOOL,
            rule=rule,
            severity=_SEVERITIES[rule],
            message=message,
            file=file,
            line=line,
            symbol=_function_name(place),
        )
        for line, place, (rule, message) in _seen(tree, names)
    ]


def _seen(
    tree: ast.Module, names: Mapping[str, str]
) -> Iterator[tuple[int, Place, tuple[str, str]]]:
    for node, place in placed(tree):
        for detector in _DETECTORS:
            if seen := detector(node, place, names):
                yield getattr(node, "lineno", 1), place, seen


def _function_name(place: Place) -> str | None:
    function = place.function
    return None if function is None or isinstance(function, ast.Lambda) else function.name


def _blocking(node: ast.AST, place: Place, names: Mapping[str, str]) -> tuple[str, str] | None:
    if not isinstance(node, ast.Call) or not isinstance(place.function, ast.AsyncFunctionDef):
        return None
    name = _full_name(node.func, names)
    if name not in _BLOCKING:
        return None
    return (
        "blocking-call-in-async",
        f"{name} stops the event loop inside an async function; await an async form of it",
    )


def _membership(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    if not place.loops:
        return None
    match node:
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.List(elts=elements)]):
            if len(elements) < LONG_LITERAL:
                return None
            return (
                "membership-in-loop",
                f"searches {len(elements)} elements on each turn; use a set",
            )
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name(id=name)]):
            if not _is_steady(place, name, "list"):
                return None
            return "membership-in-loop", f"searches the list {name} on each turn; use a set"
        case _:
            return None


def _string_growth(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Add()) if _is_steady(
            place, name, "str"
        ):
            return (
                "string-concatenation-in-loop",
                f"{name} may be copied on each turn; collect the parts and join them once",
            )
        case _:
            return None


def _list_growth(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.BinOp(
                left=ast.Name(id=left), op=ast.Add(), right=ast.List() | ast.ListComp()
            ),
        ) if place.loops and name == left:
            return (
                "list-concatenation-in-loop",
                f"{name} is copied on each turn; append or extend instead",
            )
        case _:
            return None


def _front(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="pop" | "insert" as method),
            args=[ast.Constant(value=0), *_],
        ) if _is_steady(place, name, "list"):
            return (
                "front-of-list-in-loop",
                f"{name}.{method}(0) moves every element on each turn; use collections.deque",
            )
        case _:
            return None


def _compile(node: ast.AST, place: Place, names: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.Call(func=function, args=[ast.Constant(), *_]) if (
            place.loops and _full_name(function, names) == "re.compile"
        ):
            return "compile-in-loop", "compiles the same pattern on each turn; compile it once"
        case _:
            return None


def _query(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr=method)) if (
            place.loops and method in _QUERIES
        ):
            if dotted(receiver).rpartition(".")[2] not in _DATABASES:
                return None
            return "query-in-loop", "asks the database on each turn; ask once for all of them"
        case _:
            return None


def _same_iterable(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    if not isinstance(node, ast.For):
        return None
    name = _iterated(node)
    outer = [loop for loop in place.loops if isinstance(loop, ast.For)]
    if not name or all(_iterated(loop) != name for loop in outer):
        return None
    if any(binds(loop, name.partition(".")[0]) for loop in outer):
        return None
    return (
        "nested-loop-same-iterable",
        f"goes over {name} again for each of its elements; a dict or sorting may do it in one pass",
    )


def _deep_append(node: ast.AST, place: Place, _: Mapping[str, str]) -> tuple[str, str] | None:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"))) if (
            len(place.loops) >= _DEEP
        ):
            return (
                "append-in-deep-loops",
                f"appends inside {len(place.loops)} loops; the list grows by their product",
            )
        case _:
            return None


_DETECTORS: tuple[Detector, ...] = (
    _blocking,
    _membership,
    _string_growth,
    _list_growth,
    _front,
    _compile,
    _query,
    _same_iterable,
    _deep_append,
)


def _is_steady(place: Place, name: str, kind: str) -> bool:
    """Tell whether a name is known to hold that kind and outlives a turn of the loop."""
    known = bool(place.loops) and place.names.get(name) == kind
    return known and not binds(place.loops[-1], name)


def _iterated(loop: ast.For) -> str:
    match loop.iter:
        case ast.Call(func=ast.Attribute(value=receiver, attr="items" | "values" | "keys")):
            return dotted(receiver)
        case iterated:
            return dotted(iterated)


def _full_name(function: ast.expr, names: Mapping[str, str]) -> str:
    head, dot, rest = dotted(function).partition(".")
    return f"{names.get(head, head)}{dot}{rest}" if head else ""
