"""The emulator's wires of chat completions: what do OpenAI, and a server like it, say?"""

import json
from collections.abc import Iterator
from typing import Any, Final

from support.emulator_openai_family import OpenAIWire, data_frame
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

REFUSAL: Final = ("I can't ", "help with that.")
_DONE: Final = b"data: [DONE]\n\n"
_STOPS: Final = {
    "end": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
}
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_KNOWN: Final = frozenset(
    {"model", "messages", "audio", "frequency_penalty", "logit_bias", "logprobs", "metadata"}
    | {"max_completion_tokens", "max_tokens", "modalities", "moderation", "n", "prediction"}
    | {"parallel_tool_calls", "presence_penalty", "prompt_cache_key", "prompt_cache_options"}
    | {"prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier"}
    | {"seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature"}
    | {"tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity"}
    | {"web_search_options"}
)


class ChatWire(OpenAIWire):
    """OpenAI's own chat completions."""

    name = "openai-chat"
    preamble = 1

    def operation(self, asked: Asked) -> Operation | None:
        """Claim the path of chat completions."""
        if (asked.method, asked.path.removeprefix(self.prefix)) == ("POST", "/v1/chat/completions"):
            return "stream" if (asked.body or {}).get("stream") else "chat"
        return super().operation(asked)

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Refuse what the interface refuses."""
        if operation not in {"chat", "stream"}:
            return None
        text = next(_problems(asked.body), "")
        return Fault(status=400, message=text) if text else None

    def conversation(self, asked: Asked) -> Conversation:
        """Read tools, results and what the user said."""
        body = asked.body
        tools = tuple(
            Offered(name=tool["function"]["name"], schema=tool["function"].get("parameters") or {})
            for tool in body.get("tools", ())
            if tool["type"] == "function"
        )
        calls = [call for one in body["messages"] for call in one.get("tool_calls") or ()]
        names = {call["id"]: call.get("function", call.get("custom"))["name"] for call in calls}
        results = tuple(
            (names[one["tool_call_id"]], one["content"])
            for one in body["messages"]
            if one["role"] == "tool"
        )
        said = [_text_of(one["content"]) for one in body["messages"] if one["role"] == "user"]
        return Conversation(tools=tools, results=results, user_text="\n".join(said))

    def whole(self, script: Script) -> dict[str, Any]:
        """Return a completion."""
        choice = {"index": 0, "message": self._message(script), "logprobs": None}
        return {
            **self._frame(script, "chat.completion"),
            "choices": [{**choice, "finish_reason": self._reason(script)}],
            **({"usage": _usage(script.usage)} if script.usage else {}),
        }

    def frames(self, script: Script) -> list[bytes]:
        """Return the chunks of a completion."""
        return [*map(data_frame, self._chunks(script)), _DONE]

    def _reason(self, script: Script) -> str | None:
        return _STOPS[script.ending]

    def _thought(self, text: str) -> dict[str, str]:
        """Return how reasoning is shown, which OpenAI does not do here."""
        return {}

    def _message(self, script: Script) -> dict[str, Any]:
        texts = [say.text for say in script.parts if say.kind == "text"]
        calls = [_call(say) for say in script.parts if say.kind == "tool_call"]
        thought = "".join(say.text for say in script.parts if say.kind == "reasoning")
        refusal = "".join(REFUSAL) if script.ending == "refusal" else None
        return {
            "role": "assistant",
            "content": "".join(texts) if texts else None,
            "refusal": refusal,
            "annotations": [],
            **(self._thought(thought) if thought else {}),
            **({"tool_calls": calls} if calls else {}),
        }

    def _frame(self, script: Script, kind: str) -> dict[str, Any]:
        return {
            "id": "chatcmpl-emulated01",
            "object": kind,
            "created": 1767225600,
            "model": script.asked.body["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_emulated",
        }

    def _chunks(self, script: Script) -> Iterator[dict[str, Any]]:
        frame = self._frame(script, "chat.completion.chunk")
        told = (script.asked.body.get("stream_options") or {}).get("include_usage")
        empty = {"usage": None} if told else {}
        for delta in ({"role": "assistant", "content": "", "refusal": None}, *self._deltas(script)):
            yield {**frame, "choices": [_choice(delta, None)], **empty}
        yield {**frame, "choices": [_choice({}, self._reason(script))], **empty}
        if told and script.usage:
            yield {**frame, "choices": [], "usage": _usage(script.usage)}

    def _deltas(self, script: Script) -> Iterator[dict[str, Any]]:
        number = 0
        for say in script.parts:
            match say.kind:
                case "text":
                    yield from ({"content": piece} for piece in say.pieces)
                case "reasoning":
                    yield from (self._thought(piece) for piece in say.pieces if self._thought("x"))
                case "tool_call":
                    yield from self._call_deltas(number, say)
                    number += 1
        if script.ending == "refusal":
            yield from ({"refusal": piece} for piece in REFUSAL)

    def _call_deltas(self, number: int, say: Say) -> Iterator[dict[str, Any]]:
        function = {"name": say.name, "arguments": ""}
        opening = {"index": number, "id": say.id, "type": "function", "function": function}
        yield {"tool_calls": [opening]}
        for piece in say.pieces:
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}


class CompatibleWire(ChatWire):
    """A server like OpenAI, as they run at home: no key, no index, and no reason to stop."""

    name = "openai-compatible"
    prefix = "/local"

    def key(self, asked: Asked) -> str:
        """Take any key, or none."""
        return super().key(asked) or "none"

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Refuse almost nothing; parameters that are not known are ignored."""
        if operation in {"chat", "stream"} and not (asked.body or {}).get("messages"):
            return Fault(status=400, message="messages are required")
        return None

    def other(self, asked: Asked, operation: Operation) -> dict[str, Any]:
        """Embed as lists, whatever encoding was asked for."""
        if operation == "embed":
            plain = {k: v for k, v in asked.body.items() if k != "encoding_format"}
            asked = Asked(
                method=asked.method,
                path=asked.path,
                query=asked.query,
                headers=asked.headers,
                body=plain,
            )
        return super().other(asked, operation)

    def _reason(self, script: Script) -> str | None:
        return "length" if script.ending == "max_tokens" else None

    def _thought(self, text: str) -> dict[str, str]:
        return {"reasoning": text}

    def _call_deltas(self, number: int, say: Say) -> Iterator[dict[str, Any]]:
        yield {"tool_calls": [_call(say)]}


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _call(say: Say) -> dict[str, Any]:
    function = {"name": say.name, "arguments": say.text}
    return {"id": say.id, "type": "function", "function": function}


