"""OpenAI's responses: how is a neutral request written for them?"""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    OutputFormat,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from segue_providers.core.wires.omissions import Omissions
from segue_providers.core.wires.openai_options import (
    NO_PARAMETERS,
    Json,
    Translated,
    cache_key,
    chosen,
    custom_calls,
    data_url,
    effort,
    given,
    labels,
    leave_reasoning,
    named,
    passed_on,
    refused,
    sampling,
    schema_of,
    unset,
    unwrapped,
)
from segue_providers.core.wires.openai_profile import Profile, reasons

_COUNTED: Final = frozenset(
    {"input", "instructions", "model", "parallel_tool_calls", "reasoning", "text"}
    | {"tool_choice", "tools", "truncation"}
)
"""What of a request the endpoint that counts tokens takes."""

_Item = ToolCall | Reasoning | RawPart | Media
"""Parts that are items of their own when the model said them."""


def translate(request: ChatRequest, profile: Profile) -> Translated:
    """Write a request for responses.

    Nothing is stored at the provider: reasoning comes back encrypted, and is sent again with the
    conversation.

    Args:
        request: What is asked; `model` is the provider's own name.
        profile: Whom.

    Raises:
        UnsupportedError: The provider lacks what is asked, and must not go without.
    """
    omissions = Omissions(request.on_unsupported)
    body = {
        "model": request.model,
        "input": [*_items(request, profile, omissions)],
        "store": False,
        **_limits(request, omissions),
        **_thinking(request, profile, omissions),
        **_tools(request, omissions),
        **_text(request, omissions),
        **_delivery(request, profile, omissions),
        **passed_on(request, profile, omissions),
    }
    return Translated(body=body, warnings=omissions.warnings)


def counted(body: Json) -> Json:
    """Return what of a translated request its tokens are counted of."""
    return {name: value for name, value in body.items() if name in _COUNTED}


# Items.


