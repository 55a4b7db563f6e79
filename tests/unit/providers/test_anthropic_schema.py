"""Claude's schemas: is what can be enforced enforced, and nothing else?"""

import pytest

from segue_providers.core.wires.anthropic_schema import OpenSchemaError, enforceable


def test_objects_are_closed_at_every_depth() -> None:
    """Claude wants each object to say that it has no other fields."""
    inner = {"type": "object", "properties": {"b": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"a": inner, "c": {"type": "array", "items": inner}},
        "required": ["a"],
    }

    closed = {**inner, "additionalProperties": False}
    assert enforceable(schema) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": closed, "c": {"type": "array", "items": closed}},
        "required": ["a"],
    }


def test_what_claude_does_not_know_is_described() -> None:
    """A limit that cannot be enforced is still read by the model."""
    schema = {"type": "integer", "minimum": 1, "description": "Age"}

    assert enforceable(schema) == {"type": "integer", "description": "Age (minimum: 1)"}
    assert enforceable({"type": "string", "pattern": "a+"}) == {
        "type": "string",
        "description": "pattern: a+",
    }


def test_known_formats_and_small_counts_are_kept() -> None:
    """Formats that Claude knows stay, others are described."""
    assert enforceable({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}
    assert enforceable({"type": "array", "items": {"type": "null"}, "minItems": 1}) == {
        "type": "array",
        "items": {"type": "null"},
        "minItems": 1,
    }
    assert "description" in enforceable({"type": "string", "format": "regex"})
    assert "description" in enforceable({"type": "array", "minItems": 3})


def test_choices_become_any_of() -> None:
    """`oneOf` and lists of types are written as the choice that Claude knows."""
    either = [{"type": "string"}, {"type": "null"}]

    assert enforceable({"oneOf": either}) == {"anyOf": either}
    assert enforceable({"type": ["string", "null"]}) == {"anyOf": either}


def test_references_and_definitions_are_kept() -> None:
    """A definition is closed like any other schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/a",
        "$defs": {"a": {"properties": {"b": {"enum": [1, 2]}}}},
    }

    assert enforceable(schema) == {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"b": {"enum": [1, 2]}},
            }
        },
    }


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({}, "the schema"),
        (True, "the schema"),
        ({"type": "object"}, "the schema names no fields"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "the schema"),
        ({"type": "object", "properties": {"a": {}}}, r"the schema\.a"),
        ({"type": "array", "items": {"type": "object"}}, r"the schema\.items"),
        ({"anyOf": [{"type": "object"}]}, r"the schema\.anyOf"),
    ],
)
def test_an_open_schema_is_refused_with_its_place(schema: object, place: str) -> None:
    """What may hold anything cannot be enforced, and the error says where it is."""
    with pytest.raises(OpenSchemaError, match=place):
        enforceable(schema)
