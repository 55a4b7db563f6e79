"""Which JSON Schema describes a definition to editors, dialects included?"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from segue_language.aliases import (
    CONFIG,
    CONNECTORS,
    FORWARD,
    IDENTIFIERS,
    KIND_FIELDS,
    LLM_FIELDS,
    NESTED_ALIASES,
    REPETITIONS,
    RETRY_ALIASES,
    RETRY_COUNTS,
    RETRY_MAPPINGS,
    STEP_ALIASES,
    TYPE_TO_KIND,
    WORKFLOW_ALIASES,
    WRAPPERS,
)
from segue_language.durations import format_duration
from segue_language.fields import DURATION_SCHEMA
from segue_language.models import BESIDE, COMPENSATIONS, KINDS, Workflow

Draft = Literal["2020-12", "draft-07"]
SCHEMA_DIALECTS: Final[Mapping[Draft, str]] = {
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft-07": "http://json-schema.org/draft-07/schema#",
}
SCHEMA_DIALECT: Final = SCHEMA_DIALECTS["2020-12"]
TITLE: Final = "Segue workflow definition"

_SHORT_FORMS: Final[dict[str, list[object]]] = {
    "forEach": [{"type": ["string", "array"]}],
    "wait": [{"type": ["string", "number"]}],
    "approval": [{"type": "string"}, {"const": True}],
}
"""What stands for a mapping's main field."""

_LISTED: Final = {"type": ["string", "array"], "items": {"type": "string"}}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NULL: Final = {"type": "null"}
_PARTS: Final = {"forEach": "ForEach", "timeouts": "Timeouts", "compensate": "Compensation"}

JsonObject = dict[str, object]


def definition_schema(draft: Draft = "2020-12") -> JsonObject:
    """Return the JSON Schema of a definition, in its canonical form or a dialect.

    Args:
        draft: The version of JSON Schema; some editors know only the older one.
    """
    whole = _tidied(Workflow.model_json_schema(by_alias=True, mode="validation"))
    models = _object(_object(whole).pop("$defs"))
    workflow = _object(whole)
    models["Workflow"] = workflow
    models["Duration"] = {**DURATION_SCHEMA}
    _open_workflow(workflow)
    _open_step(_object(models["Step"]))
    _open_repetition(models)
    schema = {"$schema": SCHEMA_DIALECTS[draft], "title": TITLE, **_root(), "$defs": models}
    return _object(_as_draft_07(schema)) if draft == "draft-07" else schema


def _root() -> JsonObject:
    """Accept a workflow, or one within a wrapper."""
    wrapped: list[object] = [{"required": [name]} for name in WRAPPERS]
    return {
        "if": {"type": "object", "anyOf": wrapped, "not": {"required": ["steps"]}},
        "then": {"properties": {name: _ref("Workflow") for name in WRAPPERS}},
        "else": _ref("Workflow"),
    }


def _ref(name: str, field: str = "") -> JsonObject:
    return {"$ref": f"#/$defs/{name}" + (f"/properties/{field}" if field else "")}


def _tidied(value: object) -> object:
    """Leave out what only repeats names, and the nulls that mean absence."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value == DURATION_SCHEMA:
        return _ref("Duration")
    tidy = {
        name: _fields(held) if name == "properties" else _tidied(held)
        for name, held in value.items()
        if name != "title"
    }
    choices = [choice for choice in _list(tidy.get("anyOf", [])) if choice != _NULL]
    if len(choices) == 1:
        del tidy["anyOf"]
        tidy = {**_object(choices[0]), **tidy}
    if "default" in tidy and tidy["default"] is None:
        del tidy["default"]
    return _separated(tidy)


def _fields(properties: object) -> JsonObject:
    """Tidy fields; `title` is a name among them."""
    return {name: _tidied(held) for name, held in _object(properties).items()}


def _separated(tidy: JsonObject) -> JsonObject:
    """Put a reference apart from what stands beside it, where older drafts would ignore that."""
    target = tidy.get("$ref")
    if target is None or len(tidy) == 1:
        return tidy
    rest = {name: held for name, held in tidy.items() if name != "$ref"}
    default = rest.get("default")
    if target == _ref("Duration")["$ref"] and isinstance(default, int):
        rest["default"] = format_duration(default)
    rest.pop("exclusiveMinimum", None)
    return {"allOf": [{"$ref": target}], **rest}


def _open_workflow(workflow: JsonObject) -> None:
    """Accept the dialects' names beside the canonical ones."""
    fields = _object(workflow["properties"])
    _accept_defaults(_object(fields["inputs"]))
    fields |= {alias: _ref("Workflow", name) for alias, name in WORKFLOW_ALIASES.items()}
    fields |= {alias: _ref("Workflow", "name") for alias in IDENTIFIERS}
    fields |= _repetition_fields()
    fields["parallel"] = {
        "type": "boolean",
        "description": "When false, each step follows the one before, unless it says otherwise.",
    }
    version = _object(fields["version"])
    version["type"] = ["string", "integer"]
    workflow["required"] = ["steps"]
    workflow["anyOf"] = _one_of_these(("name", *IDENTIFIERS))


