"""Gemini requests: what is asked of Gemini, in its own words?"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET

from segue_contracts.v1.chat import ChatRequest, ReasoningOptions, Tool, ToolChoice
from segue_providers.core.wires.gemini_contents import VENDOR, Json, contents_of, system_of
from segue_providers.core.wires.omissions import Omissions

_LEVELS: Final = {"none": "MINIMAL", "max": "XHIGH"}
"""Efforts that other providers name, and Gemini does not."""
_KNOWN_LEVELS: Final = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"})
_TIERS: Final = {"default": "standard", "standard_only": "standard"}
_KNOWN_TIERS: Final = frozenset({"standard", "flex", "priority"})
_COUNTED: Final = ("systemInstruction", "tools")
"""What of the configuration is input."""
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request as Gemini takes it, in the JSON of its interface."""

    contents: list[Json]
    """The conversation."""
    config: Json
    """All the rest."""
    extra: Json
    """Options of the provider's own, passed on as they are."""
    warnings: tuple[str, ...] = ()
    """What was left out."""


def translate(request: ChatRequest) -> Wanted:
    """Write a request in Gemini's words.

    Raises:
        UnsupportedError: Gemini cannot do what is asked, and the request wants all or nothing.
    """
    omissions = Omissions(request.on_unsupported)
    system = system_of(request.messages, omissions)
    config: Json = {
        **({"systemInstruction": {"parts": system}} if system else {}),
        **_sampling(request),
        **_output(request, omissions),
        **_reasoning(request.reasoning, omissions),
        **_tools(request, omissions),
        **_service(request, omissions),
    }
    return Wanted(
        contents=contents_of(request.messages, omissions, model=request.model),
        config=config,
        extra=dict(request.provider_options.get(VENDOR, {})),
        warnings=omissions.warnings,
    )


def counted(request: ChatRequest) -> Json:
    """Return the body by which Gemini counts the input of a whole request, not of its turns alone.

    The interface takes either turns or a request; the vendor's library always sends turns, which
    an empty list takes back.
    """
    wanted = translate(request)
    beside: Json = {name: wanted.config[name] for name in _COUNTED if name in wanted.config}
    whole: Json = {"model": _path(request.model), "contents": wanted.contents, **beside}
    return {"contents": [], "generateContentRequest": whole}


def _path(model: str) -> str:
    return model if "/" in model else f"models/{model}"


def _given(**options: object) -> Json:
    """Return the options that are there: not unset, not empty."""
    return {name: value for name, value in options.items() if value not in (UNSET, "", [], {})}


def _sampling(request: ChatRequest) -> Json:
    wanted = request.sampling
    return _given(
        temperature=wanted.temperature,
        topP=wanted.top_p,
        topK=wanted.top_k,
        seed=wanted.seed,
        presencePenalty=wanted.presence_penalty,
        frequencyPenalty=wanted.frequency_penalty,
    )


def _output(request: ChatRequest, omissions: Omissions) -> Json:
    wanted = request.output
    if wanted.verbosity:
        omissions.leave_out("Gemini knows no `output.verbosity`")
    return {
        **_given(
            maxOutputTokens=wanted.max_tokens,
            stopSequences=wanted.stop,
            responseModalities=[name.upper() for name in wanted.modalities],
        ),
        **_format(request, omissions),
    }


def _format(request: ChatRequest, omissions: Omissions) -> Json:
    wanted = request.output.format
    match wanted.type:
        case "json":
            return {"responseMimeType": "application/json"}
        case "json_schema":
            return {
                "responseMimeType": "application/json",
                "responseJsonSchema": wanted.json_schema,
            }
        case "grammar":
            omissions.leave_out("Gemini knows no `output.format` of type `grammar`")
    return {}


def _reasoning(wanted: ReasoningOptions, omissions: Omissions) -> Json:
    options: Json = {**_effort(wanted, omissions), **_shown(wanted)}
    return {"thinkingConfig": options} if options else {}


def _shown(wanted: ReasoningOptions) -> Json:
    return {"includeThoughts": True} if wanted.display != "omitted" else {}


def _effort(wanted: ReasoningOptions, omissions: Omissions) -> Json:
    """Return how hard the model shall think; Gemini takes a budget or a level, never both."""
    if wanted.mode == "off":
        return {"thinkingBudget": 0}
    if wanted.budget_tokens is not UNSET:
        if wanted.effort:
            omissions.leave_out("Gemini takes `reasoning.effort` only without `budget_tokens`")
        return {"thinkingBudget": wanted.budget_tokens}
    if not wanted.effort:
        return {"thinkingBudget": -1} if wanted.mode == "on" else {}
    level = _LEVELS.get(wanted.effort.lower(), wanted.effort.upper())
    if level not in _KNOWN_LEVELS:
        omissions.leave_out(f"Gemini knows no `reasoning.effort` {wanted.effort!r}")
        return {}
    return {"thinkingLevel": level}


def _tools(request: ChatRequest, omissions: Omissions) -> Json:
    declared = [_declared(tool) for tool in request.tools if tool.kind == "function"]
    entries: list[Json] = [{"functionDeclarations": declared}] if declared else []
    for tool in request.tools:
        if tool.kind == "server":
            entries.append({_camel(tool.name): tool.server})
        elif tool.kind == "custom":
            omissions.leave_out(f"Gemini has no tools that take free text, such as `{tool.name}`")
    if not entries:
        return {}
    if not request.tool_choice.parallel:
        omissions.leave_out("Gemini cannot be kept to one call at a time")
    mode = _mode(request.tool_choice, request.tools) if declared else {}
    return {
        "tools": entries,
        **({"toolConfig": {"functionCallingConfig": mode}} if mode else {}),
    }


def _declared(tool: Tool) -> Json:
    schema = {"parametersJsonSchema": tool.parameters} if tool.parameters else {}
    return {"name": tool.name, "description": tool.description, **schema}


def _mode(choice: ToolChoice, tools: Iterable[Tool]) -> Json:
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "any":
            return {"mode": "ANY"}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": choice.names}
    return {"mode": "VALIDATED"} if any(tool.strict for tool in tools) else {}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def _service(request: ChatRequest, omissions: Omissions) -> Json:
    tier = _TIERS.get(request.service_tier, request.service_tier)
    if tier not in _KNOWN_TIERS | {"", "auto"}:
        omissions.leave_out(f"Gemini knows no service tier {tier!r}")
    return _given(serviceTier=tier if tier in _KNOWN_TIERS else "", labels=_labels(request))


def _labels(request: ChatRequest) -> dict[str, str]:
    """Return the labels that Gemini would not refuse; they change nothing in an answer."""
    return {
        name: value
        for name, value in request.metadata.items()
        if _LABEL.fullmatch(name) and _LABEL_VALUE.fullmatch(value)
    }
