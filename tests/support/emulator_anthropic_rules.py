"""The emulator's rules of Claude: which requests does the Messages API refuse, in which words?"""

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

_VERSIONS: Final = frozenset({"2023-06-01", "2026-10-21"})
_NO_SAMPLING: Final = "2026-10-21"
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_PREFILLED: Final = re.compile(r"claude-(haiku|sonnet|opus)-4-5")
"""The models on which an answer may still be begun for them."""
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_BUDGETED: Final = re.compile(r"claude-(haiku|sonnet|opus)-4-[0-6]")
"""The models that take a budget for thinking."""
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MAX_CACHED: Final = 4
_MIN_THINKING: Final = 1024


def signature_of(thinking: str) -> str:
    """Return the signature by which a block of thinking proves to be unchanged."""
    return base64.b64encode(hashlib.sha256(f"claude:{thinking}".encode()).digest()).decode()


def problem(body: Any, headers: dict[str, str], *, count: bool) -> str:
    """Return the API's message about a body that it refuses; empty when it takes it."""
    if not isinstance(body, dict):
        return "The request body is not valid JSON."
    found = _problems(body, headers.get("anthropic-version", ""), count=count)
    return next(found, "")


def _problems(body: dict[str, Any], version: str, *, count: bool) -> Iterator[str]:
    if version not in _VERSIONS:
        yield f"anthropic-version: {version!r} is not a valid version"
    if version == _NO_SAMPLING:
        yield from (f"{name}: Extra inputs are not permitted" for name in _SAMPLING if name in body)
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: Field required"
    if not count:
        yield from _limit(body)
    yield from _messages(body)
    yield from _tools(body)
    yield from _thinking(body)
    yield from _output(body.get("output_config") or {})
    yield from _cached(body)
    if extra := set(body.get("metadata") or {}) - {"user_id"}:
        yield f"metadata.{min(extra)}: Extra inputs are not permitted"
    if body.get("service_tier", "auto") not in {"auto", "standard_only"}:
        yield "service_tier: Input should be 'auto' or 'standard_only'"
    if any(not text.strip() for text in body.get("stop_sequences", ())):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _limit(body: dict[str, Any]) -> Iterator[str]:
    limit = body.get("max_tokens")
    if limit is None:
        yield "max_tokens: Field required"
    elif not isinstance(limit, int) or limit < 0:
        yield "max_tokens: Input should be greater than or equal to 0"


def _messages(body: dict[str, Any]) -> Iterator[str]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: at least one message is required"
        return
    for place, message in enumerate(messages):
        if message.get("role") not in {"user", "assistant", "system"}:
            yield f"messages.{place}.role: Input should be 'user', 'assistant' or 'system'"
        yield from _content(message.get("content"), f"messages.{place}")
    for before, message in itertools.pairwise(messages):
        if message.get("role") == "system" and before.get("role") != "user":
            yield "messages: a `system` message must immediately follow a `user` message"
    if messages[0].get("role") != "user":
        yield 'messages: first message must use the "user" role'
    if messages[-1].get("role") == "assistant" and not _PREFILLED.match(body.get("model", "")):
        yield "This model does not support assistant message prefill. The conversation must end with a user message."  # noqa: E501 - the API's own sentence
    yield from _answered(messages)


def _content(content: Any, place: str) -> Iterator[str]:
    if isinstance(content, str):
        if not content:
            yield f"{place}: all messages must have non-empty content"
        return
    if not isinstance(content, list) or not content:
        yield f"{place}: all messages must have non-empty content"
        return
    for number, block in enumerate(content):
        yield from _block(block, f"{place}.content.{number}")


def _block(block: dict[str, Any], place: str) -> Iterator[str]:
    match block.get("type"):
        case "text" if not str(block.get("text", "")).strip():
            yield "messages: text content blocks must contain non-whitespace text"
        case "thinking" if block.get("signature") != signature_of(block.get("thinking", "")):
            yield f"{place}: Invalid `signature` in `thinking` block"
        case "redacted_thinking" if not block.get("data"):
            yield f"{place}.redacted_thinking.data: Field required"
        case "tool_use" if not isinstance(block.get("input"), dict):
            yield f"{place}.tool_use.input: Input should be an object"
        case "tool_use" if not _CALL_ID.fullmatch(block.get("id", "")):
            yield f"{place}.tool_use.id: String should match pattern '^{_CALL_ID.pattern}$'"
        case "image":
            yield from _image(block.get("source") or {}, place)
        case None:
            yield f"{place}.type: Field required"


