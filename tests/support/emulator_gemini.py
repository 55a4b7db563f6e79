"""The emulator's wire of Gemini: what does the generative language API say, byte for byte?"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from support.emulator_gemini_rules import camel, problem, signature_of
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

_PATH: Final = re.compile(r"/v1(?:beta)?/models/(?P<model>[^:/]+):(?P<verb>\w+)")
_VERBS: Final[dict[str, Operation]] = {
    "generateContent": "chat",
    "streamGenerateContent": "stream",
    "countTokens": "count",
    "batchEmbedContents": "embed",
}
_FINISH: Final = {"max_tokens": "MAX_TOKENS"}
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_QUOTA: Final = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day",
            "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
            "quotaValue": "250",
        }
    ],
}
_BAD_KEY: Final = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}
_KINDS: Final[dict[str, tuple[str, list[dict[str, Any]]]]] = {
    "quota": ("You exceeded your current quota, please check your plan.", [_QUOTA]),
    "context": (
        "The input token count (1200000) exceeds the maximum number of tokens allowed.",
        [],
    ),
    "key": ("API key not valid. Please pass a valid API key.", [_BAD_KEY]),
}
_HTML: Final = b"<html><title>Error 502 (Server Error)!!1</title></html>"
_DIMENSIONS: Final = 8


class GeminiWire:
    """The generative language API under its versions v1 and v1beta."""

    name = "gemini"
    preamble = 0

    def operation(self, asked: Asked) -> Operation | None:
        """Claim the methods of models; lists of models tell by their key's header."""
        if asked.method == "GET" and asked.path in {"/v1/models", "/v1beta/models"}:
            return "models" if "x-goog-api-key" in asked.headers else None
        found = _PATH.fullmatch(asked.path)
        return _VERBS.get(found["verb"]) if found else None

    def key(self, asked: Asked) -> str:
        """Take the key from its header."""
        return asked.headers.get("x-goog-api-key", "")

    def refuse(self, asked: Asked, operation: Operation) -> Fault | None:
        """Refuse what the API refuses."""
        text = problem(asked.body, operation, model=_model(asked))
        if not text and operation == "stream" and asked.query != "alt=sse":
            text = "The emulator only streams events; ask for alt=sse."
        return Fault(status=400, message=text) if text else None

    def conversation(self, asked: Asked) -> Conversation:
        """Read tools, results and what the user said."""
        body = camel(asked.body)
        declared = [
            one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())
        ]
        tools = tuple(
            Offered(name=one["name"], schema=one.get("parametersJsonSchema") or {})
            for one in declared
        )
        parts = [(one.get("role"), part) for one in body["contents"] for part in one["parts"]]
        answers = [part["functionResponse"] for _, part in parts if "functionResponse" in part]
        said = [part["text"] for role, part in parts if role == "user" and "text" in part]
        return Conversation(
            tools=tools,
            results=tuple((one["name"], json.dumps(one["response"])) for one in answers),
            user_text="\n".join(said),
        )

    def whole(self, script: Script) -> dict[str, Any]:
        """Return a response."""
        parts = [part for say in script.parts for part in _parts(say, script, (say.text,))]
        return _response(script, parts, ends=True, output=None)

    def frames(self, script: Script) -> list[bytes]:
        """Return the responses of a stream; the last one says why it ended."""
        pieces = [part for say in script.parts for part in _parts(say, script, say.pieces)]
        told = [
            _response(script, [part], ends=False, output=place + 1)
            for place, part in enumerate(pieces)
        ]
        end = _response(script, [{"text": ""}], ends=True, output=None)
        return [_frame(response) for response in (*told, end)]

    def other(self, asked: Asked, operation: Operation) -> dict[str, Any]:
        """Count by length, list two models, or make vectors of lengths."""
        if operation == "count":
            return {"totalTokens": len(json.dumps(asked.body)) // 4}
        if operation == "embed":
            return {"embeddings": [_embedded(camel(one)) for one in asked.body["requests"]]}
        names = ("gemini-3.8-flash", "gemini-3.1-pro-preview")
        return {
            "models": [
                {
                    "name": f"models/{name}",
                    "displayName": name,
                    "inputTokenLimit": 1_048_576,
                    "outputTokenLimit": 65_536,
                    "supportedGenerationMethods": ["generateContent", "countTokens"],
                }
                for name in names
            ]
        }

    def error(self, fault: Fault) -> Reply:
        """Return an error object, or what a proxy before the API says."""
        if fault.kind == "html":
            return Reply(status=fault.status, body=_HTML, headers={"content-type": "text/html"})
        body = json.dumps({"error": _error(fault)}, indent=2).encode()
        return Reply(status=fault.status, body=body, headers={"content-type": "application/json"})

    def in_band_error(self, fault: Fault) -> bytes:
        """Return an error in place of a response; the API has no 529."""
        within = Fault(status=503, message=fault.message)
        return _frame({"error": _error(within)})

    def reply_headers(self) -> dict[str, str]:
        """Return the tier that serves."""
        return {"x-gemini-service-tier": "standard"}


WIRES: Final = (GeminiWire(),)


def _model(asked: Asked) -> str:
    found = _PATH.fullmatch(asked.path)
    return str(found["model"]) if found else ""


def _error(fault: Fault) -> dict[str, Any]:
    message, details = _KINDS.get(fault.kind, (fault.message or f"Emulated {fault.status}.", []))
    if fault.retry_after_s is not None:
        wait = {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": f"{fault.retry_after_s}s",
        }
        details = [*details, wait]
    status = _STATUSES.get(fault.status)
    return {
        "code": fault.status,
        "message": message,
        **({"status": status} if status else {}),
        **({"details": details} if details else {}),
    }


def _parts(say: Say, script: Script, pieces: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the parts of what is said; arguments come whole, and thoughts only if asked for."""
    match say.kind:
        case "tool_call":
            call = {"name": say.name, "args": json.loads(say.text)}
            first = next(one for one in script.parts if one.kind == "tool_call") is say
            signed = {"thoughtSignature": signature_of(call)} if first else {}
            yield {"functionCall": call, **signed}
        case "reasoning":
            if _wants_thoughts(script):
                yield from ({"text": piece, "thought": True} for piece in pieces)
        case "text":
            yield from ({"text": piece} for piece in pieces[:-1])
            thought = any(one.kind == "reasoning" for one in script.parts)
            signed = {"thoughtSignature": signature_of(pieces[-1])} if thought else {}
            yield {"text": pieces[-1], **signed}


def _wants_thoughts(script: Script) -> bool:
    options = camel(script.asked.body).get("generationConfig") or {}
    return bool((options.get("thinkingConfig") or {}).get("includeThoughts"))


def _response(
    script: Script, parts: list[dict[str, Any]], *, ends: bool, output: int | None
) -> dict[str, Any]:
    usage = {"usageMetadata": _usage(script.usage, output)} if script.usage else {}
    about = {**usage, "modelVersion": _model(script.asked), "responseId": "resp-emulated-01"}
    if script.ending == "refusal":
        return {"promptFeedback": {"blockReason": "SAFETY"}, **about}
    finish = {"finishReason": _FINISH.get(script.ending, "STOP")} if ends else {}
    content = {"role": "model", "parts": parts}
    return {"candidates": [{"content": content, **finish, "index": 0}], **about}


def _usage(tokens: Tokens, output: int | None) -> dict[str, Any]:
    """Count all that was said, or only so many tokens of it; thoughts come first."""
    asked = tokens.fresh + tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
    answered = tokens.output - tokens.reasoning
    told = answered if output is None else min(output, answered)
    return {
        "promptTokenCount": asked,
        **({"cachedContentTokenCount": tokens.cache_read} if tokens.cache_read else {}),
        "candidatesTokenCount": told,
        **({"thoughtsTokenCount": tokens.reasoning} if tokens.reasoning else {}),
        "totalTokenCount": asked + told + tokens.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked}],
    }


def _embedded(request: dict[str, Any]) -> dict[str, Any]:
    text = "".join(part["text"] for part in request["content"]["parts"])
    length = request.get("outputDimensionality") or _DIMENSIONS
    return {"values": [len(text) / (place + 1) for place in range(length)]}


def _frame(response: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(response, ensure_ascii=False)}\r\n\r\n".encode()
