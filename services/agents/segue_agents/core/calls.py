"""Calls of tools: what did the model ask for, and can it be done?"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from segue_contracts.v1.chat import Tool, ToolCall, ToolResult


class ToolArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the arguments of a tool; unknown ones are refused, so that the model learns."""


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model sees it."""

    name: str
    """Its name."""
    description: str
    """What it does, for the model."""
    args: type[ToolArgs]
    """What it takes."""

    def offer(self) -> Tool:
        """Return the tool as a request describes it."""
        return Tool(name=self.name, description=self.description, parameters=_parameters(self.args))


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """A call that can be done."""

    id: str
    """The call's id."""
    name: str
    """The tool."""
    args: ToolArgs
    """Its checked arguments."""


_DIALECT: Final = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}


def _parameters(args: type[ToolArgs]) -> dict[str, Any]:
    """Return the JSON Schema of the arguments, flat, as providers want it."""
    _, components = msgspec.json.schema_components([args])
    [schema] = [part for name, part in components.items() if name == args.__name__]
    return {key: schema.get(key, default) for key, default in _DIALECT.items()}


def read_call(call: ToolCall, specs: Mapping[str, ToolSpec]) -> Invocation | ToolResult:
    """Check a call against the tools there are; an error result tells the model what to mend."""
    spec = specs.get(call.name)
    if spec is None:
        known = ", ".join(sorted(specs)) or "none"
        return failed_call(call, f"there is no tool {call.name!r}; the tools are: {known}")
    try:
        args = msgspec.json.decode(call.args_json or "{}", type=spec.args)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return failed_call(call, f"the arguments of {call.name!r} do not fit: {error}")
    return Invocation(id=call.id, name=call.name, args=args)


def failed_call(call: ToolCall | Invocation, message: str) -> ToolResult:
    """Return the result that says why a call failed."""
    content = msgspec.json.encode({"tool": call.name, "error": message}).decode()
    return ToolResult(tool_call_id=call.id, name=call.name, content=content, is_error=True)