def _items(request: ChatRequest, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    custom = custom_calls(request)
    for message in request.messages:
        if message.name:
            omissions.leave_out("The `name` of a message is not known here")
        yield from (_result(p, custom) for p in message.parts if isinstance(p, ToolResult))
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        if message.role == "assistant":
            yield from _said(rest, profile, omissions)
            continue
        yield from (one for p in rest for one in _moved(p, profile, omissions))
        if content := [one for p in rest for one in _piece(p, profile, omissions)]:
            yield {"type": "message", "role": _role(message), "content": content}


def _role(message: ChatMessage) -> str:
    return "user" if message.role == "tool" else message.role


def _result(part: ToolResult, custom: frozenset[str]) -> Json:
    # The interface has no place for a failure but the text.
    output = f"Error: {part.content}" if part.is_error else part.content
    kind = "custom_tool_call_output" if part.tool_call_id in custom else "function_call_output"
    return {"type": kind, "call_id": part.tool_call_id, "output": output}


def _said(
    parts: Sequence[_Item | Text | Refusal], profile: Profile, omissions: Omissions
) -> Iterator[Json]:
    """Write what the model said before; texts of one item become that item again."""
    open_item: Json | None = None
    for part in parts:
        if isinstance(part, Text | Refusal):
            item = {"type": "message", "role": "assistant", **unwrapped(part, profile)}
            if open_item is None or {**open_item, "content": None} != {**item, "content": None}:
                open_item = {**item, "content": []}
                yield open_item
            _append(open_item, part)
            continue
        open_item = None
        yield from _item(part, profile, omissions)


def _append(item: Json, part: Text | Refusal) -> None:
    content = item["content"]
    assert isinstance(content, list)  # noqa: S101 - made two lines above
    if isinstance(part, Refusal):
        content.append({"type": "refusal", "refusal": part.text})
    else:
        content.append({"type": "output_text", "text": part.text, "annotations": []})


def _item(part: _Item, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    match part:
        case ToolCall():
            yield _call(part, profile)
        case Reasoning():
            if kept := unwrapped(part, profile):
                yield kept
            else:
                leave_reasoning(part, profile, omissions)
        case RawPart():
            yield from _raw(part, profile, omissions)
        case Media():
            raise refused(part, "it takes none that a model made")
        case _:
            assert_never(part)


def _call(part: ToolCall, profile: Profile) -> Json:
    told: Json = {"call_id": part.id, "name": part.name, **unwrapped(part, profile)}
    if part.kind == "custom":
        return {"type": "custom_tool_call", **told, "input": part.args_json}
    return {"type": "function_call", **told, "arguments": part.args_json}


def _raw(part: RawPart, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    if part.provider == profile.name and isinstance(part.json, dict):
        yield part.json
    else:
        told = f"`{part.kind}` of `{part.provider}`"
        omissions.tell(f"A part {told} means nothing here; it was left out.")


def _moved(part: Part, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    """Write what is an item of its own, whoever is said to have said it."""
    if isinstance(part, ToolCall | Reasoning):
        yield from _item(part, profile, omissions)


def _piece(part: Part, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    match part:
        case Text(text=text) | Refusal(text=text):
            yield {"type": "input_text", "text": text}
        case Media():
            yield _media(part)
        case RawPart():
            yield from _raw(part, profile, omissions)
        case _:
            return


def _media(media: Media) -> Json:
    url, uploaded = data_url(media), unset(media.source.provider_file)
    match media.kind:
        case "image":
            told = given(image_url=url, file_id=uploaded)
            return {"type": "input_image", "detail": media.detail or "auto", **told}
        case "document" if url.startswith("data:"):
            name = media.title or "document"
            return {"type": "input_file", "file_data": url, "filename": name}
        case "document":
            return {"type": "input_file", **given(file_url=url, file_id=uploaded)}
        case _:
            raise refused(media, "it takes images and documents")


# Options.


def _limits(request: ChatRequest, omissions: Omissions) -> Json:
    output = request.output
    if set(output.modalities) - {"text"}:
        omissions.leave_out("Output other than text is not read from this provider")
    if output.stop:
        omissions.leave_out("`output.stop` is not known here")
    return given(max_output_tokens=output.max_tokens)


def _thinking(request: ChatRequest, profile: Profile, omissions: Omissions) -> Json:
    level = effort(request, profile, omissions)
    known = ("temperature", "top_p")
    drawn = sampling(request, profile, omissions, known=known, level=level)
    able = reasons(request.model) or not profile.vendor
    shown = request.reasoning.display
    if shown == "full":
        omissions.leave_out("`reasoning.display` `full` is not known here, a summary is asked for")
    told = given(effort=level, summary="auto" if able and shown != "omitted" else "")
    # Models that do not reason refuse to be asked for it.
    again = ["reasoning.encrypted_content"] if reasons(request.model) and profile.vendor else []
    return {**given(include=again), **({"reasoning": told} if told else {}), **drawn}


def _tools(request: ChatRequest, omissions: Omissions) -> Json:
    if not request.tools:
        return {}
    parallel = {} if request.tool_choice.parallel else {"parallel_tool_calls": False}
    tools = [_tool(tool, omissions) for tool in request.tools]
    return {"tools": tools, **_choice(request), **parallel}


def _tool(tool: Tool, omissions: Omissions) -> Json:
    if tool.kind == "server":
        return {"type": tool.name, **tool.server}
    told = {"type": tool.kind, "name": tool.name, **given(description=tool.description)}
    if tool.kind == "custom":
        return told
    schema, enforced = schema_of(
        tool.parameters or NO_PARAMETERS,
        f"tool `{tool.name}`",
        enforce=tool.strict,
        omissions=omissions,
    )
    # Absent, the interface would make it strict.
    return {**told, "parameters": schema, "strict": enforced}


def _choice(request: ChatRequest) -> Json:
    match request.tool_choice.mode:
        case "none":
            return {"tool_choice": "none"}
        case "any":
            return {"tool_choice": "required"}
        case "tool":
            picked = chosen(request, _entry)
            return {"tool_choice": picked[0] if len(picked) == 1 else _one_of(picked)}
        case _:
            return {}


def _entry(tool: Tool) -> Json:
    if tool.kind == "server":
        return {"type": tool.name}
    return {"type": tool.kind, "name": tool.name}


def _one_of(picked: list[Json]) -> Json | str:
    if not picked:
        return "required"
    return {"type": "allowed_tools", "mode": "required", "tools": picked}


def _text(request: ChatRequest, omissions: Omissions) -> Json:
    form = _form(request.output.format, omissions)
    told = {**given(verbosity=request.output.verbosity), **({"format": form} if form else {})}
    return {"text": told} if told else {}


def _form(form: OutputFormat, omissions: Omissions) -> Json:
    match form.type:
        case "json":
            return {"type": "json_object"}
        case "json_schema":
            schema, enforced = schema_of(
                form.json_schema, "the answer", enforce=form.strict, omissions=omissions
            )
            told: Json = {"name": named(form.name), "schema": schema, "strict": enforced}
            return {"type": "json_schema", **told}
        case "grammar":
            omissions.leave_out("`output.format` of type `grammar` is not known here")
            return {}
        case _:
            return {}


def _delivery(request: ChatRequest, profile: Profile, omissions: Omissions) -> Json:
    told = given(service_tier=request.service_tier)
    if request.stream.on:
        told["stream"] = True
    if not profile.vendor:
        return told
    marks = labels(request, omissions)
    return {
        **told,
        **({"metadata": marks} if marks else {}),
        **given(prompt_cache_key=cache_key(request)),
    }
