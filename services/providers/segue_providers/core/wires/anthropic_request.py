"""Claude's requests: how is a request written for the Messages API?"""

from typing import Final

import msgspec
from msgspec import UNSET

from segue_contracts.v1.chat import ChatRequest, Tool
from segue_providers.core.wires.anthropic_messages import conversation
from segue_providers.core.wires.anthropic_models import (
    DEFAULT_MAX_TOKENS,
    VENDOR,
    adaptive,
    budgeted,
    switches_off,
    takes_effort,
)
from segue_providers.core.wires.anthropic_schema import Json, OpenSchemaError, enforceable
from segue_providers.core.wires.omissions import Omissions

_OURS: Final = frozenset({"model", "messages", "stream"})
_BETAS: Final = "betas"
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_BUDGETS: Final = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
_LEAST_BUDGET: Final = 1_024
_TIERS: Final = frozenset({"auto", "standard_only"})
_COUNTED: Final = frozenset(
    {"messages", "model", "system", "thinking", "tool_choice", "tools", "output_config"}
)
_FREE_TEXT: Final[Json] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """A request as Claude takes it."""

    body: Json
    """The body to send."""
    warnings: tuple[str, ...] = ()
    """What was left out of it."""
    headers: dict[str, str] = {}
    """Headers beside the usual ones."""
    custom: frozenset[str] = frozenset()
    """Names of tools that take free text, which Claude wraps in JSON."""


def translated(request: ChatRequest, *, max_output: int = 0) -> Translated:
    """Write a request for the Messages API.

    Args:
        request: What is asked.
        max_output: The model's limit of output tokens; 0 when unknown.

    Raises:
        UnsupportedError: It asks for what Claude lacks, and wants to be refused then; or it holds
            what nobody can leave out, such as a picture that cannot be sent.
    """
    omissions = Omissions(request.on_unsupported)
    limit = _limit(request, max_output)
    tools = _tools(request, omissions)
    form, words = _format(request, omissions)
    system, messages = conversation(request, words, omissions)
    options = request.provider_options.get(VENDOR, {})
    body = given(
        model=request.model,
        max_tokens=limit,
        system=system,
        tools=tools,
        tool_choice=_choice(request),
        thinking=_thinking(request, limit, omissions),
        output_config=given(format=form, effort=_effort(request, omissions)),
        stop_sequences=_stops(request, omissions),
        service_tier=_tier(request, omissions),
        metadata=given(user_id=request.metadata.get("user_id")),
        stream=request.stream.on or None,
    )
    _leave_out_the_rest(request, omissions)
    return Translated(
        body={**body, "messages": messages, **_passed_on(options, omissions)},
        warnings=omissions.warnings,
        headers=_headers(options),
        custom=frozenset(tool.name for tool in request.tools if tool.kind == "custom"),
    )


def countable(body: Json) -> Json:
    """Return the part of a body that counting tokens takes."""
    return {name: value for name, value in body.items() if name in _COUNTED}


def given(**options: object) -> Json:
    """Return the options that are there: not unset, not empty."""
    return {
        name: value for name, value in options.items() if value not in (UNSET, None, "", [], {})
    }


def _limit(request: ChatRequest, max_output: int) -> int:
    asked = request.output.max_tokens
    return (max_output or DEFAULT_MAX_TOKENS) if asked is UNSET else asked


def _stops(request: ChatRequest, omissions: Omissions) -> list[str]:
    """Return the texts to stop at; Claude takes none of mere white space."""
    for text in request.output.stop:
        if not text.strip():
            omissions.leave_out("A stop text of white space is not known to Claude")
    return [text for text in request.output.stop if text.strip()]


def _tier(request: ChatRequest, omissions: Omissions) -> str:
    if request.service_tier and request.service_tier not in _TIERS:
        omissions.leave_out(f"Claude has no service tier `{request.service_tier}`")
        return ""
    return request.service_tier


def _leave_out_the_rest(request: ChatRequest, omissions: Omissions) -> None:
    """Tell of the options for which Claude has nothing at all."""
    for name in request.sampling.__struct_fields__:
        if getattr(request.sampling, name) is not UNSET:
            omissions.leave_out(f"`sampling.{name}` is not known to Claude")
    if set(request.output.modalities) - {"text"}:
        omissions.leave_out("Claude answers in text only, so `output.modalities` is not known")
    if request.output.verbosity:
        omissions.leave_out("`output.verbosity` is not known to Claude")
    if any(message.name for message in request.messages):
        omissions.leave_out("The `name` of a message is not known to Claude")


def _passed_on(options: Json, omissions: Omissions) -> Json:
    for name in sorted(_OURS & options.keys()):
        omissions.leave_out(f"Provider option `{name}` is the router's")
    return {name: value for name, value in options.items() if name not in {*_OURS, _BETAS}}


def _headers(options: Json) -> dict[str, str]:
    betas = options.get(_BETAS)
    return {"anthropic-beta": ",".join(map(str, betas))} if isinstance(betas, list) else {}


