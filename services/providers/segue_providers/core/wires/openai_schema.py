"""Strict schemas: which JSON Schemas can OpenAI's interface enforce?

It enforces only schemas whose objects are closed and require all they name. Closing an object takes
nothing away that the schema asks for; to require what is optional would change its meaning.
"""

from collections.abc import Mapping
from typing import Final

Schema = Mapping[str, object]

_REFUSED: Final = frozenset(
    {"allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"}
    | {"patternProperties", "propertyNames", "oneOf"}
)
_NESTED: Final = ("properties", "$defs", "definitions")


class LooseSchemaError(ValueError):
    """A schema cannot be enforced; the message says why."""


def strict(schema: Schema) -> dict[str, object]:
    """Return a schema in the form that is enforced.

    Raises:
        LooseSchemaError: It has no such form.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        raise LooseSchemaError("its root is no object")
    return _strict(schema, "its root")


def _strict(schema: Schema, where: str) -> dict[str, object]:
    if refused := sorted(_REFUSED & schema.keys()):
        raise LooseSchemaError(f"{where} uses `{refused[0]}`")
    closed = {key: _inner(key, value, where) for key, value in schema.items()}
    if not _is_object(schema):
        return closed
    _require_all(schema, where)
    return {**closed, "properties": closed.get("properties", {}), "additionalProperties": False}


def _inner(key: str, value: object, where: str) -> object:
    if key in _NESTED and isinstance(value, Mapping):
        return {name: _any(inner, f"`{name}`") for name, inner in value.items()}
    if key == "items":
        return _any(value, f"an item of {where}")
    if key == "anyOf" and isinstance(value, list):
        return [_any(inner, where) for inner in value]
    return value


def _any(value: object, where: str) -> object:
    return _strict(value, where) if isinstance(value, Mapping) else value


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _require_all(schema: Schema, where: str) -> None:
    named, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(named, Mapping) or not isinstance(required, list):
        raise LooseSchemaError(f"{where} is no JSON Schema")
    if optional := [name for name in named if name not in required]:
        raise LooseSchemaError(f"`{optional[0]}` of {where} is optional")
    if schema.get("additionalProperties"):
        raise LooseSchemaError(f"{where} allows further properties")
    if "properties" not in schema and "additionalProperties" not in schema:
        raise LooseSchemaError(f"{where} names no properties")
