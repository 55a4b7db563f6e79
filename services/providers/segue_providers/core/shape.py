"""Shapes: which smallest JSON value satisfies a schema, out of the facts that are there?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from segue_providers.core.conversation import fits
from segue_providers.core.extract import mappings

MAX_DEPTH: Final = 16
MAX_NODES: Final = 2_000
"""How many schemas are looked at, so that none makes the answer explode."""
_MAX_LENGTH: Final = 10_000
_UNJUDGED: Final = frozenset(
    {"pattern", "format", "multipleOf", "anyOf", "oneOf", "allOf", "not", "$ref"}
)
"""Keywords under which a fact is not judged, and so not taken."""

Schema = Mapping[str, object]


class Shaper:
    """Builds one value and remembers what it had to make up.

    Args:
        root: The whole schema, for references into it.
        values: JSON values in which facts are looked up by name.
        sentence: What a required text becomes when no fact has its name.
    """

    def __init__(self, root: Schema, values: Sequence[object], sentence: str) -> None:
        self._document = root
        self._values = values
        self._sentence = sentence
        self._left = MAX_NODES
        self.root = self._resolved(root, 0)
        """The root's own schema, references followed."""
        self.placeholders: list[str] = []
        """JSON pointers of what no fact was found for."""

    def build(self) -> object:
        """Return the value of the whole schema."""
        return self._value(self._document, ())

    def _value(self, schema: Schema, path: tuple[str, ...]) -> object:
        shape = self._resolved(schema, len(path))
        kind = kind_of(shape)
        if not shape and schema:
            return self._placeholder(path, None)
        if kind == "object":
            return self._object(shape, path)
        found = self._fact(path[-1] if path else "", shape)
        if found is not None:
            return found
        if kind == "array":
            return self._array(shape, path)
        if kind == "string" and self._sentence and takes_any_text(shape):
            return self._sentence
        options = _sequence(shape.get("enum"))
        return self._placeholder(path, options[0] if options else _smallest(shape, kind))

    def _placeholder(self, path: tuple[str, ...], value: object) -> object:
        self.placeholders.append("/" + "/".join(path))
        return value

    def _object(self, schema: Schema, path: tuple[str, ...]) -> dict[str, object]:
        properties = _mapping(schema.get("properties"))
        names = map(str, _sequence(schema.get("required")))
        return {name: self._value(_mapping(properties.get(name)), (*path, name)) for name in names}

    def _array(self, schema: Schema, path: tuple[str, ...]) -> list[object]:
        least = min(int(_number(schema, "minItems", 0)), MAX_NODES)
        items = _mapping(schema.get("items"))
        return [self._value(items, (*path, str(n))) for n in range(least)]

    def _fact(self, name: str, schema: Schema) -> object:
        """Return what the input says under a name, when it fits; a constant needs no fact."""
        if "const" in schema:
            return schema["const"]
        for value in self._values:
            for one in mappings(value):
                if name in one and within(one[name], schema):
                    return one[name]
        return schema.get("default")

    def _resolved(self, schema: Schema, depth: int) -> Schema:
        """Follow references and take the first of alternatives; nothing when that has no end."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._resolved(_target(self._document, reference), depth + 1)
        if parts := _sequence(schema.get("allOf")):
            return _merged(schema, [self._resolved(_mapping(one), depth + 1) for one in parts])
        for options in (_sequence(schema.get("anyOf")), _sequence(schema.get("oneOf"))):
            if options:
                return self._resolved(_mapping(options[0]), depth + 1)
        return schema


def allows_text(schema: Schema, name: str) -> bool:
    """Tell whether an object of the schema may have any text under a name."""
    properties = _mapping(schema.get("properties"))
    if name in properties:
        own = _mapping(properties[name])
        return kind_of(own) == "string" and takes_any_text(own)
    return schema.get("additionalProperties", True) is True


def kind_of(schema: Schema) -> str:
    """Return the type a value of the schema is given."""
    kinds = schema.get("type")
    if isinstance(kinds, list) and kinds:
        return str(kinds[0])
    if isinstance(kinds, str):
        return kinds
    return "object" if "properties" in schema or "required" in schema else "string"


def takes_any_text(schema: Schema) -> bool:
    """Tell whether no keyword limits which text a value may be."""
    limits = {"enum", "const", "pattern", "format", "maxLength", "minLength", "$ref"}
    return limits.isdisjoint(schema)


def within(value: object, schema: Schema) -> bool:
    """Tell whether a fact keeps a schema's type and limits; what cannot be judged does not."""
    if not fits(value, schema) or _UNJUDGED & schema.keys():
        return False
    match value:
        case str():
            return _between(len(value), schema, "minLength", "maxLength")
        case int() | float():
            return _between(value, schema, "minimum", "maximum")
        case list():
            items = _mapping(schema.get("items"))
            counted = _between(len(value), schema, "minItems", "maxItems")
            return counted and all(_is_plain(one) and within(one, items) for one in value)
        case _:
            return False


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _between(value: float, schema: Schema, least: str, most: str) -> bool:
    return _number(schema, least, -math.inf) <= value <= _number(schema, most, math.inf)


def _target(document: Schema, reference: str) -> Schema:
    current: object = document
    for token in _tokens(reference):
        current = _mapping(current).get(token)
    return _mapping(current)


def _tokens(reference: str) -> Iterator[str]:
    for token in reference.split("/")[1:]:
        yield token.replace("~1", "/").replace("~0", "~")


def _merged(schema: Schema, parts: Sequence[Schema]) -> Schema:
    """Join the parts of `allOf` with what stands beside it."""
    whole: dict[str, object] = {key: schema[key] for key in schema if key != "allOf"}
    for part in parts:
        properties = {**_mapping(whole.get("properties")), **_mapping(part.get("properties"))}
        required = [*_sequence(whole.get("required")), *_sequence(part.get("required"))]
        whole = {**part, **whole, "properties": properties, "required": required}
    return whole


def _smallest(schema: Schema, kind: str) -> object:
    match kind:
        case "string":
            return "-" * min(int(_number(schema, "minLength", 0)), _MAX_LENGTH)
        case "integer":
            return math.ceil(_least(schema))
        case "number":
            return _least(schema)
        case "boolean":
            return False
        case _:
            return None


def _least(schema: Schema) -> float:
    """Return the number nearest to 0 from above that a schema's lower limits allow."""
    above = _number(schema, "exclusiveMinimum", -math.inf) + 1
    least = max(_number(schema, "minimum", -math.inf), above)
    return min(max(least, 0), _number(schema, "maximum", math.inf))


def _number(schema: Schema, word: str, otherwise: float) -> float:
    value = schema.get(word)
    return value if isinstance(value, int | float) else otherwise


def _mapping(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
