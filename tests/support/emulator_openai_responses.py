"""The emulator's wire of responses: what does OpenAI's newer interface say?"""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

from support.emulator_openai_chat import REFUSAL
from support.emulator_openai_family import OpenAIWire, data_frame, error_of
from support.emulator_openai_rules import function, named_schema, reasons, shared, unknown
from support.emulator_wire import (
    Asked,
    Conversation,
    Fault,
    Offered,
    Operation,
    Say,
    Script,
    Tokens,
)

_ENCRYPTED: Final = "reasoning.encrypted_content"
_KNOWN: Final = frozenset(
    {"background", "context_management", "conversation", "image", "include", "input"}
    | {"instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "moderation"}
    | {"parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "text"}
    | {"prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier"}
    | {"service_tier", "store", "stream", "stream_options", "temperature", "tool_choice"}
    | {"tools", "top_logprobs", "top_p", "truncation", "user"}
)
_COUNTED: Final = frozenset(
    {"conversation", "input", "instructions", "model", "parallel_tool_calls", "personality"}
    | {"previous_response_id", "reasoning", "text", "tool_choice", "tools", "truncation"}
)
_OUTPUTS: Final = {"function_call_output": "function_call", "custom_tool_call_output": "custom"}


class ResponsesWire(OpenAIWire):
    """OpenAI's responses, without anything that it stores."""

    name = "openai-responses"
    preamble = 2

    def operation(self, asked: Asked) -> Operation | None:
        """Claim the paths of responses alone; chat claims those that both have."""
        match asked.method, asked.path:
            case "POST", "/v1/responses":
                return "stream" if (asked.body or {}).get("stream") else "chat"
            case "POST", "/v1/responses/input_tokens":
                return "count"
        return None

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Refuse what the interface refuses; an item it does not know is not found."""
        text = next(_problems(asked.body, count=operation == "count"), "")
        if text:
            return Fault(status=404 if "not found. Items are" in text else 400, message=text)
        return None

    def conversation(self, asked: Asked) -> Conversation:
        """Read tools, results and what the user said."""
        body = asked.body
        tools = tuple(
            Offered(name=tool["name"], schema=tool.get("parameters") or {})
            for tool in body.get("tools", ())
            if tool["type"] == "function"
        )
        items = [one for one in body["input"] if isinstance(one, dict)]
        names = {one["call_id"]: one["name"] for one in items if "name" in one}
        results = tuple(
            (names[one["call_id"]], one["output"]) for one in items if one.get("type") in _OUTPUTS
        )
        said = [_text_of(one["content"]) for one in items if one.get("role") == "user"]
        return Conversation(tools=tools, results=results, user_text="\n".join(said))

    def whole(self, script: Script) -> dict[str, Any]:
        """Return a response."""
        cut = {"incomplete_details": {"reason": "max_output_tokens"}}
        return {
            **_response(script, "incomplete" if script.ending == "max_tokens" else "completed"),
            **(cut if script.ending == "max_tokens" else {}),
            "service_tier": "default",
            "output": [_item(place, say, script) for place, say in enumerate(_said(script))],
            "usage": _usage(script.usage) if script.usage else None,
        }

    def frames(self, script: Script) -> list[bytes]:
        """Return the events of a response."""
        return [
            data_frame({**event, "sequence_number": number}, event=event["type"])
            for number, event in enumerate(self._events(script))
        ]

    def in_band_error(self, fault: Fault) -> bytes:
        """Return the event `error`, which carries no `error`."""
        told = error_of(fault)
        event = {"type": "error", "code": told["code"] or told["type"], "sequence_number": 99}
        return data_frame({**event, "message": told["message"], "param": None}, event="error")

    def _events(self, script: Script) -> Iterator[dict[str, Any]]:
        start = _response(script, "in_progress")
        yield {"type": "response.created", "response": start}
        yield {"type": "response.in_progress", "response": start}
        for place, say in enumerate(_said(script)):
            yield from _item_events(place, say, script)
        end = self.whole(script)
        yield {"type": f"response.{end['status']}", "response": end}


def _said(script: Script) -> tuple[Say, ...]:
    if script.ending != "refusal":
        return script.parts
    return (*script.parts, Say(kind="text", pieces=REFUSAL))


def _response(script: Script, status: str) -> dict[str, Any]:
    body = script.asked.body
    return {
        "id": "resp_emulated01",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "service_tier": body.get("service_tier", "auto"),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "usage": None,
    }


def _item(place: int, say: Say, script: Script) -> dict[str, Any]:
    match say.kind:
        case "reasoning":
            return _thought(place, say, script.asked.body)
        case "tool_call":
            return {
                "id": f"fc_emulated{place}",
                "type": "function_call",
                "status": "completed",
                "call_id": say.id,
                "name": say.name,
                "arguments": say.text,
            }
        case "text":
            return {
                "id": f"msg_emulated{place}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_content(say, script)],
            }


def _content(say: Say, script: Script) -> dict[str, Any]:
    if script.ending == "refusal":
        return {"type": "refusal", "refusal": say.text}
    return {"type": "output_text", "text": say.text, "annotations": [], "logprobs": []}


def _thought(place: int, say: Say, body: dict[str, Any]) -> dict[str, Any]:
    shown = (body.get("reasoning") or {}).get("summary") is not None
    name = f"rs_emulated{place}"
    kept = {"encrypted_content": sealed(name)} if _ENCRYPTED in (body.get("include") or ()) else {}
    summary = [{"type": "summary_text", "text": say.text}] if shown else []
    return {"id": name, "type": "reasoning", "summary": summary, **kept}


def sealed(name: str) -> str:
    """Return the reasoning of an item as only this wire can read it."""
    return base64.b64encode(hashlib.sha256(f"openai:{name}".encode()).digest()).decode()


def _item_events(place: int, say: Say, script: Script) -> Iterator[dict[str, Any]]:
    item, at = _item(place, say, script), {"output_index": place}
    named = {**at, "item_id": item["id"]}
    match item["type"]:
        case "reasoning":
            opening = {**item, "summary": []}
            yield {"type": "response.output_item.added", **at, "item": opening}
            if item["summary"]:
                yield from _summary_events(say, named)
        case "function_call":
            opening = {**item, "arguments": "", "status": "in_progress"}
            yield {"type": "response.output_item.added", **at, "item": opening}
            for piece in say.pieces:
                event = {"type": "response.function_call_arguments.delta", **named}
                yield {**event, "delta": piece, "obfuscation": "x"}
            done = {"type": "response.function_call_arguments.done", **named}
            yield {**done, "arguments": say.text}
        case _:
            opening = {**item, "content": [], "status": "in_progress"}
            yield {"type": "response.output_item.added", **at, "item": opening}
            yield from _content_events(item["content"][0], say, {**named, "content_index": 0})
    yield {"type": "response.output_item.done", **at, "item": item}


def _summary_events(say: Say, named: dict[str, Any]) -> Iterator[dict[str, Any]]:
    at = {**named, "summary_index": 0}
    kind, part = "response.reasoning_summary_part", {"type": "summary_text", "text": ""}
    yield {"type": f"{kind}.added", **at, "part": part}
    for piece in say.pieces:
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": say.text}
    yield {"type": f"{kind}.done", **at, "part": {**part, "text": say.text}}


def _content_events(part: dict[str, Any], say: Say, at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    field = "refusal" if part["type"] == "refusal" else "text"
    yield {"type": "response.content_part.added", **at, "part": {**part, field: ""}}
    kind = f"response.{part['type']}"
    for piece in say.pieces:
        yield {"type": f"{kind}.delta", **at, "delta": piece, "logprobs": [], "obfuscation": "x"}
    yield {"type": f"{kind}.done", **at, field: say.text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _usage(tokens: Tokens) -> dict[str, Any]:
    written = tokens.cache_write_5m + tokens.cache_write_1h
    total = tokens.fresh + tokens.cache_read + written
    lifetimes = {"ttl_30m_tokens": tokens.cache_write_5m, "ttl_12h_tokens": tokens.cache_write_1h}
    return {
        "input_tokens": total,
        "input_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": written,
            "cache_write_tokens_details": lifetimes,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": total + tokens.output,
    }


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


# What is refused.


def _problems(body: Any, *, count: bool) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "We could not parse the JSON body of your request."
        return
    yield from unknown(body, _COUNTED if count else _KNOWN)
    reasoning = body.get("reasoning") or {}
    yield from shared(body, reasoning.get("effort"))
    if reasoning.get("summary") and not reasons(body):
        yield "Unsupported parameter: 'reasoning.summary' is not supported with this model."
    if _ENCRYPTED in (body.get("include") or ()) and not reasons(body):
        yield "Encrypted content is not supported with this model."
    for place, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") == "function":
            yield from function(tool, f"tools[{place}]")
            if "strict" not in tool:
                yield f"Missing required parameter: 'tools[{place}].strict'."
    yield from _form(body)
    yield from _items(body.get("input"), stored=bool(body.get("store", True)))


def _form(body: dict[str, Any]) -> Iterator[str]:
    form = (body.get("text") or {}).get("format") or {}
    match form.get("type"):
        case "json_schema":
            yield from named_schema(form)
        case "json_object" if "json" not in json.dumps(body["input"]).lower():
            yield "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."  # noqa: E501 - the interface's own sentence


def _items(items: Any, *, stored: bool) -> Iterator[str]:
    if not isinstance(items, list) or not items:
        yield "Missing required parameter: 'input'."
        return
    called: dict[str, str] = {}
    for place, item in enumerate(items):
        match item.get("type", "message"):
            case "message":
                yield from _message(item, place)
            case "function_call" | "custom_tool_call":
                called[item["call_id"]] = item["type"]
            case "function_call_output" | "custom_tool_call_output":
                if not called.pop(item["call_id"], "").startswith(_OUTPUTS[item["type"]]):
                    yield f"No tool call found for function call output with call_id {item['call_id']}."  # noqa: E501 - the interface's own sentence
            case "reasoning":
                yield from _reasoning(item, stored=stored)
            case other:
                yield f"Invalid value: '{other}' for input[{place}].type."
    if called:
        yield f"No tool output found for function call {min(called)}."


def _message(item: dict[str, Any], place: int) -> Iterator[str]:
    wanted = "output_text" if item["role"] == "assistant" else "input_text"
    content = item["content"]
    if not content:
        yield f"Invalid 'input[{place}].content': empty array."
    for part in content if isinstance(content, list) else ():
        known = {wanted, "refusal"} if item["role"] == "assistant" else _INPUTS
        if part.get("type") not in known:
            yield f"Invalid value: '{part.get('type')}'. Supported values are: '{wanted}'."


_INPUTS: Final = frozenset({"input_text", "input_image", "input_file"})


def _reasoning(item: dict[str, Any], *, stored: bool) -> Iterator[str]:
    if "encrypted_content" not in item and not stored:
        yield f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."  # noqa: E501 - the interface's own sentence
    elif item.get("encrypted_content") not in {None, sealed(item.get("id", ""))}:
        yield f"The encrypted content for item {item.get('id')} could not be verified."
