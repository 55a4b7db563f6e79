"""The JSON Schema: does it accept and refuse what the language does?"""

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from segue_language.aliases import (
    IDENTIFIERS,
    KIND_FIELDS,
    LLM_FIELDS,
    STEP_ALIASES,
    WORKFLOW_ALIASES,
)
from segue_language.parse import parse
from segue_language.schema import SCHEMA_DIALECTS, definition_schema

VALIDATOR = Draft202012Validator(definition_schema())
ALIKE = {"retries", "config", "maxRetries", "max_retries"}
OLDER = Draft7Validator(definition_schema("draft-07"))


def test_the_schemas_are_valid_ones_of_their_drafts() -> None:
    """Editors can load them."""
    Draft202012Validator.check_schema(definition_schema())
    Draft7Validator.check_schema(definition_schema("draft-07"))
    assert definition_schema()["$schema"] == SCHEMA_DIALECTS["2020-12"]
    assert definition_schema("draft-07")["$schema"] == SCHEMA_DIALECTS["draft-07"]


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
        {"agent": "a", "compensate": {"gpt": "b", "params": {}, "retries": 2}},
        {"agent": "a", "timeouts": {"start_to_close": "5m", "heartbeat": 1000}},
        {"agent": "a", "retryPolicy": {"maxRetries": 2, "retryDelayMs": 5}, "optional": True},
        {"agent": "a", "retry": {"classes": {"x": {"delay": "1m"}}, "onExhausted": "park"}},
        {"wait": {"event": "a.b", "match": "event.x"}},
        {"approval": {"quorum": 2, "escalation": {"after": "1h", "step": "k2"}}},
        {"gpt": "a", "needs": "k2", "config": {"maxRetries": 1}, "next_step": []},
        {"type": "openai", "prompt": "x", "model": "m"},
        {"type": "github", "action": "create"},
        {"step_type": "agent", "agent": "x"},
        {"uses": "a.b", "outputSchema": {}, "priority": "p0"},
    ],
)
def test_what_the_language_accepts_is_valid(step: dict[str, object]) -> None:
    """Short forms are in it too."""
    steps = [{"key": "k", **step}, {"key": "k2", "agent": "a"}, {"key": "a", "agent": "a"}]
    document = {"name": "x", "inputs": {"x": [], "b": {"type": "string"}}, "steps": steps}
    assert parse(json.dumps(document)).problems == ()
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert OLDER.is_valid(document)


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"agent": "a", "pool": "b"},
        {"agent": "a", "timout": 1},
        {"agent": "a", "timeout": "soon"},
        {"llm": {}},
        {"wait": True},
        {"approval": False},
        {"agent": "a", "gpt": "a", "llm": {"prompt": "x"}},
        {"llm": {"prompt": "x"}, "model": "m"},
        {"uses": "a.b", "action": "c"},
        {"type": "github"},
        {"type": "opnai"},
        {"agent": "a", "compensate": {}},
        {"agent": "a", "compensate": {"agent": "b", "pool": "c"}},
        {"agent": "a", "retryPolicy": {"maxRetires": 1}},
    ],
)
def test_what_the_language_refuses_is_not_valid(step: dict[str, object]) -> None:
    """Editors mark it before it is run."""
    document = {"name": "x", "steps": [{"key": "k", **step}]}
    assert parse(json.dumps(document)).problems != ()
    assert not VALIDATOR.is_valid(document)
    assert not OLDER.is_valid(document)


@pytest.mark.parametrize(
    "document",
    [
        {"id": "x", "version": 2, "parallel": False, "variables": {"a": 1}},
        {"workflow_id": "x", "name": "X", "timeoutMs": 5, "retries": 1},
        {"name": "x", "concurrency": {"key": "a", "limit": 1, "policy": "cancelNewest"}},
    ],
)
def test_dialects_of_a_workflow_are_accepted_and_may_be_wrapped(document: dict[str, Any]) -> None:
    """As the language reads them."""
    document = {**document, "steps": [{"stepId": "k", "gpt": "a"}]}
    for each in (document, {"workflow": document}, {"definition": document}):
        assert parse(json.dumps(each)).problems == ()
        assert [error.message for error in VALIDATOR.iter_errors(each)] == []
        assert OLDER.is_valid(each)


@pytest.mark.parametrize("wrapper", ["workflow", "definition"])
def test_a_wrapped_workflow_is_checked_too(wrapper: str) -> None:
    """The wrapper hides nothing."""
    assert not VALIDATOR.is_valid({wrapper: {"name": "x", "steps": [{"key": "k"}]}})
    assert not OLDER.is_valid({wrapper: {"name": "x", "steps": []}})


def test_a_second_kind_is_named_by_the_field_that_is_too_much() -> None:
    """An editor underlines that field, not the whole step."""
    step = {"key": "k", "agent": "a", "llm": {"prompt": "x"}}
    errors = [*VALIDATOR.iter_errors({"name": "x", "steps": [step]})]
    assert [error.instance for error in errors] == [{"prompt": "x"}, "a"]
    assert all(error.schema is False for error in errors)


def test_every_alias_of_the_tables_is_in_the_schema() -> None:
    """Editors complete what the language reads."""
    definitions: Any = definition_schema()["$defs"]
    step, workflow = definitions["Step"]["properties"], definitions["Workflow"]["properties"]
    assert {*STEP_ALIASES, *LLM_FIELDS, *KIND_FIELDS} <= step.keys()
    assert {*WORKFLOW_ALIASES, *IDENTIFIERS, "parallel"} <= workflow.keys()


def test_every_field_has_a_description() -> None:
    """Editors show what a field is for."""
    definitions = definition_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, model in definitions.items():
        for field, schema in model.get("properties", {}).items():
            told = schema.get("description") or "$ref" in schema or field in ALIKE
            assert told, f"{name}.{field}"