def _image(source: dict[str, Any], place: str) -> Iterator[str]:
    if source.get("type") not in {"base64", "url", "file"}:
        yield f"{place}.image.source.type: Input should be 'base64', 'url' or 'file'"
    if source.get("type") == "base64" and source.get("media_type") not in _IMAGES:
        yield f"{place}.image.source.media_type: Input should be one of {sorted(_IMAGES)}"


def _answered(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Check that results follow their calls at once; turns of one role count as one."""
    seen: set[str] = set()
    open_calls: list[str] = []
    for role, blocks in _turns(messages):
        calls = [block["id"] for block in blocks if block.get("type") == "tool_use"]
        results = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
        if role == "user" and (missing := [one for one in open_calls if one not in results]):
            yield f"messages: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}"  # noqa: E501 - the API's own sentence
        if stray := [one for one in results if one not in open_calls]:
            yield f"messages: unexpected `tool_use_id` found in `tool_result` blocks: {stray[0]}"
        if twice := [one for one in calls if one in seen]:
            yield f"messages: `tool_use` ids must be unique: {twice[0]}"
        seen.update(calls)
        open_calls = calls
    if open_calls:
        yield f"messages: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(open_calls)}"  # noqa: E501 - the API's own sentence


def _turns(messages: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    role, blocks = "", list[dict[str, Any]]()
    for message in messages:
        content = message.get("content")
        if message.get("role") != role and blocks:
            yield role, blocks
            blocks = []
        role = message.get("role", "")
        blocks.extend(content if isinstance(content, list) else [{"type": "text"}])
    yield role, blocks


def _tools(body: dict[str, Any]) -> Iterator[str]:
    tools, names = body.get("tools") or [], list[str]()
    for place, tool in enumerate(tools):
        names.append(tool.get("name", ""))
        if not _TOOL_NAME.fullmatch(names[-1]):
            yield f"tools.{place}.custom.name: String should match pattern '{_TOOL_NAME.pattern}'"
        if tool.get("type") in {None, "custom"}:
            yield from _schema(tool, place)
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    choice = body.get("tool_choice") or {}
    if choice and not tools:
        yield "tool_choice: tools must be given with tool_choice"
    if choice.get("type") == "tool" and choice.get("name") not in names:
        yield f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"


def _schema(tool: dict[str, Any], place: int) -> Iterator[str]:
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield f"tools.{place}.custom.input_schema.type: Field required"
    elif tool.get("strict"):
        yield from _closed(schema, f"tools.{place}.custom.input_schema")


def _closed(schema: Any, place: str) -> Iterator[str]:
    """Check that each object of an enforced schema is closed."""
    if isinstance(schema, list):
        for one in schema:
            yield from _closed(one, place)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
    for inner in schema.values():
        yield from _closed(inner, place)


def _thinking(body: dict[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in {None, "enabled", "disabled", "adaptive", "between_tools"}:
        yield "thinking.type: Input should be 'adaptive', 'between_tools', 'disabled' or 'enabled'"
    if thinking.get("type") == "enabled":
        if not _BUDGETED.match(body.get("model", "")):
            yield '"thinking.type.enabled" is not supported for this model.'
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < _MIN_THINKING:
            yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        elif budget >= body.get("max_tokens", budget + 1):
            yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    forced = (body.get("tool_choice") or {}).get("type") in {"any", "tool"}
    if forced and thinking.get("type") in {"enabled", "adaptive"}:
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _output(options: dict[str, Any]) -> Iterator[str]:
    if options.get("effort") is not None and options["effort"] not in _EFFORTS:
        yield f"output_config.effort: Input should be one of {sorted(_EFFORTS)}"
    if (form := options.get("format")) is not None:
        if form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
            yield "output_config.format: Input should be of type 'json_schema' with a schema"
        else:
            yield from _closed(form["schema"], "output_config.format.schema")


def _cached(body: dict[str, Any]) -> Iterator[str]:
    marks = list(_marks([body.get("tools"), body.get("system"), body.get("messages")]))
    if len(marks) > _MAX_CACHED:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}."
    lifetimes = [mark.get("ttl", "5m") for mark in marks]
    if lifetimes != sorted(lifetimes):
        yield "cache_control: a ttl='1h' block must not come after a ttl='5m' block"


def _marks(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and isinstance(value.get("cache_control"), dict):
        yield value["cache_control"]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _marks(one)
