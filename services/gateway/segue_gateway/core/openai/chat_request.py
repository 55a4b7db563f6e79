"""Chat completions, asked: what does such a body ask of the router?"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    OutputOptions,
    Part,
    Refusal,
    RouteOptions,
    ToolCall,
    ToolResult,
)
from segue_gateway.core.openai.content import Content, parts_of, plain, text_of
from segue_gateway.core.openai.faults import FaultError, invalid, unsupported
from segue_gateway.core.openai.options import (
    Penalty,
    Schema,
    Share,
    Temperature,
    Tokens,
    chosen,
    format_of,
    given,
    labels_of,
    reasoning_of,
    sampling_of,
    stream_of,
    tools_of,
)
from segue_gateway.core.openai.reading import Loose, Strict, converted, only, read

_MOST_STOPS: Final = 4
_NEUTRAL: Final[dict[str, tuple[object, str]]] = {
    "n": (1, "ask once for each answer"),
    "logprobs": (False, "no provider but one tells them"),
    "top_logprobs": (0, "no provider but one tells them"),
    "logit_bias": ({}, "no provider but one takes it"),
    "modalities": (["text"], "answers are text"),
    "audio": ({}, "answers are text"),
    "prediction": ({}, "leave it out"),
    "web_search_options": ({}, "offer a function that searches"),
    "functions": ([], "use 'tools'"),
    "function_call": ("none", "use 'tool_choice'"),
    "store": (False, "answers are not stored here"),
    "moderation": ({}, "leave it out"),
}


class Called(Loose, frozen=True, kw_only=True):
    """The function of a tool call."""

    name: str
    arguments: str = ""


class CustomCalled(Loose, frozen=True, kw_only=True):
    """The free text of a tool call."""

    name: str
    input: str = ""


class CallBody(Loose, frozen=True, kw_only=True):
    """A call of a tool that the model asked for."""

    id: str
    function: Called | None = None
    custom: CustomCalled | None = None


class MessageBody(Loose, frozen=True, kw_only=True):
    """One message, of any role."""

    role: str
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[CallBody] | None = None
    tool_call_id: str | None = None
    extra_content: dict[str, Any] | None = None


class StreamBody(Strict, frozen=True, kw_only=True):
    """What a stream carries."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class FormBody(Loose, frozen=True, kw_only=True):
    """The form of the answer."""

    type: str
    json_schema: Schema | None = None


