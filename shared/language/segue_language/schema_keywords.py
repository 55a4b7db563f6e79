"""Which keywords of a JSON Schema are checked otherwise than by the library?

With these, work is bounded. They are imported together with the library, on first use.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import ValidationError

from segue_language.patterns import pattern_of

Errors = Iterator[ValidationError]


def unique_items(_validator: object, wanted: object, items: object, _schema: object) -> Errors:
    """Compare in one pass; the library compares each with each."""
    listed = items if wanted is True and isinstance(items, list) else []
    if len(set(map(_frozen, listed))) < len(listed):
        yield ValidationError("two of the items are equal")


def _frozen(value: object) -> object:
    """Return what equals the same of another value, where JSON values are equal."""
    if isinstance(value, Mapping):
        return frozenset((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, list):
        return ("list", *map(_frozen, value))
    return ("boolean", value) if isinstance(value, bool) else value


def pattern(_validator: object, source: str, text: object, _schema: object) -> Errors:
    """Match without backtracking."""
    if isinstance(text, str) and not pattern_of(source).is_in(text):
        yield ValidationError(f"{text!r} does not match {source!r}")


def pattern_properties(
    validator: Any, schemas: Mapping[str, object], value: Any, _schema: object
) -> Errors:
    """Match names without backtracking."""
    for source, inner in schemas.items() if isinstance(value, Mapping) else ():
        for name in _matching(source, value):
            yield from validator.descend(value[name], inner, path=name, schema_path=source)


def _matching(source: str, value: object) -> list[str]:
    found = pattern_of(source)
    return [name for name in value if found.is_in(name)] if isinstance(value, Mapping) else []


def additional_properties(
    validator: Any, inner: object, value: object, schema: Mapping[str, Any]
) -> Errors:
    """Apply to the names that neither a name nor a pattern of the schema covers."""
    if not isinstance(value, Mapping):
        return
    covered = set(schema.get("properties", ()))
    for source in schema.get("patternProperties", ()):
        covered.update(_matching(source, value))
    extra = [name for name in value if name not in covered]
    if inner is False and extra:
        names = ", ".join(repr(name) for name in extra)
        yield ValidationError(f"no property {names} is allowed")
        return
    for name in extra:
        yield from validator.descend(value[name], inner, path=name)


KEYWORDS: Final = {
    "additionalProperties": additional_properties,
    "pattern": pattern,
    "patternProperties": pattern_properties,
    "uniqueItems": unique_items,
}
