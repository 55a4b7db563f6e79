"""Does a shaped value satisfy its schema, and say what was made up?"""

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # the library ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_providers.core.shape import MAX_NODES, Shaper, allows_text, within

FACTS = {"severity": "high", "score": 7, "tags": ["a", "b"], "nested": {"file": "a.py"}}


def shaped(schema: dict[str, Any], sentence: str = "First.") -> tuple[object, list[str]]:
    """Shape a value out of the facts; return it and its placeholders."""
    shaper = Shaper(schema, [FACTS], sentence)
    return shaper.build(), shaper.placeholders


def an_object(*required: str, **properties: object) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "required": list(required), "properties": properties}


def test_required_fields_are_filled_from_facts_of_their_name() -> None:
    """Facts are found at any depth; optional fields are left out."""
    schema = an_object(
        "severity",
        "score",
        "file",
        "tags",
        severity={"type": "string", "enum": ["low", "high"]},
        score={"type": "integer", "maximum": 10},
        file={"type": "string", "minLength": 2},
        tags={"type": "array", "items": {"type": "string"}},
        optional={"type": "string"},
    )

    assert shaped(schema) == (
        {"severity": "high", "score": 7, "file": "a.py", "tags": ["a", "b"]},
        [],
    )


def test_a_text_without_a_fact_is_the_first_sentence() -> None:
    """Free text is extracted, so it is no placeholder."""
    assert shaped(an_object("why", why={"type": "string"})) == ({"why": "First."}, [])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "boolean"}, False),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 2.5}, 3),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "number", "exclusiveMinimum": 4}, 5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "string", "minLength": 3, "maxLength": 3}, "---"),
        ({"type": "string", "enum": ["x", "y"]}, "x"),
        ({"enum": [4, 5]}, 4),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 0),
    ],
)
def test_what_no_fact_fills_is_the_least_that_is_allowed(
    schema: dict[str, Any], expected: object
) -> None:
    """Placeholders are valid, and named by their pointer."""
    whole = an_object("it", it=schema)
    value, placeholders = shaped(whole)

    jsonschema.validate(value, whole)
    assert value == {"it": expected}
    assert placeholders == ["/it"]


def test_constants_and_defaults_are_no_placeholders() -> None:
    """What the schema itself says needs no fact."""
    schema = an_object("kind", "depth", kind={"const": "scan"}, depth={"default": 2})

    assert shaped(schema) == ({"kind": "scan", "depth": 2}, [])


def test_a_list_has_as_many_items_as_it_must() -> None:
    """Without a fact a list is empty, or as short as its limit allows."""
    item = {"type": "boolean"}
    schema = an_object(
        "none", "some", none={"type": "array"}, some={"type": "array", "minItems": 2, "items": item}
    )

    assert shaped(schema) == ({"none": [], "some": [False, False]}, ["/some/0", "/some/1"])


def test_references_and_alternatives_are_followed() -> None:
    """Definitions, joined parts and the first of several options are one schema."""
    schema = {
        "$defs": {"a/b": an_object("score", score={"type": "integer"})},
        "allOf": [{"$ref": "#/$defs/a~1b"}, an_object("tag", tag={"oneOf": [{"type": "string"}]})],
        "required": ["extra"],
        "properties": {"extra": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
    }
    value, placeholders = shaped(schema)

    assert value == {"extra": False, "score": 7, "tag": "First."}
    assert placeholders == ["/extra"]
    jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        an_object("me", me={"$ref": "#"}),
        an_object("i", i={"type": "array", "minItems": 9**9, "items": {"type": "boolean"}}),
        {"type": "string", "minLength": 10**12, "maxLength": 10**12},
    ],
)
def test_a_schema_without_an_end_gets_an_answer_all_the_same(schema: dict[str, Any]) -> None:
    """The work is bounded, and what is missing is named."""
    _, placeholders = shaped(schema)

    assert placeholders
    assert len(placeholders) <= MAX_NODES


def test_parts_that_join_themselves_end() -> None:
    """A schema made of itself twice over demands nothing, and is found out soon."""
    assert shaped({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}) == ({}, [])


def test_without_a_sentence_text_is_a_placeholder() -> None:
    """An empty input gives an empty text that is named as made up."""
    assert shaped({"type": "string"}, sentence="") == ("", ["/"])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, True),
        ({"additionalProperties": False}, False),
        ({"additionalProperties": {"type": "string"}}, False),
        ({"properties": {"provider": {"type": "string"}}, "additionalProperties": False}, True),
        ({"properties": {"provider": {"type": "integer"}}}, False),
        ({"properties": {"provider": {"type": "string", "enum": ["x"]}}}, False),
        ({"properties": {"provider": True}}, True),
    ],
)
def test_a_mark_is_set_only_where_the_schema_has_room(
    schema: dict[str, Any], *, expected: bool
) -> None:
    """Closed objects and fields of another form stay as they are."""
    assert allows_text(schema, "provider") is expected


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ("abc", {"maxLength": 2}, False),
        ("abc", {"pattern": "x"}, False),
        (5, {"minimum": 6}, False),
        (5, {"minimum": 5, "maximum": 5}, True),
        ([1], {"minItems": 2}, False),
        ([1], {"items": {"type": "string"}}, False),
        ([{}], {}, False),
        ({"a": 1}, {}, False),
        (None, {}, False),
    ],
)
def test_a_fact_counts_only_within_the_limits(
    value: object, schema: dict[str, Any], *, expected: bool
) -> None:
    """What cannot be judged is not taken over."""
    assert within(value, schema) is expected


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 3},
            {"type": "number", "maximum": -1},
            {"type": "boolean"},
            {"type": "string", "enum": ["low", "high"]},
            {"type": "string", "minLength": 2, "maxLength": 4},
            {"const": {"fixed": [1]}},
        ]
    ),
    lambda inner: (
        st.dictionaries(st.sampled_from(["severity", "score", "tags", "x"]), inner).map(
            lambda properties: an_object(*properties, **properties)
        )
        | inner.map(lambda item: {"type": "array", "items": item, "minItems": 1})
        | inner.map(lambda part: {"anyOf": [part, {"type": "null"}]})
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.sampled_from(["", "A sentence."]))
def test_a_shaped_value_is_valid(schema: dict[str, Any], sentence: str) -> None:
    """Whatever is required, the value satisfies the schema."""
    value, _ = shaped(schema, sentence)

    jsonschema.validate(value, schema)
