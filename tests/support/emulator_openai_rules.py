"""The emulator's rules of OpenAI: what do both interfaces refuse, in which words?"""

import re
from collections.abc import Iterator
from typing import Any, Final

_REASONING: Final = re.compile(r"o\d|gpt-[5-9](?!.*-chat)")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def reasons(body: dict[str, Any]) -> bool:
    """Tell whether the model asked reasons."""
    return _REASONING.match(str(body.get("model", ""))) is not None


def unknown(body: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    """Refuse parameters that do not exist."""
    yield from (f"Unknown parameter: '{name}'." for name in body if name not in known)


def shared(body: dict[str, Any], effort: Any) -> Iterator[str]:
    """Refuse what both interfaces refuse."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "you must provide a model parameter"
    if effort is not None and not reasons(body):
        yield "Unsupported parameter: 'reasoning.effort' is not supported with this model."
    if effort not in {None, *_EFFORTS}:
        yield f"Invalid value: '{effort}'. Supported values are: {', '.join(_EFFORTS)}."
    if reasons(body) and effort != "none":
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
            if name in body:
                yield f"Unsupported parameter: '{name}' is not supported with this model."
    if "tool_choice" in body and not body.get("tools"):
        yield "'tool_choice' is only allowed when 'tools' are specified."
    if "parallel_tool_calls" in body and not body.get("tools"):
        yield "'parallel_tool_calls' is only allowed when 'tools' are specified."
    if "stream_options" in body and not body.get("stream"):
        yield "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    yield from _labelled(body.get("metadata") or {})


def _labelled(labels: dict[str, str]) -> Iterator[str]:
    if len(labels) > 16:
        yield "Invalid 'metadata': too many properties. Expected at most 16."
    if any(len(name) > 64 or len(value) > 512 for name, value in labels.items()):
        yield "Invalid 'metadata': string too long."


def function(told: dict[str, Any], place: str) -> Iterator[str]:
    """Refuse a tool that cannot be one."""
    if not _TOOL_NAME.fullmatch(str(told.get("name", ""))):
        yield f"Invalid '{place}.name': string does not match pattern."
    schema = told.get("parameters")
    if schema is not None and schema.get("type") != "object":
        yield f"Invalid schema for function '{told['name']}': schema must have type 'object'."
    if told.get("strict"):
        yield from closed(schema, f"function '{told['name']}'")


def named_schema(told: dict[str, Any]) -> Iterator[str]:
    """Refuse a form of answer that cannot be enforced."""
    if not _TOOL_NAME.fullmatch(str(told.get("name", ""))):
        yield "Missing required parameter: 'text.format.name'."
    if not isinstance(told.get("schema"), dict):
        yield "Missing required parameter: 'schema'."
    elif told.get("strict"):
        yield from closed(told["schema"], f"response_format '{told['name']}'")


def closed(schema: Any, what: str) -> Iterator[str]:
    """Refuse a strict schema with an object that is open, or that has optional fields."""
    if isinstance(schema, list):
        for one in schema:
            yield from closed(one, what)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield f"Invalid schema for {what}: 'additionalProperties' must be false."
        if set(schema.get("properties") or {}) != set(schema.get("required") or ()):
            yield f"Invalid schema for {what}: 'required' must name every key in properties."
    for inner in schema.values():
        yield from closed(inner, what)
