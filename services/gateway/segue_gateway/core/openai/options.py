"""Options: what do both of OpenAI's chat interfaces let a caller choose in the same way?"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from segue_contracts.v1.chat import (
    OutputFormat,
    ReasoningOptions,
    Sampling,
    StreamOptions,
    Tool,
    ToolChoice,
)
from segue_gateway.core.openai.faults import invalid, unsupported
from segue_gateway.core.openai.reading import Loose, converted

CREDIT: Final = 64
"""Deltas that may be on their way to a client that does not read."""

Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1)]

_MODES: Final = {"none": "none", "auto": "auto", "required": "any"}


class Function(Loose, frozen=True, kw_only=True):
    """A tool's description."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None


class Schema(Loose, frozen=True, kw_only=True):
    """The form of an answer."""

    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Chosen(msgspec.Struct, frozen=True):
    """The tools of a request, and which of them may or must be called."""

    tools: list[Tool]
    choice: ToolChoice


def tools_of(tools: Sequence[Mapping[str, Any]] | None, *, nested: bool) -> list[Tool]:
    """Return the tools a model may call.

    Args:
        tools: As they are in the body.
        nested: Whether a tool is described in a field called like its type.

    Raises:
        FaultError: One has another form, or would be run by the provider.
    """
    return [
        _tool(tool, nested=nested, at=f"tools[{index}]") for index, tool in enumerate(tools or ())
    ]


def _tool(tool: Mapping[str, Any], *, nested: bool, at: str) -> Tool:
    kind = tool.get("type")
    if kind not in {"function", "custom"}:
        raise unsupported(f"{at}.type", "only function and custom tools can be offered here")
    told = converted(
        tool.get(kind) if nested else tool, Function, at=f"{at}.{kind}" if nested else at
    )
    if told.format is not None and told.format.get("type") not in {None, "text"}:
        raise unsupported(f"{at}.format", "a custom tool takes free text here")
    return Tool(
        name=told.name,
        description=told.description or "",
        parameters=told.parameters or {},
        kind="custom" if kind == "custom" else "function",
        strict=bool(told.strict),
    )


def chosen(
    tools: list[Tool], choice: str | Mapping[str, Any] | None, *, parallel: bool | None
) -> Chosen:
    """Return which tools are offered and which of them must be called.

    Raises:
        FaultError: The choice has another form, or names a tool that is not offered.
    """
    several = parallel is not False
    if choice is None or isinstance(choice, str):
        mode = _MODES.get(choice or "auto")
        if mode is None:
            way_out = f"'{choice}' is no choice; say none, auto, required, or name a tool"
            raise invalid(way_out, param="tool_choice", code="invalid_value")
        plain = converted({"mode": mode, "parallel": several}, ToolChoice, at="tool_choice")
        return Chosen(tools, plain)
    names, must = _named(choice)
    known = {tool.name for tool in tools}
    for name in names:
        if name not in known:
            message = f"tool '{name}' is not among the tools"
            raise invalid(message, param="tool_choice", code="invalid_value")
    if must:
        return Chosen(tools, ToolChoice(mode="tool", names=names, parallel=several))
    offered = [tool for tool in tools if tool.name in names]
    return Chosen(offered, ToolChoice(parallel=several))


def _named(choice: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the tools that a choice names, and whether one of them must be called."""
    kind = choice.get("type")
    if kind in {"function", "custom"}:
        return [_name(choice, "tool_choice")], True
    if kind != "allowed_tools":
        raise unsupported("tool_choice.type", "choose a function, a custom tool or allowed_tools")
    allowed = choice.get("allowed_tools", choice)
    listed = converted(allowed.get("tools"), list[dict[str, Any]], at="tool_choice.tools")
    names = [_name(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(listed)]
    return names, allowed.get("mode") == "required"


def _name(tool: Mapping[str, Any], at: str) -> str:
    inner = tool.get(str(tool.get("type")), tool)
    return converted(inner, Function, at=at).name


def format_of(kind: str, schema: Schema | None, *, param: str) -> OutputFormat:
    """Return the form of the answer.

    Raises:
        FaultError: There is no such form, or its schema is missing.
    """
    match kind:
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat(type="json")
        case "json_schema" if schema is not None and schema.schema is not None:
            return OutputFormat(
                type="json_schema",
                name=schema.name,
                json_schema=schema.schema,
                strict=bool(schema.strict),
            )
        case "json_schema":
            raise invalid("give the JSON Schema", param=param, code="missing_required_parameter")
        case _:
            raise unsupported(f"{param}.type", "say text, json_object or json_schema")


def reasoning_of(effort: str | None, *, shown: bool) -> ReasoningOptions:
    """Return how much shall be reasoned."""
    display: Literal["summary", "omitted"] = "summary" if shown else "omitted"
    if effort == "none":
        return ReasoningOptions(mode="off")
    if not effort:
        return ReasoningOptions(display=display)
    return ReasoningOptions(mode="on", effort=effort, display=display)


def stream_of(inbox: str, *, reasoning: bool) -> StreamOptions:
    """Return how an answer is streamed to a subject; empty for not at all."""
    if not inbox:
        return StreamOptions()
    return StreamOptions(
        on=True,
        include=["reasoning", "tool_args"] if reasoning else ["tool_args"],
        on_break="fail",
        to=inbox,
        credit=CREDIT,
    )


def labels_of(metadata: Mapping[str, str] | None, user: str | None) -> dict[str, str]:
    """Return the labels that go along; the end user has the name that providers know."""
    return {**(metadata or {}), **({"user_id": user} if user else {})}


def sampling_of(**given: float | None) -> Sampling:
    """Return how tokens are drawn, from what is there."""
    return Sampling(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # names and types are those of the callers' fields


def given(value: int | None) -> int | UnsetType:
    """Return a number, or that there is none."""
    return UNSET if value is None else value
