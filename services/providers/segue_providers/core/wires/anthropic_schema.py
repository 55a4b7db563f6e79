"""Claude's schemas: what of a JSON Schema can be enforced?

Claude enforces closed objects and knows few keywords. What it does not know goes into the
description, where the model still reads it; an open object cannot be enforced at all.
"""

from collections.abc import Mapping
from typing import Final

Json = dict[str, object]

_KEPT: Final = frozenset({"title", "description", "default", "enum", "const", "$ref", "required"})
_MANY: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NAMED: Final = frozenset({"properties", "$defs", "definitions"})
_DROPPED: Final = frozenset({"$schema", "$id", "additionalProperties", "type"})
_FORMATS: Final = frozenset(
    {
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    }
)


class OpenSchemaError(ValueError):
    """A schema cannot be enforced; the message says where."""


def enforceable(schema: object, *, place: str = "the schema") -> Json:
    """Return a schema as Claude enforces it.

    Args:
        schema: A JSON Schema.
        place: Where it stands, for the error.

    Raises:
        OpenSchemaError: It holds an object that may have any field.
    """
    if not isinstance(schema, Mapping):
        raise OpenSchemaError(f"{place} allows anything")
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return {"anyOf": [enforceable({**schema, "type": one}, place=place) for one in kinds]}
    closed: Json = {"type": kinds} if kinds is not None else {}
    if kinds == "object" or "properties" in schema:
        closed |= _object(schema, place)
    rest: Json = {}
    for name, value in schema.items():
        if name not in _DROPPED:
            _keep(name, value, closed, rest=rest, place=place)
    if rest:
        closed["description"] = _described(closed.get("description"), rest)
    if not closed:
        raise OpenSchemaError(f"{place} allows anything")
    return closed


def _object(schema: Mapping[str, object], place: str) -> Json:
    open_ended = schema.get("additionalProperties", False)
    if open_ended is not False and not (open_ended is True and schema.get("properties")):
        raise OpenSchemaError(f"{place} allows fields that it does not name")
    if not schema.get("properties"):
        raise OpenSchemaError(f"{place} names no fields")
    return {"type": "object", "additionalProperties": False}


def _keep(name: str, value: object, closed: Json, *, rest: Json, place: str) -> None:
    """Put a keyword where it belongs: into the schema, or into what is only described."""
    if name in _KEPT:
        closed[name] = value
    elif name in _MANY and isinstance(value, list):
        many = [enforceable(one, place=f"{place}.{name}") for one in value]
        closed[_MANY[name]] = many
    elif name in _NAMED and isinstance(value, Mapping):
        closed[name] = {key: enforceable(one, place=f"{place}.{key}") for key, one in value.items()}
    elif name == "items":
        closed[name] = enforceable(value, place=f"{place}.items")
    elif (name == "format" and value in _FORMATS) or (name == "minItems" and value in {0, 1}):
        closed[name] = value
    else:
        rest[name] = value


def _described(description: object, rest: Json) -> str:
    words = ", ".join(f"{name}: {value}" for name, value in rest.items())
    return f"{description} ({words})" if description else words