def _repetition_fields() -> JsonObject:
    config = {"type": "object", "properties": dict.fromkeys(REPETITIONS, _COUNT)}
    return {
        **dict.fromkeys(RETRY_COUNTS, _COUNT),
        **dict.fromkeys(RETRY_MAPPINGS, _ref("Retry")),
        CONFIG: {**config, "additionalProperties": False},
    }


def _one_of_these(names: Iterable[str]) -> list[object]:
    return [{"required": [name]} for name in names]


def _open_step(step: JsonObject) -> None:
    fields = _object(step["properties"])
    for name, forms in _SHORT_FORMS.items():
        field = _object(fields[name])
        fields[name] = {"anyOf": [*forms, *_list(field.pop("allOf"))], **field}
    _object(fields["dependsOn"]).update(_LISTED)
    fields |= {alias: _ref("Step", name) for alias, name in STEP_ALIASES.items()}
    fields |= {
        alias: _ref("LlmCall", name) for alias, name in LLM_FIELDS.items() if alias not in fields
    }
    fields |= _repetition_fields()
    following = {**_LISTED, "description": "The steps that follow."}
    types = {"enum": [*TYPE_TO_KIND], "description": "What the step does, in words of others."}
    fields |= dict.fromkeys(FORWARD, following) | dict.fromkeys(KIND_FIELDS, types)
    keys = ["key", *(alias for alias, name in STEP_ALIASES.items() if name == "key")]
    kinds = [*KINDS, *_aliases_of("agent"), *KIND_FIELDS]
    del step["required"]
    step["allOf"] = [
        {"anyOf": _one_of_these(keys)},
        {"anyOf": _one_of_these(kinds)},
        *_rules(KINDS),
        *_type_rules(),
    ]


def _aliases_of(name: str) -> list[str]:
    return [alias for alias, canonical in STEP_ALIASES.items() if canonical == name]


def _rules(kinds: tuple[str, ...]) -> list[object]:
    """Say for each kind what cannot stand beside it: one field after the other is named then."""
    return [
        {
            "if": {"anyOf": _one_of_these([kind, *_aliases_of(kind)])},
            "then": {"properties": dict.fromkeys(_foreign(kind, kinds), False)},
        }
        for kind in kinds
    ]


def _foreign(kind: str, kinds: tuple[str, ...]) -> list[str]:
    others = [other for other in kinds if other != kind]
    aliases = [alias for other in others for alias in _aliases_of(other)]
    beside = [field for field, allowed in BESIDE.items() if kind not in allowed]
    model = ["prompt", "system"] if kind in KINDS and kinds is KINDS else []
    return [*others, *aliases, *beside, *model]


def _type_rules() -> list[object]:
    """Say what a step of a type needs beside it."""
    needs = {connector: ["action"] for connector in CONNECTORS}
    needs |= {kind: [kind] for kind in KINDS if kind not in ("llm", "agent")}
    return [
        {
            "if": {"properties": {field: {"const": value}}, "required": [field]},
            "then": {"required": names},
        }
        for field in KIND_FIELDS
        for value, names in needs.items()
    ]


def _open_repetition(models: JsonObject) -> None:
    """Accept the dialects' names in parts of a step."""
    retry = _object(_object(models["Retry"])["properties"])
    retry |= {alias: _ref("Retry", name) for alias, name in RETRY_ALIASES.items()}
    retry |= dict.fromkeys(REPETITIONS, _COUNT)
    for field, aliases in NESTED_ALIASES.items():
        part = _object(models[_PARTS[field]])
        fields = _object(part["properties"])
        fields |= {alias: _ref(_PARTS[field], name) for alias, name in aliases.items()}
    undo = _object(models["Compensation"])
    fields = _object(undo["properties"])
    fields |= _repetition_fields()
    undo["allOf"] = [
        {"anyOf": _one_of_these([*COMPENSATIONS, *_aliases_of("agent")])},
        *_rules(COMPENSATIONS),
    ]


def _accept_defaults(inputs: JsonObject) -> None:
    """Let an input be a bare default beside a declaration."""
    for declared in _object(inputs.pop("patternProperties")).values():
        inputs["additionalProperties"] = {"anyOf": [declared, {"description": "The default."}]}


def _as_draft_07(value: object) -> object:
    """Rename what the older draft calls otherwise."""
    if isinstance(value, list):
        return [_as_draft_07(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {
        "definitions" if name == "$defs" else name: _as_draft_07(held)
        for name, held in value.items()
    }
    target = renamed.get("$ref")
    if isinstance(target, str):
        renamed["$ref"] = target.replace("#/$defs/", "#/definitions/")
    return renamed


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("the schema has another form than expected")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("the schema has another form than expected")
    return value
