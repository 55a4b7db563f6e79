"""Responses, asked: what does such a body ask of the router?"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    OutputOptions,
    Part,
    Reasoning,
    RouteOptions,
    Text,
    ToolCall,
    ToolResult,
)
from segue_gateway.core.openai.content import Content, parts_of, text_of
from segue_gateway.core.openai.faults import invalid, unsupported
from segue_gateway.core.openai.options import (
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

ENCRYPTED: Final = "reasoning.encrypted_content"
"""What a caller includes that carries the model's reasoning along by itself."""

_NEUTRAL: Final[dict[str, tuple[object, str]]] = {
    "background": (False, "stay connected, or start a run"),
    "background_options": ({}, "leave it out"),
    "conversation": ("", "send the whole conversation as 'input'"),
    "context_management": ([], "send what the model shall see"),
    "image": ({}, "answers are text"),
    "max_tool_calls": (0, "tools are called by you"),
    "moderation": ({}, "leave it out"),
    "previous_response_id": ("", "nothing is stored here; send the whole conversation as 'input'"),
    "prompt": ({}, "nothing is stored here; send 'instructions' and 'input'"),
    "store": (False, "answers are not stored here"),
    "top_logprobs": (0, "no provider but one tells them"),
    "truncation": ("disabled", "send what fits"),
}


class MessageItem(Loose, frozen=True, kw_only=True):
    """A message."""

    role: str
    content: Content


class CallItem(Loose, frozen=True, kw_only=True):
    """A call of a tool that the model asked for."""

    call_id: str
    name: str
    arguments: str = "{}"
    input: str = ""
    extra_content: dict[str, Any] | None = None


class OutputItem(Loose, frozen=True, kw_only=True):
    """What a tool answered."""

    call_id: str
    output: Content


class ReasoningItem(Loose, frozen=True, kw_only=True):
    """How the model reasoned."""

    encrypted_content: str | None = None


class TextForm(Loose, frozen=True, kw_only=True):
    """The form of a text."""

    type: str
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextBody(Loose, frozen=True, kw_only=True):
    """What the answer's text is like."""

    format: TextForm | None = None
    verbosity: str | None = None


class ReasoningBody(Loose, frozen=True, kw_only=True):
    """How much the model shall reason, and what is shown of it."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class ResponsesBody(Strict, frozen=True, kw_only=True):
    """The body of `POST /v1/responses`."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    background: bool | None = None
    background_options: dict[str, Any] | None = None
    context_management: list[Any] | None = None
    conversation: str | dict[str, Any] | None = None
    image: dict[str, Any] | None = None
    max_tool_calls: int | None = None
    moderation: dict[str, Any] | None = None
    previous_response_id: str | None = None
    prompt: dict[str, Any] | None = None
    store: bool | None = None
    top_logprobs: int | None = None
    truncation: str | None = None

    @property
    def summarised(self) -> bool:
        """Whether the answer tells how the model reasoned."""
        asked = self.reasoning
        return asked is not None and bool(asked.summary or asked.generate_summary)

    @property
    def carries_reasoning(self) -> bool:
        """Whether the answer carries what the model needs to go on reasoning."""
        return ENCRYPTED in (self.include or ())


def responses_body(data: bytes) -> ResponsesBody:
    """Read a body.

    Raises:
        FaultError: It has another form, or asks for what is not there.
    """
    body = read(data, ResponsesBody)
    only(body, _NEUTRAL)
    for index, name in enumerate(body.include or ()):
        if name != ENCRYPTED:
            raise unsupported(f"include[{index}]", f"only '{ENCRYPTED}' can be included")
    if not body.input:
        raise invalid("at least one item is needed", param="input", code="invalid_value")
    return body


def responses_request(body: ResponsesBody, *, id: str, inbox: str = "") -> ChatRequest:  # noqa: A002 - the contract's own name
    """Return what is asked of the router.

    Args:
        body: The body.
        id: The request's id.
        inbox: Where its deltas shall go; empty when it is not streamed.

    Raises:
        FaultError: A field cannot be what it is.
    """
    tools = tools_of(body.tools, nested=False)
    picked = chosen(tools, body.tool_choice, parallel=body.parallel_tool_calls)
    effort = None if body.reasoning is None else body.reasoning.effort
    return ChatRequest(
        id=id,
        model=body.model,
        messages=[*_instructed(body), *_merged(body.input)],
        tools=picked.tools,
        tool_choice=picked.choice,
        output=_output(body),
        sampling=sampling_of(temperature=body.temperature, top_p=body.top_p),
        reasoning=reasoning_of(effort, shown=body.summarised),
        stream=stream_of(inbox, reasoning=True),
        route=RouteOptions(sticky_key=body.prompt_cache_key or ""),
        service_tier=body.service_tier or "",
        metadata=labels_of(body.metadata, body.safety_identifier or body.user),
    )


