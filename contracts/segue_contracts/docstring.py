"""Docstrings: what does the source say about a type and each of its fields?"""

import ast
import functools
import inspect
from types import ModuleType

import msgspec


def class_doc(kind: type) -> str:
    """Return the docstring of the type itself, never an inherited one, on one line a paragraph."""
    return inspect.cleandoc(kind.__dict__.get("__doc__") or "")


def field_docs(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstring of each field by its wire name; fields without one are left out.

    A field's docstring is the string literal that follows it. Python does not keep it, so that it
    is read from the source.
    """
    told = _told(kind)
    return {
        field.encode_name: told[field.name]
        for field in msgspec.structs.fields(kind)
        if field.name in told
    }


def _told(kind: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        module = inspect.getmodule(owner)
        if module is not None and issubclass(owner, msgspec.Struct):
            docs |= _fields_of(module).get(owner.__name__, {})
    return docs


@functools.cache
def _fields_of(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return the documented fields of each top-level class of a module."""
    tree = ast.parse(inspect.getsource(module))
    return {node.name: _fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(node: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = inspect.cleandoc(text)
    return docs
