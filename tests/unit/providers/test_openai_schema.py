"""Are schemas enforced exactly where that keeps their meaning?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_providers.core.wires.openai_schema import LooseSchemaError, strict

TEXT = {"type": "string"}


def an_object(**properties: Any) -> dict[str, Any]:
    """An object that requires all its properties."""
    return {"type": "object", "properties": properties, "required": [*properties]}


def test_open_objects_are_closed_at_every_depth() -> None:
    """Objects in properties, items, alternatives and definitions are closed."""
    schema = {
        **an_object(
            list={"type": "array", "items": an_object(a=TEXT)},
            either={"anyOf": [an_object(b=TEXT), {"type": "null"}]},
            maybe={"type": ["object", "null"], "properties": {}, "required": []},
        ),
        "$defs": {"inner": an_object(c=TEXT)},
    }

    closed = strict(schema)

    assert str(closed).count("'additionalProperties': False") == 5
    assert closed["required"] == ["list", "either", "maybe"]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (TEXT, "its root is no object"),
        ({"anyOf": [an_object(a=TEXT)], "type": "object"}, "its root is no object"),
        ({**an_object(a=TEXT), "required": []}, "`a` of its root is optional"),
        (an_object(a={"type": "object"}), "`a` names no properties"),
        ({**an_object(a=TEXT), "additionalProperties": True}, "its root allows further"),
        (an_object(a={"oneOf": [TEXT]}), "`a` uses `oneOf`"),
        (an_object(a={"type": "array", "items": {"not": {}}}), "an item of `a` uses `not`"),
        ({"type": "object", "properties": []}, "its root is no JSON Schema"),
        ({"type": "object", "required": "a"}, "its root is no JSON Schema"),
    ],
)
def test_a_schema_that_would_change_its_meaning_is_not_enforced(
    schema: dict[str, Any], reason: str
) -> None:
    """The error names the place and what is there."""
    with pytest.raises(LooseSchemaError, match=reason):
        strict(schema)


def test_a_closed_object_without_properties_stays_as_it_is() -> None:
    """A tool that takes nothing can be enforced."""
    assert strict({"type": "object", "additionalProperties": False}) == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_what_is_no_schema_is_left_for_the_provider_to_refuse() -> None:
    """Alternatives and items that are no objects pass."""
    schema = an_object(a={"anyOf": "b", "items": True}, c=True)

    assert strict(schema)["properties"] == schema["properties"]


SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 0}, {"enum": ["a", 1]}]),
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item}, inner)
        | st.dictionaries(st.sampled_from("abc"), inner).map(lambda some: an_object(**some))
    ),
)


@given(SCHEMAS)
def test_closing_is_done_once(schema: dict[str, Any]) -> None:
    """A closed schema is its own strict form, whatever was in it."""
    closed = strict(an_object(root=schema))

    assert strict(closed) == closed
