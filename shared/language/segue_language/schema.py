"""Which JSON Schema describes a definition to editors?"""

from typing import Final

from segue_language.models import KINDS, Workflow

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_SHORT_FORMS: Final = {
    "forEach": ["string", "array"],
    "wait": ["string", "number"],
    "approval": ["string", "boolean"],
}
"""Types that stand for a mapping's main field."""

JsonObject = dict[str, object]


def definition_schema() -> JsonObject:
    """Return the JSON Schema 2020-12 of the canonical form; dialects are not in it."""
    schema: JsonObject = Workflow.model_json_schema(by_alias=True, mode="validation")
    step = _object(_object(schema["$defs"])["Step"])
    step["oneOf"] = [{"required": [kind]} for kind in KINDS]
    fields = _object(step["properties"])
    for name, types in _SHORT_FORMS.items():
        field = _object(fields[name])
        field["anyOf"] = [{"type": types}, *_list(field["anyOf"])]
    _accept_defaults(_object(_object(schema["properties"])["inputs"]))
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "Segue workflow definition"}


def _accept_defaults(inputs: JsonObject) -> None:
    """Let an input be a bare default beside a declaration."""
    for declared in _object(inputs.pop("patternProperties")).values():
        inputs["additionalProperties"] = {"anyOf": [declared, {"description": "The default."}]}


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("the schema has another form than expected")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("the schema has another form than expected")
    return value
