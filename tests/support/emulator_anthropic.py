"""The emulator's wire of Claude: what does the Messages API say, byte for byte?"""

import json
from collections.abc import Iterator
from typing import Any, Final

from support.emulator_anthropic_rules import problem, signature_of
from support.emulator_wire import (
    Asked,
    Conversation,
    Fault,
    Offered,
    Operation,
    Reply,
    Say,
    Script,
    Tokens,
)

_STOPS: Final = {"end": "end_turn"}
_STOP_DETAILS: Final = {
    "type": "refusal",
    "category": "cyber",
    "explanation": "The request could enable harm.",
}
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_KINDS: Final[dict[str, tuple[str, str]]] = {
    "quota": ("Your organization reached its monthly limit.", "enforced_spend_limit_reached"),
    "ramp": ("Usage grows too fast.", "ramp_limit_exceeded"),
    "hold": ("This organization has been disabled.", "organization_on_hold"),
    "credit": ("Your credit balance is too low to access the Anthropic API.", ""),
    "context": ("prompt is too long: 212345 tokens > 200000 maximum", ""),
    "policy": ("Output blocked by content filtering policy", ""),
}
_REQUEST_ID: Final = "req_emulated01"
_HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class AnthropicWire:
    """The Messages API under the versions 2023-06-01 and 2026-10-21."""

    name = "anthropic"
    preamble = 3

    def operation(self, asked: Asked) -> Operation | None:
        """Claim the paths of the Messages API; lists of models tell by their version header."""
        match asked.method, asked.path:
            case "POST", "/v1/messages":
                return "stream" if (asked.body or {}).get("stream") else "chat"
            case "POST", "/v1/messages/count_tokens":
                return "count"
            case "GET", "/v1/models" if "anthropic-version" in asked.headers:
                return "models"
        return None

    def key(self, asked: Asked) -> str:
        """Take the bearer token, or the header of the older version."""
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or asked.headers.get("x-api-key", "")

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Refuse what the API refuses."""
        if operation == "models":
            return None
        text = problem(asked.body, asked.headers, count=operation == "count")
        return Fault(status=400, message=text) if text else None

    def conversation(self, asked: Asked) -> Conversation:
        """Read tools, results and what the user said."""
        body = asked.body
        tools = tuple(
            Offered(name=tool["name"], schema=tool["input_schema"])
            for tool in body.get("tools", ())
            if "input_schema" in tool
        )
        blocks = list(_blocks(body["messages"]))
        names = {block["id"]: block["name"] for _, block in blocks if block["type"] == "tool_use"}
        results = tuple(
            (names[block["tool_use_id"]], _text_of(block.get("content", "")))
            for _, block in blocks
            if block["type"] == "tool_result"
        )
        said = [
            block["text"] for role, block in blocks if (role, block["type"]) == ("user", "text")
        ]
        return Conversation(tools=tools, results=results, user_text="\n".join(said))

    def whole(self, script: Script) -> dict[str, Any]:
        """Return a message."""
        refused = script.ending == "refusal"
        return {
            **_message(script),
            "content": [_block(say, script.asked.body) for say in script.parts],
            "stop_reason": _STOPS.get(script.ending, script.ending),
            **({"stop_details": _STOP_DETAILS} if refused else {}),
            **({"usage": _usage(script.usage)} if script.usage else {}),
        }

    def frames(self, script: Script) -> list[bytes]:
        """Return the events of a message."""
        return [_frame(event) for event in _events(script)]

    def other(self, asked: Asked, operation: Operation) -> dict[str, Any]:
        """Count by length, or list two models."""
        if operation == "count":
            return {"input_tokens": len(json.dumps(asked.body)) // 4}
        names = ("claude-opus-5", "claude-haiku-4-5")
        data = [
            {
                "type": "model",
                "id": name,
                "display_name": name.title(),
                "created_at": "2026-01-01T00:00:00Z",
            }
            for name in names
        ]
        return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    def error(self, fault: Fault) -> Reply:
        """Return an error object, or what a proxy before the API says."""
        if fault.kind == "html":
            return Reply(status=fault.status, body=_HTML, headers={"content-type": "text/html"})
        headers = {"content-type": "application/json", "request-id": _REQUEST_ID}
        if fault.retry_after_s is not None:
            headers["retry-after"] = str(fault.retry_after_s)
        body = json.dumps(_error(fault)).encode()
        return Reply(status=fault.status, body=body, headers=headers)

    def in_band_error(self, fault: Fault) -> bytes:
        """Return the event `error`."""
        return _frame(_error(fault))

    def reply_headers(self) -> dict[str, str]:
        """Return the request's id and what is left of the limits."""
        return {
            "request-id": _REQUEST_ID,
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-input-tokens-remaining": "1999000",
        }