def _output(body: ResponsesBody) -> OutputOptions:
    told = body.text or TextBody()
    form = told.format or TextForm(type="text")
    schema = Schema(name=form.name, schema=form.schema, strict=form.strict)
    return OutputOptions(
        max_tokens=given(body.max_output_tokens),
        format=format_of(form.type, schema, param="text.format"),
        verbosity=told.verbosity or "",
    )


def _instructed(body: ResponsesBody) -> Iterator[ChatMessage]:
    if body.instructions:
        yield ChatMessage(role="system", parts=[Text(text=body.instructions)])


def _merged(items: str | list[dict[str, Any]]) -> Iterator[ChatMessage]:
    """Yield the messages that items make; what the model said at once is one message."""
    if isinstance(items, str):
        yield ChatMessage(role="user", parts=[Text(text=items)])
        return
    held: ChatMessage | None = None
    for message in _messages(items):
        if held is not None and held.role == message.role and held.role in {"assistant", "tool"}:
            held = msgspec.structs.replace(held, parts=[*held.parts, *message.parts])
            continue
        if held is not None:
            yield held
        held = message
    if held is not None:
        yield held


def _messages(items: list[dict[str, Any]]) -> Iterator[ChatMessage]:
    asked: dict[str, str] = {}
    for index, item in enumerate(items):
        at = f"input[{index}]"
        match item.get("type", "message"):
            case "message":
                yield _message(item, at)
            case "function_call" | "custom_tool_call" as kind:
                call = _call(item, at, custom=kind == "custom_tool_call")
                asked[call.id] = call.name
                yield ChatMessage(role="assistant", parts=[call])
            case "function_call_output" | "custom_tool_call_output":
                yield ChatMessage(role="tool", parts=[_result(item, asked, at)])
            case "reasoning":
                yield from _reasoned(item, at)
            case kind:
                raise unsupported(f"{at}.type", f"items of type '{kind}' mean nothing here")


def _message(item: dict[str, Any], at: str) -> ChatMessage:
    told = converted(item, MessageItem, at=at)
    parts = parts_of(told.content, at=f"{at}.content")
    match told.role:
        case "system" | "developer" | "user" | "assistant" as role:
            return ChatMessage(role=role, parts=parts)
        case _:
            raise unsupported(f"{at}.role", "say system, developer, user or assistant")


def _call(item: dict[str, Any], at: str, *, custom: bool) -> ToolCall:
    told = converted(item, CallItem, at=at)
    kept = ((told.extra_content or {}).get("segue") or {}).get("part")
    if kept:
        [part] = converted([kept], list[Part], at=f"{at}.extra_content.segue.part")
        if isinstance(part, ToolCall) and part.id == told.call_id:
            return part
    if custom:
        return ToolCall(id=told.call_id, name=told.name, args_json=told.input, kind="custom")
    return ToolCall(id=told.call_id, name=told.name, args_json=told.arguments)


def _result(item: dict[str, Any], asked: Mapping[str, str], at: str) -> ToolResult:
    told = converted(item, OutputItem, at=at)
    name = asked.get(told.call_id)
    if name is None:
        what = "an output must answer one of the calls before it"
        raise invalid(what, param=f"{at}.call_id", code="invalid_value")
    content = text_of(told.output, at=f"{at}.output")
    return ToolResult(tool_call_id=told.call_id, name=name, content=content)


def _reasoned(item: dict[str, Any], at: str) -> Iterator[ChatMessage]:
    """Yield the reasoning that an answer of ours carried along; its summary alone is of no use."""
    told = converted(item, ReasoningItem, at=at)
    if told.encrypted_content:
        yield ChatMessage(role="assistant", parts=[_opened(told.encrypted_content, at)])


def _opened(carried: str, at: str) -> Reasoning:
    try:
        return msgspec.json.decode(base64.b64decode(carried, validate=True), type=Reasoning)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as error:
        what = "it must be as an answer from here carried it"
        raise invalid(what, param=f"{at}.encrypted_content", code="invalid_value") from error


def sealed(part: Reasoning) -> str:
    """Return reasoning as an answer carries it along."""
    return base64.b64encode(msgspec.json.encode(part)).decode()
