"""Compatibility: is every kind of break found, and nothing else?"""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from segue_contracts.compatibility import breaks, without_prose
from segue_contracts.schema import components, schemas

Schemas = dict[str, Any]
Change = Callable[[Schemas], object]


def broken_by(change: Change) -> list[str]:
    """Return what a change of the current schemas breaks."""
    changed = copy.deepcopy(schemas())
    change(changed)
    return breaks(schemas(), changed)


def fields(found: Schemas, name: str, definition: str = "") -> Schemas:
    """Return the fields of a message, or of a type it holds."""
    schema = found[name]["$defs"][definition] if definition else found[name]
    properties: Schemas = schema["properties"]
    return properties


def rename(found: Schemas, old: str, new: str) -> None:
    """Rename a field."""
    found[new] = found.pop(old)


def broken_between(old: type[msgspec.Struct], new: type[msgspec.Struct]) -> list[str]:
    """Return what breaks when a message's type becomes another."""
    return breaks({"m": schema_of(old)}, {"m": schema_of(new)})


def schema_of(kind: type[msgspec.Struct]) -> Schemas:
    """Return the schema of a type."""
    found = components([kind], "#/$defs/{name}")
    return {**found.pop(kind.__name__), "$defs": found}


BREAKS: list[tuple[str, Change, str]] = [
    (
        "a removed message",
        lambda found: found.pop("segue.run.ended.v1"),
        "segue.run.ended.v1: the message was removed.",
    ),
    (
        "a removed field",
        lambda found: fields(found, "segue.run.ended.v1").pop("usage"),
        "segue.run.ended.v1: field `usage` was removed.",
    ),
    (
        "a removed field of a nested type",
        lambda found: fields(found, "segue.run.ended.v1", "Failure").pop("details"),
        "segue.run.ended.v1: field `error.details` was removed.",
    ),
    (
        "a renamed field",
        lambda found: rename(fields(found, "segue.ctl.cancel.v1"), "reason", "cause"),
        "segue.ctl.cancel.v1: field `reason` was renamed to `cause`.",
    ),
    (
        "a retyped field",
        lambda found: fields(found, "segue.ctl.cancel.v1")["attempt"].update(type="string"),
        "segue.ctl.cancel.v1: field `attempt` changed from integer to string.",
    ),
    (
        "a retyped list item",
        lambda found: fields(found, "segue.run.step_completed.v1")["notes"].update(
            items={"type": "integer"}
        ),
        "segue.run.step_completed.v1: field `notes[]` changed from string to integer.",
    ),
    (
        "a retyped map value",
        lambda found: fields(found, "segue.run.started.v1")["labels"].update(
            additionalProperties={"type": "integer"}
        ),
        "segue.run.started.v1: field `labels{}` changed from string to integer.",
    ),
    (
        "an old field that is newly required",
        lambda found: found["segue.ctl.cancel.v1"]["required"].append("step"),
        "segue.ctl.cancel.v1: field `step` is newly required; older senders leave it out.",
    ),
    (
        "a new field that is required",
        lambda found: (
            fields(found, "segue.ctl.cancel.v1").update(by={"type": "object"}),
            found["segue.ctl.cancel.v1"]["required"].append("by"),
        ),
        "segue.ctl.cancel.v1: field `by` is newly required; older senders leave it out.",
    ),
    (
        "a field that is no longer required",
        lambda found: found["segue.ctl.cancel.v1"]["required"].remove("run"),
        "segue.ctl.cancel.v1: field `run` is no longer required; older readers demand it.",
    ),
    (
        "a removed enum value",
        lambda found: fields(found, "segue.run.ended.v1")["status"]["enum"].remove("failed"),
        "segue.run.ended.v1: field `status` lost the value `failed`.",
    ),
    (
        "another default",
        lambda found: fields(found, "orchestrator.list_runs.request")["limit"].update(default=9),
        "orchestrator.list_runs.request: field `limit` has another default: `50` became `9`.",
    ),
    (
        "a default that went",
        lambda found: fields(found, "orchestrator.list_runs.request")["limit"].pop("default"),
        "orchestrator.list_runs.request: field `limit` has another default: `50` became none.",
    ),
    (
        "a removed variant",
        lambda found: fields(found, "segue.step.delta.v1")["delta"]["anyOf"].pop(),
        "segue.step.delta.v1: field `delta` lost the variant `type=tool`.",
    ),
    (
        "a field removed from a variant",
        lambda found: fields(found, "segue.step.delta.v1", "ToolProgress").pop("summary"),
        "segue.step.delta.v1: field `delta<type=tool>.summary` was removed.",
    ),
    (
        "a new limit",
        lambda found: fields(found, "segue.ctl.cancel.v1")["attempt"].update(minimum=1),
        "segue.ctl.cancel.v1: field `attempt` has another `minimum`: none became `1`.",
    ),
    (
        "unknown fields that are refused",
        lambda found: found["segue.ctl.cancel.v1"].update(additionalProperties=False),
        "segue.ctl.cancel.v1: the message has another `additionalProperties`: none became `False`.",
    ),
]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [pytest.param(change, sentence, id=name) for name, change, sentence in BREAKS],
)
def test_a_breaking_change_is_told_in_one_sentence(change: Change, sentence: str) -> None:
    """Each kind of break is found, at its place, and nothing else is reported."""
    assert broken_by(change) == [sentence]