WIRES: Final = (AnthropicWire(),)


def _error(fault: Fault) -> dict[str, Any]:
    message, code = _KINDS.get(fault.kind, (fault.message or f"Emulated {fault.status}.", ""))
    error = {"type": _TYPES.get(fault.status, "api_error"), "message": message}
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {**error, **details}, "request_id": _REQUEST_ID}


def _message(script: Script) -> dict[str, Any]:
    return {
        "id": "msg_emulated01",
        "type": "message",
        "role": "assistant",
        "model": script.asked.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(say: Say, body: dict[str, Any]) -> dict[str, Any]:
    match say.kind:
        case "text":
            return {"type": "text", "text": say.text}
        case "reasoning":
            shown = say.text if _shown(body) else ""
            return {"type": "thinking", "thinking": shown, "signature": signature_of(shown)}
        case "tool_call":
            return {
                "type": "tool_use",
                "id": f"toolu_{say.id}",
                "name": say.name,
                "input": json.loads(say.text),
            }


def _shown(body: dict[str, Any]) -> bool:
    thinking: dict[str, Any] = body.get("thinking") or {}
    return thinking.get("display") != "omitted"


def _events(script: Script) -> Iterator[dict[str, Any]]:
    start = {"usage": {**_usage(script.usage), "output_tokens": 1}} if script.usage else {}
    yield {"type": "message_start", "message": {**_message(script), **start}}
    for index, say in enumerate(script.parts):
        yield from _block_events(index, say, script.asked.body)
    delta: dict[str, Any] = {
        "stop_reason": _STOPS.get(script.ending, script.ending),
        "stop_sequence": None,
    }
    if script.ending == "refusal":
        delta["stop_details"] = _STOP_DETAILS
    end = {"usage": _output(script.usage)} if script.usage else {}
    yield {"type": "message_delta", "delta": delta, **end}
    yield {"type": "message_stop"}


def _block_events(index: int, say: Say, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}
    block = _block(say, body)
    opening = {**block, **empty.get(block["type"], {"input": {}})}
    yield {"type": "content_block_start", "index": index, "content_block": opening}
    if index == 0:
        yield {"type": "ping"}
    for delta in _deltas(say, block):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _deltas(say: Say, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match say.kind:
        case "text":
            yield from ({"type": "text_delta", "text": piece} for piece in say.pieces)
        case "tool_call":
            for piece in ("", *say.pieces):
                yield {"type": "input_json_delta", "partial_json": piece}
        case "reasoning":
            if block["thinking"]:
                yield from ({"type": "thinking_delta", "thinking": one} for one in say.pieces)
            yield {"type": "signature_delta", "signature": block["signature"]}


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "service_tier": "standard",
        **_output(tokens),
    }


def _output(tokens: Tokens) -> dict[str, Any]:
    details = {"output_tokens_details": {"thinking_tokens": tokens.reasoning}}
    return {"output_tokens": tokens.output, **(details if tokens.reasoning else {})}


def _frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _blocks(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        yield from ((message["role"], block) for block in blocks)


def _text_of(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)
