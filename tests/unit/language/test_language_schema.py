"""The JSON Schema: does it accept and refuse what the language does?"""

import pytest
from jsonschema import Draft202012Validator

from segue_language.schema import SCHEMA_DIALECT, definition_schema

VALIDATOR = Draft202012Validator(definition_schema())


def test_the_schema_is_a_valid_one_of_2020_12() -> None:
    """Editors can load it."""
    Draft202012Validator.check_schema(definition_schema())
    assert definition_schema()["$schema"] == SCHEMA_DIALECT


@pytest.mark.parametrize(
    "step",
    [
        {"agent": "a", "timeout": "5m", "retry": {"maxAttempts": 3, "delay": 100}},
        {"llm": {"prompt": "x"}, "when": True},
        {"pool": "gpu", "dependsOn": ["a"], "forEach": "{{ x }}"},
        {"wait": "5m"},
        {"wait": {"signal": "go"}},
        {"approval": True},
        {"agent": "a", "forEach": {"items": [1], "concurrency": 2}},
    ],
)
def test_what_the_language_accepts_is_valid(step: dict[str, object]) -> None:
    """Short forms are in it too."""
    document = {"name": "x", "inputs": {"a": 1, "b": {"type": "string"}}, "steps": [step]}
    step["key"] = "k"
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"agent": "a", "pool": "b"},
        {"agent": "a", "timout": 1},
        {"agent": "a", "timeout": "soon"},
        {"llm": {}},
        {"wait": True},
    ],
)
def test_what_the_language_refuses_is_not_valid(step: dict[str, object]) -> None:
    """Editors mark it before it is run."""
    assert not VALIDATOR.is_valid({"name": "x", "steps": [{"key": "k", **step}]})


def test_every_field_has_a_description() -> None:
    """Editors show what a field is for."""
    definitions = definition_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, model in definitions.items():
        for field, schema in model.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{field}"