def _usage(tokens: Tokens) -> dict[str, Any]:
    written = tokens.cache_write_5m + tokens.cache_write_1h
    prompt = tokens.fresh + tokens.cache_read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    }


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


# What is refused.


def _problems(body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "We could not parse the JSON body of your request."
        return
    yield from unknown(body, _KNOWN)
    yield from shared(body, body.get("reasoning_effort"))
    yield from _messages(body.get("messages"))
    yield from _limits(body)
    for place, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") == "function":
            yield from function(tool.get("function") or {}, f"tools[{place}].function")
        elif tool.get("type") != "custom":
            yield f"Invalid value: 'tools[{place}].type'."
    yield from _form(body)


def _limits(body: dict[str, Any]) -> Iterator[str]:
    if reasons(body) and "max_tokens" in body:
        yield "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."  # noqa: E501 - the interface's own sentence
    if reasons(body) and "stop" in body:
        yield "Unsupported parameter: 'stop' is not supported with this model."
    if len(body.get("stop") or ()) > 4:
        yield "Invalid 'stop': array too long. Expected an array with maximum length 4."
    if "metadata" in body and not body.get("store"):
        yield "The 'metadata' parameter is only allowed when 'store' is enabled."


def _form(body: dict[str, Any]) -> Iterator[str]:
    form = body.get("response_format") or {}
    match form.get("type"):
        case "json_schema":
            yield from named_schema(form.get("json_schema") or {})
        case "json_object" if "json" not in json.dumps(body["messages"]).lower():
            yield "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."  # noqa: E501 - the interface's own sentence


def _messages(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list) or not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1."
        return
    waiting: list[str] = []
    for place, one in enumerate(messages):
        if one.get("role") not in _ROLES:
            yield f"Invalid value: '{one.get('role')}' for messages[{place}].role."
        if one.get("role") == "tool":
            if one.get("tool_call_id") not in waiting:
                yield "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."  # noqa: E501 - the interface's own sentence
            waiting = [call for call in waiting if call != one.get("tool_call_id")]
            continue
        if waiting:
            yield f"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. Missing: {waiting[0]}"  # noqa: E501 - the interface's own sentence
        waiting = [call["id"] for call in one.get("tool_calls") or ()]
        yield from _content(one, place)
    if waiting:
        yield f"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. Missing: {waiting[0]}"  # noqa: E501 - the interface's own sentence


def _content(message: dict[str, Any], place: int) -> Iterator[str]:
    content = message.get("content")
    if content is None and not message.get("tool_calls"):
        yield f"Invalid value for 'content': expected a string, got null (messages[{place}])."
    if content == []:
        yield f"Invalid 'messages[{place}].content': empty array."
    for part in content if isinstance(content, list) else ():
        if part.get("type") not in _PARTS:
            yield f"Invalid value: '{part.get('type')}' for a part of messages[{place}]."
        if part.get("type") == "image_url" and not part["image_url"].get("url"):
            yield f"Missing required parameter: 'messages[{place}].content.image_url.url'."