class ChatBody(Strict, frozen=True, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: list[MessageBody]
    stream: bool | None = None
    stream_options: StreamBody | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormBody | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    store: bool | None = None
    moderation: dict[str, Any] | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what was used."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def chat_body(data: bytes) -> ChatBody:
    """Read a body.

    Raises:
        FaultError: It has another form, or asks for what is not there.
    """
    body = read(data, ChatBody)
    only(body, _NEUTRAL)
    if not body.messages:
        raise invalid("at least one message is needed", param="messages", code="invalid_value")
    if body.stream_options is not None and not body.stream:
        raise invalid("'stream_options' goes with 'stream: true'", param="stream_options")
    return body


def chat_request(body: ChatBody, *, id: str, inbox: str = "") -> ChatRequest:  # noqa: A002 - the contract's own name
    """Return what is asked of the router.

    Args:
        body: The body.
        id: The request's id.
        inbox: Where its deltas shall go; empty when it is not streamed.

    Raises:
        FaultError: A field cannot be what it is.
    """
    tools = tools_of(body.tools, nested=True)
    picked = chosen(tools, body.tool_choice, parallel=body.parallel_tool_calls)
    return ChatRequest(
        id=id,
        model=body.model,
        messages=[*_messages(body.messages)],
        tools=picked.tools,
        tool_choice=picked.choice,
        output=_output(body),
        sampling=sampling_of(
            temperature=body.temperature,
            top_p=body.top_p,
            presence_penalty=body.presence_penalty,
            frequency_penalty=body.frequency_penalty,
            seed=body.seed,
        ),
        reasoning=reasoning_of(body.reasoning_effort, shown=False),
        stream=stream_of(inbox, reasoning=False),
        route=RouteOptions(sticky_key=body.prompt_cache_key or ""),
        service_tier=body.service_tier or "",
        metadata=labels_of(body.metadata, body.safety_identifier or body.user),
    )


def _output(body: ChatBody) -> OutputOptions:
    most = body.max_completion_tokens or body.max_tokens
    form = body.response_format or FormBody(type="text")
    return OutputOptions(
        max_tokens=given(most),
        stop=_stops(body.stop),
        format=format_of(form.type, form.json_schema, param="response_format"),
        verbosity=body.verbosity or "",
    )


def _stops(stop: str | list[str] | None) -> list[str]:
    texts = [stop] if isinstance(stop, str) else stop or []
    if len(texts) > _MOST_STOPS:
        raise invalid(f"at most {_MOST_STOPS} texts", param="stop", code="invalid_value")
    return texts


def _messages(messages: list[MessageBody]) -> Iterator[ChatMessage]:
    asked: dict[str, str] = {}
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        name = message.name or ""
        match message.role:
            case "system" | "developer" | "user" as role:
                parts = parts_of(message.content, at=f"{at}.content")
                yield ChatMessage(role=role, parts=parts, name=name)
            case "assistant":
                said = _said(message, at)
                asked |= {part.id: part.name for part in said if isinstance(part, ToolCall)}
                yield ChatMessage(role="assistant", parts=said, name=name)
            case "tool":
                yield ChatMessage(role="tool", parts=[_result(message, asked, at)])
            case _:
                raise unsupported(f"{at}.role", "say system, developer, user, assistant or tool")


def _said(message: MessageBody, at: str) -> list[Part]:
    """Return what the model said before; as it said it, when the client sent that back."""
    parts = parts_of(message.content, at=f"{at}.content")
    if message.refusal:
        parts.append(Refusal(text=message.refusal))
    calls = message.tool_calls or []
    parts += [_call(call, f"{at}.tool_calls[{index}]") for index, call in enumerate(calls)]
    return _kept(message.extra_content, parts, at) or parts


def _call(call: CallBody, at: str) -> ToolCall:
    if call.custom is not None:
        custom = call.custom
        return ToolCall(id=call.id, name=custom.name, args_json=custom.input, kind="custom")
    if call.function is None:
        raise _missing(f"{at}.function")
    return ToolCall(id=call.id, name=call.function.name, args_json=call.function.arguments or "{}")


def _kept(extra: Mapping[str, Any] | None, parts: list[Part], at: str) -> list[Part]:
    """Return the parts that an answer of ours carried along; nothing when they were changed."""
    kept = ((extra or {}).get("segue") or {}).get("parts")
    if not kept:
        return []
    found = converted(kept, list[Part], at=f"{at}.extra_content.segue.parts")
    same = plain(found) == plain(parts) and _calls(found) == _calls(parts)
    return found if same else []


def _calls(parts: list[Part]) -> list[str]:
    return [part.id for part in parts if isinstance(part, ToolCall)]


def _result(message: MessageBody, asked: Mapping[str, str], at: str) -> ToolResult:
    if message.tool_call_id is None:
        raise _missing(f"{at}.tool_call_id")
    name = asked.get(message.tool_call_id)
    if name is None:
        what = "messages with role 'tool' must answer one of the 'tool_calls' before them"
        raise invalid(what, param=f"{at}.tool_call_id", code="invalid_value")
    content = text_of(message.content, at=f"{at}.content")
    return ToolResult(tool_call_id=message.tool_call_id, name=name, content=content)


def _missing(param: str) -> FaultError:
    message = f"Missing required parameter: '{param}'."
    return invalid(message, param=param, code="missing_required_parameter")


def custom_tools(request: ChatRequest) -> frozenset[str]:
    """Return the tools that take free text."""
    return frozenset(tool.name for tool in request.tools if tool.kind == "custom")


__all__ = ["ChatBody", "chat_body", "chat_request", "custom_tools"]
