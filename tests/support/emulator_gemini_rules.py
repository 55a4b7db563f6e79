"""The emulator's rules of Gemini: which requests does its API refuse, in which words?"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from support.emulator_wire import Operation

FOREIGN: Final = "skip_thought_signature_validator"
"""The signature of calls that another model made."""

_TOP: Final = frozenset(
    {"cachedContent", "contents", "continuationToken", "generationConfig", "labels", "model"}
    | {"safetySettings", "serviceTier", "store", "systemInstruction", "toolConfig", "tools"}
)
_OPTIONS: Final = frozenset(
    {"candidateCount", "frequencyPenalty", "maxOutputTokens", "mediaResolution", "presencePenalty"}
    | {"responseJsonSchema", "responseLogprobs", "responseMimeType", "responseModalities", "seed"}
    | {"responseSchema", "stopSequences", "temperature", "thinkingConfig", "topK", "topP"}
)
_DATA: Final = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_UNSIGNED: Final = re.compile(r"gemini-[12]\b")
_VERBATIM: Final = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema"})
"""What belongs to users, whose names stay as they are."""
_TIERS: Final = frozenset({"standard", "flex", "priority"})
_MAX_STOPS: Final = 5
_MAX_BATCH: Final = 100
_MAX_HEAT: Final = 2.0


def camel(value: Any) -> Any:
    """Return a body with names in the one form; the API takes `mime_type` for `mimeType`."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda one: one[1].upper(), name): name for name in value}
    return {
        new: value[old] if new in _VERBATIM else camel(value[old]) for new, old in named.items()
    }


def signature_of(said: Any) -> str:
    """Return the signature that goes with a call or a text."""
    text = json.dumps(said, sort_keys=True)
    return base64.b64encode(hashlib.sha256(f"gemini:{text}".encode()).digest()).decode()


def problem(body: Any, operation: Operation, *, model: str) -> str:
    """Return the API's message about a body that it refuses; empty when it takes it."""
    if operation == "models":
        return ""
    if not isinstance(body, dict):
        return "Invalid JSON payload received. Unexpected end of string."
    return next(_problems(camel(body), operation, model), "")


def _problems(body: dict[str, Any], operation: Operation, model: str) -> Iterator[str]:
    match operation:
        case "chat" | "stream":
            yield from _request(body, model)
        case "count":
            inner = body.get("generateContentRequest")
            if inner and body.get("contents"):
                yield "CountTokensRequest: contents and generateContentRequest exclude each other."
            yield from _request(inner or body, model)
        case "embed":
            if len(body.get("requests") or ()) not in range(1, _MAX_BATCH + 1):
                yield "BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
            yield from _unknown(body, frozenset({"requests"}))


def _request(body: dict[str, Any], model: str) -> Iterator[str]:
    yield from _unknown(body, _TOP)
    contents = body.get("contents") or []
    if not contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
    for place, content in enumerate(contents):
        yield from _content(content, place)
    yield from _answered(contents)
    if not _UNSIGNED.match(model):
        yield from _signed(contents)
    yield from _options(body.get("generationConfig") or {})
    yield from _tools(body)
    if body.get("serviceTier", "standard") not in _TIERS:
        yield "Invalid value at 'service_tier'"


def _unknown(value: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    for name in sorted(value.keys() - known):
        yield f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'


def _content(content: dict[str, Any], place: int) -> Iterator[str]:
    if content.get("role") not in {"user", "model"}:
        yield "Please use a valid role: user, model."
    parts = content.get("parts") or []
    if not parts:
        yield f"* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty."
    for number, part in enumerate(parts):
        where = f"GenerateContentRequest.contents[{place}].parts[{number}]"
        data = [name for name in _DATA if name in part]
        if len(data) != 1 or part == {"text": ""}:
            yield f"* {where}.data: required oneof field 'data' must have one initialized field"
        called = part.get("functionCall") or part.get("functionResponse")
        if called is not None and not called.get("name"):
            yield f"* {where}: Name cannot be empty."
        if not isinstance((called or {}).get("args", {}), dict):
            yield f"* {where}.function_call.args: expected an object"
        if not isinstance((called or {}).get("response", {}), dict):
            yield f"* {where}.function_response.response: expected an object"


def _answered(contents: list[dict[str, Any]]) -> Iterator[str]:
    """Check that each turn of calls is followed by as many results, in one turn."""
    waiting: list[str] = []
    for content in contents:
        calls = [part["functionCall"]["name"] for part in _having(content, "functionCall")]
        results = [
            part["functionResponse"]["name"] for part in _having(content, "functionResponse")
        ]
        if len(results) != len(waiting):
            yield "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."  # noqa: E501 - the API's own sentence
        if results != waiting:
            yield "Please ensure that function responses come in the order of their calls."
        waiting = calls
    if waiting:
        yield "Please ensure that function call turn is followed by a function response turn."


def _signed(contents: list[dict[str, Any]]) -> Iterator[str]:
    for place, content in enumerate(contents):
        if content.get("role") != "model":
            continue
        calls = _having(content, "functionCall")
        if calls and not calls[0].get("thoughtSignature"):
            name = calls[0]["functionCall"]["name"]
            yield f"Function call `{name}` in the {place + 1}. content block is missing a `thought_signature`."  # noqa: E501 - the API's own sentence
        for part in _having(content, "thoughtSignature"):
            if not _genuine(part):
                yield "Thought signature is not valid."


def _genuine(part: dict[str, Any]) -> bool:
    """Compare as bytes, since both alphabets of base64 are taken; ids are no part of a call."""
    if part["thoughtSignature"] == FOREIGN:
        return True
    call = part.get("functionCall")
    said = {"name": call["name"], "args": call.get("args", {})} if call else part["text"]
    given = part["thoughtSignature"].translate(str.maketrans("-_", "+/"))
    return bool(given == signature_of(said))


def _having(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [part for part in content.get("parts") or () if name in part]


def _options(options: dict[str, Any]) -> Iterator[str]:
    yield from _unknown(options, _OPTIONS)
    if not 0 <= options.get("temperature", 1) <= _MAX_HEAT:
        yield "* GenerateContentRequest.generation_config.temperature: must be in [0.0, 2.0]"
    if options.get("maxOutputTokens", 1) < 1:
        yield "* GenerateContentRequest.generation_config.max_output_tokens: must be positive"
    if len(options.get("stopSequences") or ()) > _MAX_STOPS:
        yield "* GenerateContentRequest.generation_config.stop_sequences: at most 5 are allowed"
    thinking = options.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield "You can only set only one of thinking budget and thinking level."
    formed = "responseJsonSchema" in options or "responseSchema" in options
    if formed and options.get("responseMimeType") != "application/json":
        yield "A response schema is only supported with response mime type: `application/json`."


def _tools(body: dict[str, Any]) -> Iterator[str]:
    declared = [
        one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()
    ]
    names = [one.get("name", "") for one in declared]
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"Invalid function name {name!r}. Must start with a letter or an underscore."
    if len(set(names)) < len(names):
        yield "Duplicate function declaration found."
    choice = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = choice.get("allowedFunctionNames") or []
    if allowed and choice.get("mode") not in {"ANY", "VALIDATED"}:
        yield "Allowed function names should be set only when mode is ANY or VALIDATED."
    if missing := [name for name in allowed if name not in names]:
        yield f"Allowed function name {missing[0]!r} is not declared."