ADDITIONS: list[tuple[str, Change]] = [
    ("a new message", lambda found: found.update({"segue.run.moved.v1": {"type": "object"}})),
    (
        "a new optional field",
        lambda found: fields(found, "segue.run.ended.v1").update(
            by={"type": "string", "default": ""}
        ),
    ),
    (
        "a new enum value",
        lambda found: fields(found, "segue.run.ended.v1")["status"]["enum"].append("expired"),
    ),
    (
        "a new variant",
        lambda found: fields(found, "segue.step.delta.v1")["delta"]["anyOf"].append(
            {"type": "object", "properties": {}}
        ),
    ),
    (
        "another description",
        lambda found: fields(found, "segue.run.ended.v1")["status"].update(description="New."),
    ),
]


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in ADDITIONS])
def test_an_addition_breaks_nothing(change: Change) -> None:
    """Whoever speaks the older schemas is not disturbed by what is new."""
    assert broken_by(change) == []


def test_unchanged_schemas_break_nothing() -> None:
    """The schemas are compatible with themselves."""
    assert broken_by(lambda found: found) == []


def test_a_type_renamed_in_the_source_breaks_nothing() -> None:
    """Names of types are not on the wire."""

    def rename_type(found: Schemas) -> None:
        ended = found["segue.run.ended.v1"]
        rename(ended["$defs"], "Failure", "Cause")
        ended["properties"]["error"]["$ref"] = "#/$defs/Cause"

    assert broken_by(rename_type) == []


def test_a_renamed_required_field_is_one_break() -> None:
    """The new name of a required field is not reported as a new demand too."""

    def rename_required(found: Schemas) -> None:
        rename(fields(found, "segue.ctl.cancel.v1"), "run", "runId")
        found["segue.ctl.cancel.v1"]["required"] = ["runId"]

    assert broken_by(rename_required) == [
        "segue.ctl.cancel.v1: field `run` was renamed to `runId`."
    ]


def test_two_removed_fields_do_not_share_one_new_name() -> None:
    """Each new field is the new name of one old field at most."""
    old = {"m": {"properties": {name: {"type": "string", "default": ""} for name in "ab"}}}
    new = {"m": {"properties": {"c": {"type": "string", "default": ""}}}}
    assert breaks(old, new) == ["m: field `a` was renamed to `c`.", "m: field `b` was removed."]


class Untyped(msgspec.Struct):
    """A message of anything."""

    items: list[Any]
    by_name: dict[str, Any]


class Typed(msgspec.Struct):
    """The same message, narrowed."""

    items: list[int]
    by_name: dict[str, int]


def test_narrowing_anything_to_a_type_is_a_break() -> None:
    """What could be anything before must still be accepted."""
    assert broken_between(Untyped, Typed) == [
        "m: field `items[]` changed from anything to integer.",
        "m: field `by_name` changed from object to a map.",
    ]


class Maybe(msgspec.Struct):
    """A message whose field has variants without tags."""

    value: int | str | None = None


class Never(msgspec.Struct):
    """The same message, with a variant less."""

    value: int | None = None


def test_variants_without_tags_are_told_apart_by_type() -> None:
    """A choice between plain types is compared type by type."""
    assert broken_between(Maybe, Maybe) == []
    assert broken_between(Maybe, Never) == ["m: field `value` lost the variant `string`."]


class Held(msgspec.Struct):
    """A message that may hold an object without a tag."""

    value: Typed | None = None


class Loosened(msgspec.Struct):
    """The same message, whose object is not typed any more."""

    value: Untyped | None = None


def test_an_object_without_a_tag_is_a_variant_by_its_form() -> None:
    """Its fields are compared like those of any other object."""
    assert broken_between(Held, Loosened) == [
        "m: field `value<object>.items[]` changed from integer to anything.",
        "m: field `value<object>.by_name` changed from a map to object.",
    ]


class Node(msgspec.Struct):
    """A message that holds its like."""

    value: int = 0
    children: list["Node"] = []


def test_a_type_that_holds_itself_is_compared_once() -> None:
    """Recursion in a schema ends."""
    parts = components([Node], "#/$defs/{name}")
    old: Schemas = {"m": {"$ref": "#/$defs/Node", "$defs": parts}}
    new = copy.deepcopy(old)
    new["m"]["$defs"]["Node"]["properties"]["value"]["type"] = "string"
    assert breaks(old, new) == ["m: field `value` changed from integer to string."]


def test_several_types_are_told_together() -> None:
    """A schema that lists types names them all."""
    old = {"m": {"type": ["string", "null"]}}
    assert breaks(old, {"m": {"type": "string"}}) == [
        "m: the message changed from string or null to string."
    ]


def test_a_schema_without_prose_keeps_fields_called_title_and_description() -> None:
    """Only annotations go; fields of the same name are promises."""
    bare = without_prose(schemas()["agents.list.result"])
    assert bare["$defs"]["AgentManifest"]["properties"]["description"] == {"type": "string"}
    assert "description" not in bare
