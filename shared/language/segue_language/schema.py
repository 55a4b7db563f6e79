"""Which JSON Schema describes a definition to editors?"""

from typing import Final

from segue_language.models import KINDS, Workflow

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

JsonObject = dict[str, object]


def definition_schema() -> JsonObject:
    """Return the JSON Schema 2020-12 of the canonical form; dialects are not in it."""
    schema: JsonObject = Workflow.model_json_schema(by_alias=True, mode="validation")
    definitions = _object(schema["$defs"])
    step = _object(definitions["Step"])
    step["oneOf"] = [{"required": [kind]} for kind in KINDS]
    inputs = _object(_object(schema["properties"])["inputs"])
    inputs["additionalProperties"] = {
        "anyOf": [inputs["additionalProperties"], {"description": "The default."}]
    }
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "Segue workflow definition"}


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("the schema has another form than expected")
    return value
