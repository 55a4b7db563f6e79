"""Shapes of functions: how long is each one, and how deep does it nest?"""

import ast
from collections.abc import Iterator

from msgspec import Struct

Function = ast.FunctionDef | ast.AsyncFunctionDef


class FunctionShape(Struct, frozen=True, kw_only=True):
    """A function or method as it stands in its file."""

    symbol: str
    """Its name with its classes and enclosing functions."""
    line: int
    """Where its `def` stands."""
    lines: int
    """From its `def` to its last line."""
    loops: int
    """How deep its loops nest, comprehensions included."""
    nesting: int
    """How deep its blocks nest, loops included."""


def functions(tree: ast.AST) -> Iterator[tuple[str, Function]]:
    """Yield every function with its qualified name, in the order of the file."""
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            if not isinstance(node, ast.ClassDef):
                yield name, node
            prefix = f"{name}."
        waiting.extend((prefix, child) for child in reversed(list(ast.iter_child_nodes(node))))


def function_shapes(tree: ast.AST) -> list[FunctionShape]:
    """Measure every function of a file."""
    return [_shape(symbol, node) for symbol, node in functions(tree)]


def _shape(symbol: str, function: Function) -> FunctionShape:
    loops, nesting = _depths(function)
    return FunctionShape(
        symbol=symbol,
        line=function.lineno,
        lines=(function.end_lineno or function.lineno) - function.lineno + 1,
        loops=loops,
        nesting=nesting,
    )


def _depths(function: Function) -> tuple[int, int]:
    most_loops = deepest = 0
    waiting: list[tuple[ast.AST, int, int]] = [(node, 0, 0) for node in function.body]
    while waiting:
        node, loops, depth = waiting.pop()
        most_loops, deepest = max(most_loops, loops), max(deepest, depth)
        waiting.extend(
            (child, loops + more, depth + deeper) for child, more, deeper in _inner(node)
        )
    return most_loops, deepest


def _inner(node: ast.AST) -> Iterator[tuple[ast.AST, int, int]]:
    """Yield a node's children with the loops and the blocks that it puts around them."""
    children = ast.iter_child_nodes(node)
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
            return
        case ast.For(iter=once) | ast.AsyncFor(iter=once):
            yield from ((child, *_both(child is not once)) for child in children)
        case ast.While():
            yield from ((child, 1, 1) for child in children)
        case ast.If(orelse=[ast.If() as otherwise]):
            yield from ((child, 0, int(child is not otherwise)) for child in children)
        case ast.If() | ast.Try() | ast.TryStar() | ast.With() | ast.AsyncWith() | ast.Match():
            yield from ((child, 0, 1) for child in children)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehended(node)
        case _:
            yield from ((child, 0, 0) for child in children)


def _comprehended(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
) -> Iterator[tuple[ast.AST, int, int]]:
    for depth, generator in enumerate(node.generators):
        yield generator.iter, depth, depth
        yield from ((condition, depth + 1, depth + 1) for condition in generator.ifs)
    depth = len(node.generators)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.comprehension):
            yield child, depth, depth


def _both(inside: bool) -> tuple[int, int]:  # noqa: FBT001 - one question, one answer
    return (1, 1) if inside else (0, 0)
