"""The conversation: what was the stand-in asked, offered and told?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from segue_providers.core.extract import Material, mappings, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which of the offered tools to call, and which cannot be called."""

    calls: tuple[ToolCall, ...]
    skipped: tuple[str, ...]
    """One sentence for each tool that cannot be called."""


def asked(request: ChatRequest) -> tuple[Material, ...]:
    """Return what the user said, newest message first."""
    texts = ["\n".join(_texts(one)) for one in request.messages if one.role == "user"]
    return tuple(read(text) for text in reversed(texts) if text.strip())


def results(request: ChatRequest) -> list[ToolResult]:
    """Return what tools answered, in order."""
    return [part for part in _parts(request.messages) if isinstance(part, ToolResult)]


def unread_media(request: ChatRequest) -> int:
    """Count the images, sounds and documents, which the stand-in cannot read."""
    return sum(isinstance(part, Media) for part in _parts(request.messages))


def plan(request: ChatRequest, material: Sequence[Material]) -> Plan:
    """Decide which offered tools to call now, with arguments from the user's own data.

    Args:
        request: The conversation and the tools it offers.
        material: What the user said.
    """
    ids = [part.id for part in _parts(request.messages) if isinstance(part, ToolCall)]
    calls: list[ToolCall] = []
    skipped: list[str] = []
    for tool in _open_tools(request):
        arguments, missing = _arguments(tool, material)
        if missing:
            skipped.append(_why_skipped(tool, missing))
            continue
        number = len(ids) + len(calls) + 1
        args = msgspec.json.encode(arguments).decode()
        calls.append(ToolCall(id=f"offline-{number}", name=tool.name, args_json=args))
    once = calls if request.tool_choice.parallel else calls[:1]
    return Plan(calls=tuple(once), skipped=tuple(skipped))


def _parts(messages: Sequence[ChatMessage]) -> Iterator[Part]:
    for message in messages:
        yield from message.parts


def _texts(message: ChatMessage) -> Iterator[str]:
    return (part.text for part in message.parts if isinstance(part, Text))


def _open_tools(request: ChatRequest) -> list[Tool]:
    """Return the tools that may be called and have been neither called nor answered yet."""
    choice = request.tool_choice
    if choice.mode == "none":
        return []
    parts = list(_parts(request.messages))
    used = {part.name for part in parts if isinstance(part, ToolCall | ToolResult)}
    named = set(choice.names) if choice.mode == "tool" and choice.names else None
    return [
        tool
        for tool in request.tools
        if tool.kind != "server" and tool.name not in used and (named is None or tool.name in named)
    ]


def _arguments(tool: Tool, material: Sequence[Material]) -> tuple[dict[str, object], list[str]]:
    """Fill a tool's required parameters by name; return them and the names left empty."""
    declared = tool.parameters.get("properties")
    properties = declared if isinstance(declared, dict) else {}
    required = tool.parameters.get("required")
    filled: dict[str, object] = {}
    missing: list[str] = []
    for name in map(str, required if isinstance(required, list) else []):
        schema = properties.get(name)
        found = _find(name, schema if isinstance(schema, dict) else {}, material)
        if isinstance(found, _Nothing):
            missing.append(name)
        else:
            filled[name] = found
    return filled, missing


class _Nothing:
    """No value at all, not even null."""


def _find(name: str, schema: Mapping[str, object], material: Sequence[Material]) -> object:
    for one in material:
        for value in one.values:
            for found in mappings(value):
                if name in found and fits(found[name], schema):
                    return found[name]
    return schema.get("const", schema.get("default", _Nothing()))


def _why_skipped(tool: Tool, missing: Sequence[str]) -> str:
    names = ", ".join(f"`{name}`" for name in missing)
    return f"`{tool.name}` was not called: the input holds no value for {names}."


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def fits(value: object, schema: Mapping[str, object]) -> bool:
    """Tell whether a value has a schema's type and is one of its `enum` or `const`."""
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    kinds = schema.get("type", [])
    wanted = [kinds] if isinstance(kinds, str) else kinds
    return not isinstance(wanted, list) or not wanted or any(_is_a(value, k) for k in wanted)


def _is_a(value: object, kind: object) -> bool:
    python = _KINDS.get(str(kind), object)
    # A Python bool is an int, a JSON boolean is no number.
    return isinstance(value, python) and not (
        isinstance(value, bool) and kind in {"integer", "number"}
    )
