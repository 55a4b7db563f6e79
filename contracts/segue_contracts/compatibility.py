"""Compatibility: would a change of schemas break somebody who speaks the older ones?

New messages, optional fields, enum values and variants are no breaks. Defaults are not sent, so
that another default silently changes what an absent field means: that is one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

Schema = Mapping[str, Any]

_PROSE: Final = frozenset({"$schema", "title", "description"})
_NAMED: Final = frozenset({"properties", "$defs"})
# What is compared by a rule of its own; any other keyword is a limit and must stay as it is.
_RULED: Final = frozenset({"$ref", "type", "anyOf", "enum", "items", "required", "default"})


_MAP: Final = "a map"


class _Pair(msgspec.Struct, frozen=True):
    """The same place in two schemas."""

    path: str
    """Where, such as `attempts[].error`; empty for the message itself."""
    old: Schema
    """The schema that was accepted."""
    new: Schema
    """The schema as it is now."""

    @property
    def place(self) -> str:
        """The place in words."""
        return f"field `{self.path}`" if self.path else "the message"

    def field(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name


def without_prose(schema: Schema) -> dict[str, Any]:
    """Return a schema without titles and descriptions, which promise nothing to a program."""
    return {key: _without_prose_at(key, part) for key, part in schema.items() if key not in _PROSE}


def _without_prose_at(key: str, part: Any) -> Any:
    if key in _NAMED:
        return {name: without_prose(schema) for name, schema in part.items()}
    if key == "anyOf":
        return [without_prose(schema) for schema in part]
    if key in {"items", "additionalProperties"} and isinstance(part, dict):
        return without_prose(part)
    return part


def breaks(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """Return what breaks for speakers of `old`, a sentence each; empty when nothing does.

    Args:
        old: Schemas by message name, as they were accepted.
        new: Schemas by message name, as they are now.
    """
    found: list[str] = []
    for name, schema in sorted(old.items()):
        if name in new:
            sentences = _Comparison(schema, new[name]).compare(_Pair("", schema, new[name]))
            found += [f"{name}: {sentence}" for sentence in sentences]
        else:
            found.append(f"{name}: the message was removed.")
    return found


class _Comparison:
    """Compares two schemas of one message; a part that both share by reference counts once."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str]] = set()

    def compare(self, pair: _Pair) -> Iterator[str]:
        """Yield what breaks at a place and below."""
        if "$ref" in pair.old and "$ref" in pair.new:
            references = (pair.old["$ref"], pair.new["$ref"])
            if references in self._seen:
                return
            self._seen.add(references)
        old, new = _resolve(pair.old, self._old), _resolve(pair.new, self._new)
        yield from self._resolved(_Pair(pair.path, old, new))

    def _resolved(self, pair: _Pair) -> Iterator[str]:
        if _form(pair.old) != _form(pair.new):
            yield f"{pair.place} changed from {_form(pair.old)} to {_form(pair.new)}."
            return
        yield from _limits(pair)
        yield from _values(pair)
        yield from _presence(pair)
        yield from self._fields(pair)
        yield from self._variants(pair)
        for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if keyword in pair.old or keyword in pair.new:
                parts = pair.old.get(keyword, {}), pair.new.get(keyword, {})
                if all(isinstance(part, dict) for part in parts):
                    yield from self.compare(_Pair(pair.path + mark, *parts))

    def _fields(self, pair: _Pair) -> Iterator[str]:
        after = _properties(pair.new)
        required = {*pair.old.get("required", ()), *pair.new.get("required", ())}
        for name, old in _properties(pair.old).items():
            if name in after:
                part = _Pair(pair.field(name), old, after[name])
                if name not in required:
                    yield from _default(part)
                yield from self.compare(part)

    def _variants(self, pair: _Pair) -> Iterator[str]:
        after = {self._variant(part, self._new): part for part in pair.new.get("anyOf", ())}
        for part in pair.old.get("anyOf", ()):
            variant = self._variant(part, self._old)
            if variant in after:
                yield from self.compare(_Pair(f"{pair.path}<{variant}>", part, after[variant]))
            else:
                yield f"{pair.place} lost the variant `{variant}`."

    def _variant(self, schema: Schema, root: Schema) -> str:
        """Name a variant by its tag, else by its form."""
        resolved = _resolve(schema, root)
        for name in resolved.get("required", ()):
            match _properties(resolved)[name].get("enum"):
                case [tag]:
                    return f"{name}={tag}"
        return _form(resolved)


def _resolve(schema: Schema, root: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    definitions: Mapping[str, Schema] = root["$defs"]
    return definitions[schema["$ref"].rpartition("/")[2]]


def _form(schema: Schema) -> str:
    if "anyOf" in schema:
        return "a choice of variants"
    if "enum" in schema:
        return "an enum"
    if isinstance(schema.get("additionalProperties"), dict):
        return _MAP
    kind = schema.get("type", "anything")
    return kind if isinstance(kind, str) else " or ".join(kind)


def _properties(schema: Schema) -> Mapping[str, Schema]:
    found: Mapping[str, Schema] = schema.get("properties", {})
    return found


def _limits(pair: _Pair) -> Iterator[str]:
    ruled = _RULED | _PROSE | _NAMED
    if _form(pair.old) == _MAP:
        ruled |= {"additionalProperties"}
    for keyword in sorted((pair.old.keys() | pair.new.keys()) - ruled):
        before, after = (_told(schema, keyword) for schema in (pair.old, pair.new))
        if before != after:
            yield f"{pair.place} has another `{keyword}`: {before} became {after}."


def _told(schema: Schema, keyword: str) -> str:
    return f"`{schema[keyword]!r}`" if keyword in schema else "none"


def _values(pair: _Pair) -> Iterator[str]:
    kept = pair.new.get("enum", ())
    for value in pair.old.get("enum", ()):
        if value not in kept:
            yield f"{pair.place} lost the value `{value}`."


def _default(pair: _Pair) -> Iterator[str]:
    before, after = (_told(schema, "default") for schema in (pair.old, pair.new))
    if before != after:
        yield f"{pair.place} has another default: {before} became {after}."


def _presence(pair: _Pair) -> Iterator[str]:
    """Yield fields that went, and fields whose being required changed."""
    before, after = _properties(pair.old), _properties(pair.new)
    renamed = _renames(before, after)
    for name in (name for name in before if name not in after):
        fate = f"renamed to `{renamed[name]}`" if name in renamed else "removed"
        yield f"field `{pair.field(name)}` was {fate}."
    demanded = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
    for name in sorted(demanded[1] - demanded[0] - set(renamed.values())):
        yield f"field `{pair.field(name)}` is newly required; older senders leave it out."
    for name in sorted((demanded[0] - demanded[1]) & after.keys()):
        yield f"field `{pair.field(name)}` is no longer required; older readers demand it."


def _renames(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> dict[str, str]:
    """Pair each field that went with a new field of the same schema."""
    added = [name for name in after if name not in before]
    renamed: dict[str, str] = {}
    for name, schema in before.items():
        if name in after:
            continue
        twins = [new for new in added if without_prose(after[new]) == without_prose(schema)]
        if twins:
            renamed[name] = twins[0]
            added.remove(twins[0])
    return renamed