# Tools.


def _tools(request: ChatRequest, omissions: Omissions) -> list[Json]:
    wanted = request.tools
    choice = request.tool_choice
    if choice.mode == "tool" and len(choice.names) > 1:
        wanted = [tool for tool in wanted if tool.name in choice.names]
    return [one for tool in wanted if (one := _tool(tool, omissions))]


def _tool(tool: Tool, omissions: Omissions) -> Json:
    match tool.kind:
        case "server":
            return _server_tool(tool, omissions)
        case "custom":
            schema = _FREE_TEXT
        case _:
            schema = {"type": "object", **(tool.parameters or {"properties": {}})}
    strict: Json = {}
    if tool.strict and tool.kind == "function":
        try:
            schema = enforceable(schema)
            strict = {"strict": True}
        except OpenSchemaError as error:
            omissions.leave_out(f"The schema of tool `{tool.name}` cannot be enforced: {error}")
    return {**given(name=tool.name, description=tool.description), "input_schema": schema, **strict}


def _server_tool(tool: Tool, omissions: Omissions) -> Json:
    options = {name: value for name, value in tool.server.items() if name != "vendor"}
    if tool.server.get("vendor", VENDOR) != VENDOR or "type" not in options:
        omissions.leave_out(f"Tool `{tool.name}` is run by another provider, or has no `type`")
        return {}
    return {"name": tool.name, **options}


def _choice(request: ChatRequest) -> Json:
    """Return the choice of tools; the usual one is not worth a word."""
    choice = request.tool_choice
    if not request.tools:
        return {}
    alone: Json = {} if choice.parallel else {"disable_parallel_tool_use": True}
    match choice.mode:
        case "none":
            return {"type": "none"}
        case "tool" if len(choice.names) == 1:
            return {"type": "tool", "name": choice.names[0], **alone}
        case "any" | "tool":
            return {"type": "any", **alone}
        case _:
            return {"type": "auto", **alone} if alone else {}


# The form of the answer.


def _format(request: ChatRequest, omissions: Omissions) -> tuple[Json, str]:
    """Return the form to enforce, and the form to ask for in words where none can be enforced."""
    wanted = request.output.format
    match wanted.type:
        case "json":
            return {}, "Answer with one JSON value and nothing else."
        case "json_schema":
            try:
                return {"type": "json_schema", "schema": enforceable(wanted.json_schema)}, ""
            except OpenSchemaError as error:
                if wanted.strict:
                    omissions.leave_out(f"The answer's schema cannot be enforced: {error}")
                text = msgspec.json.encode(wanted.json_schema).decode()
                return {}, f"Answer with JSON alone, valid under this JSON Schema:\n{text}"
        case "grammar":
            omissions.leave_out("Claude knows no grammars, so `output.format` is not enforced")
    return {}, ""


# Reasoning.


def _effort(request: ChatRequest, omissions: Omissions) -> str:
    """Return the effort; models that know none get a budget instead."""
    effort = request.reasoning.effort
    if effort and effort not in _EFFORTS:
        omissions.leave_out(f"Claude knows no effort `{effort}`, only {', '.join(_EFFORTS)}")
        return ""
    return effort if takes_effort(request.model) else ""


def _thinking(request: ChatRequest, limit: int, omissions: Omissions) -> Json:
    asked, model = request.reasoning, request.model
    if asked.mode == "off":
        if switches_off(model):
            return {"type": "disabled"}
        omissions.leave_out(f"Model `{model}` cannot be told not to reason")
        return {}
    if not _wants_thinking(request):
        return {}
    if request.tools and request.tool_choice.mode in {"any", "tool"}:
        omissions.leave_out("Claude cannot be asked to reason while it is made to call a tool")
        return {}
    display: Json = {"display": "omitted" if asked.display == "omitted" else "summarized"}
    if asked.budget_tokens is UNSET and adaptive(model):
        return {"type": "adaptive", **display}
    return _budgeted(request, limit, display, omissions)


def _wants_thinking(request: ChatRequest) -> bool:
    asked = request.reasoning
    by_effort = bool(asked.effort) and not takes_effort(request.model)
    return (
        asked.mode == "on"
        or asked.budget_tokens is not UNSET
        or asked.display != "omitted"
        or by_effort
    )


def _budgeted(request: ChatRequest, limit: int, display: Json, omissions: Omissions) -> Json:
    asked = request.reasoning
    if not budgeted(request.model):
        omissions.leave_out(
            f"Model `{request.model}` takes no budget for reasoning, only an effort"
        )
        return {"type": "adaptive", **display}
    wanted = asked.budget_tokens
    if wanted is UNSET:
        wanted = _BUDGETS.get(asked.effort, _BUDGETS["medium"])
    budget = min(wanted, limit - 1)
    if budget < _LEAST_BUDGET:
        omissions.leave_out(f"Claude reasons with no less than {_LEAST_BUDGET} tokens")
        return {}
    return {"type": "enabled", "budget_tokens": budget, **display}
