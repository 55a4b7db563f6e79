"""JSON Schemas: are faulty ones named, and values checked within bounds?"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.json_schemas import MAX_NAMED, schema_faults, schema_problems

FINDINGS = {
    "type": "object",
    "required": ["severity"],
    "properties": {
        "severity": {"enum": ["low", "high"]},
        "files": {"type": "array", "items": {"$ref": "#/$defs/file"}, "uniqueItems": True},
    },
    "$defs": {"file": {"type": "string", "minLength": 1}},
}


def test_a_schema_without_faults_has_none() -> None:
    """References may lead to its own definitions, or to itself."""
    assert schema_faults(FINDINGS) == []
    assert schema_faults({"items": {"$ref": "#"}}) == []
    assert schema_faults({}) == []


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "strin"}, ("type",), "'strin' is not valid"),
        ({"properties": {"a": {"minLength": -1}}}, ("properties", "a", "minLength"), "less than"),
        ({"allOf": [{"$ref": "#/$defs/x"}]}, ("allOf", 0, "$ref"), "leads to no schema"),
        ({"$ref": "https://example.com/x"}, ("$ref",), "leads to no schema"),
        ({"$id": "https://example.com"}, ("$id",), "leave it out"),
        (
            {"unevaluatedProperties": False},
            ("unevaluatedProperties",),
            "use 'additionalProperties'",
        ),
        ({"pattern": "("}, ("pattern",), "this is no regular expression"),
        ({"patternProperties": {"(?=a)": {}}}, ("patternProperties", "(?=a)"), "not available"),
    ],
)
def test_a_fault_is_named_at_its_place(
    schema: dict[str, object], path: tuple[str | int, ...], message: str
) -> None:
    """The path leads into the schema."""
    fault = schema_faults(schema)[0]
    assert fault.path == path
    assert message in fault.message


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"$id": {"type": "string"}, "$ref": {"type": "string"}}},
        {"const": {"$ref": "nowhere"}},
        {"enum": [{"$id": 1}]},
        {"$defs": {"a/b": {}}, "$ref": "#/$defs/a~1b"},
    ],
)
def test_names_and_values_are_no_keywords(schema: dict[str, object]) -> None:
    """A property may be called `$ref`, a constant may hold one."""
    assert schema_faults(schema) == []


def test_a_schema_that_is_too_large_is_refused() -> None:
    """So is one that is nested too deeply."""
    nested: dict[str, object] = {}
    for _ in range(100):
        nested = {"items": nested}
    for schema in (nested, {"enum": [], "properties": {str(n): {} for n in range(6_000)}}):
        assert "too large or nested too deeply" in schema_faults(schema)[0].message


def test_a_value_that_satisfies_a_schema_has_no_problems() -> None:
    """Everything it asks for is there."""
    assert schema_problems(FINDINGS, {"severity": "low", "files": ["a", "b"]}) == []


def test_each_problem_of_a_value_has_its_place() -> None:
    """All of them at once."""
    problems = schema_problems(FINDINGS, {"files": ["a", 3, "a"]}, file="output")
    assert [problem.render() for problem in problems] == [
        "output: 'severity' is a required property",
        "output: /files/1: 3 is not of type 'string'",
        "output: /files: two of the items are equal",
    ]


def test_long_lists_of_problems_are_cut() -> None:
    """The first ones say enough, and none repeats a whole value."""
    problems = schema_problems({"items": {"type": "string", "const": "x"}}, [["y" * 999]] * 99)
    assert len(problems) == MAX_NAMED
    assert all(len(problem.message) <= 200 for problem in problems)


@pytest.mark.parametrize(
    ("items", "equal"),
    [
        ([1, 1.0], True),
        ([1, True], False),
        ([{"a": [1]}, {"a": [1]}], True),
        ([[True], ["boolean", True]], False),
        ([0, False, None, "", [], {}], False),
    ],
)
def test_items_are_unique_as_json_values(items: list[object], equal: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """True is not one, one is one point nought."""
    assert bool(schema_problems({"uniqueItems": True}, items)) == equal


def test_a_value_nested_too_deeply_is_a_problem() -> None:
    """It is not followed to its end."""
    value: object = 1
    for _ in range(200):
        value = [value]
    assert "nested deeper" in schema_problems({"items": {"$ref": "#"}}, value)[0].message


def test_a_schema_that_multiplies_work_is_stopped() -> None:
    """Thirty definitions that each refer twice to the next would take 2^30 steps."""
    names = [f"d{number}" for number in range(30)]
    schema: dict[str, object] = {"$ref": "#/$defs/d0"}
    schema["$defs"] = {
        name: {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2} if number < 29 else {}
        for number, name in enumerate(names)
    }
    assert schema_faults(schema) == []
    begin = time.perf_counter()
    assert "too much work" in schema_problems(schema, 1)[-1].message
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_a_schema_that_only_refers_to_itself_is_stopped(schema: dict[str, object]) -> None:
    """It says nothing, so nothing satisfies it."""
    assert "too much work" in schema_problems(schema, 1)[-1].message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(json_values, json_values)
def test_checking_never_raises(schema: object, value: object) -> None:
    """Whatever stands there is refused or checked."""
    given_schema = schema if isinstance(schema, dict) else {"const": schema}
    if not schema_faults(given_schema):
        schema_problems(given_schema, value)


def test_names_can_be_matched_and_others_refused() -> None:
    """What no name and no pattern covers is additional."""
    schema: dict[str, object] = {
        "properties": {"a": {}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": False,
    }
    assert schema_problems(schema, {"a": 1, "x-b": "c"}) == []
    assert schema_problems(schema, [1]) == []
    rendered = [problem.render() for problem in schema_problems(schema, {"x-b": 1, "z": 2})]
    assert rendered == [
        "<value>: /x-b: 1 is not of type 'string'",
        "<value>: no property 'z' is allowed",
    ]
    schema["additionalProperties"] = {"type": "string"}
    assert [each.pointer for each in schema_problems(schema, {"z": 2})] == ["/z"]
