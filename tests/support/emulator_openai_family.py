"""The emulator's wires of OpenAI: what do its interfaces have in common?"""

import base64
import hashlib
import json
import struct
from typing import Any, Final

from support.emulator_wire import Asked, Fault, Operation, Reply

_TYPES: Final[dict[int, tuple[str | None, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("service_unavailable_error", "server_is_overloaded"),
    529: ("overloaded_error", None),
}
_KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "quota": (
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "spend": ("This project reached its limit.", "requests", "project_spend_limit_exceeded"),
    "context": (
        "This model's maximum context length is 128000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "policy": (
        "Your request was rejected as a result of our safety system.",
        "image_generation_user_error",
        "content_policy_violation",
    ),
    "slow": ("Please slow down.", "slow_down", "slow_down"),
}
_HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_MODELS: Final = ("gpt-5.5", "gpt-4o")
_DIMENSIONS: Final = 8
REQUEST_ID: Final = "req_emulated02"


class OpenAIWire:
    """What all wires of this family share."""

    prefix = ""
    """What precedes `/v1`."""

    def operation(self, asked: Asked) -> Operation | None:
        """Claim the paths that both interfaces have."""
        match asked.method, asked.path.removeprefix(self.prefix):
            case "POST", "/v1/embeddings":
                return "embed"
            case "GET", "/v1/models" if not {"anthropic-version", "x-goog-api-key"} & set(
                asked.headers
            ):
                return "models"
        return None

    def key(self, asked: Asked) -> str:
        """Take the bearer token."""
        return asked.headers.get("authorization", "").removeprefix("Bearer ")

    def other(self, asked: Asked, operation: Operation) -> dict[str, Any]:
        """Count by length, embed by hash, or list two models."""
        match operation:
            case "count":
                tokens = len(json.dumps(asked.body)) // 4
                return {"object": "response.input_tokens", "input_tokens": tokens}
            case "embed":
                return _embedded(asked.body)
            case _:
                data = [
                    {"id": name, "object": "model", "created": 1767225600, "owned_by": "openai"}
                    for name in _MODELS
                ]
                return {"object": "list", "data": data}

    def error(self, fault: Fault) -> Reply:
        """Return an error object, or what a proxy before the interface says."""
        if fault.kind == "html":
            return Reply(status=fault.status, body=_HTML, headers={"content-type": "text/html"})
        headers = {"content-type": "application/json", "x-request-id": REQUEST_ID}
        if fault.retry_after_s is not None:
            headers["retry-after"] = str(fault.retry_after_s)
        body = json.dumps({"error": error_of(fault)}).encode()
        return Reply(status=fault.status, body=body, headers=headers)

    def in_band_error(self, fault: Fault) -> bytes:
        """Return the chunk that is an error."""
        return data_frame({"error": error_of(fault)})

    def reply_headers(self) -> dict[str, str]:
        """Return a request id and a limit."""
        return {
            "x-request-id": REQUEST_ID,
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": "499",
        }


def error_of(fault: Fault) -> dict[str, Any]:
    """Return the object inside `error`."""
    kind, code = _TYPES.get(fault.status, (None, None))
    message = fault.message or f"The emulator answers {fault.status}."
    if fault.kind in _KINDS:
        message, kind, code = _KINDS[fault.kind]
    elif fault.kind:
        code = fault.kind
    return {"message": message, "type": kind, "param": None, "code": code}


def data_frame(value: Any, *, event: str = "") -> bytes:
    """Return one event of a stream."""
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _embedded(body: dict[str, Any]) -> dict[str, Any]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    size = body.get("dimensions") or _DIMENSIONS
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": place, "embedding": _vector(text, size, packed=packed)}
        for place, text in enumerate(texts)
    ]
    tokens = sum(len(text) for text in texts) // 4 + 1
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}


def _vector(text: str, size: int, *, packed: bool) -> list[float] | str:
    digest = hashlib.shake_256(text.encode()).digest(size)
    numbers = [byte / 256 for byte in digest]
    if not packed:
        return numbers
    return base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode()
