"""OpenAI's chat completions: how is a neutral request written for them?"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import UNSET

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
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
    data_url,
    effort,
    given,
    leave_reasoning,
    named,
    passed_on,
    refused,
    sampling,
    schema_of,
    unset,
)
from segue_providers.core.wires.openai_profile import Profile, reasons

_SAMPLING: Final = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_MOST_STOPS: Final = 4
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def translate(request: ChatRequest, profile: Profile) -> Translated:
    """Write a request for chat completions.

    Args:
        request: What is asked; `model` is the provider's own name.
        profile: Whom.

    Raises:
        UnsupportedError: The provider lacks what is asked, and must not go without.
    """
    omissions = Omissions(request.on_unsupported)
    body = {
        "model": request.model,
        "messages": [*_messages(request, profile, omissions)],
        **_limits(request, profile, omissions),
        **_thinking(request, profile, omissions),
        **_tools(request, omissions),
        **_form(request, omissions),
        **_delivery(request, profile),
        **passed_on(request, profile, omissions),
    }
    return Translated(body=body, warnings=omissions.warnings)


# Messages.


def _messages(request: ChatRequest, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    for message in request.messages:
        # The interface wants results right behind the calls that they answer.
        yield from (_result(one) for one in message.parts if isinstance(one, ToolResult))
        rest = [one for one in message.parts if not isinstance(one, ToolResult)]
        if not rest:
            continue
        if message.role == "assistant":
            yield from _said(message, rest, profile, omissions)
        else:
            role = "user" if message.role == "tool" else _role(message, profile)
            content = _content(rest, profile, omissions)
            yield {"role": role, "content": content, **given(name=_speaker(message))}


def _role(message: ChatMessage, profile: Profile) -> str:
    # Only the vendor's models tell developers from the system.
    unknown = message.role == "developer" and not profile.vendor
    return "system" if unknown else message.role


def _speaker(message: ChatMessage) -> str:
    return named(message.name) if message.name else ""


def _result(part: ToolResult) -> Json:
    # The interface has no place for a failure but the text.
    content = f"Error: {part.content}" if part.is_error else part.content
    return {"role": "tool", "tool_call_id": part.tool_call_id, "content": content}


def _said(
    message: ChatMessage, parts: Sequence[Part], profile: Profile, omissions: Omissions
) -> Iterator[Json]:
    """Write what the model said before; a message of reasoning alone is none."""
    content = _content([p for p in parts if not isinstance(p, ToolCall)], profile, omissions)
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    if content or calls:
        told = given(tool_calls=calls, name=_speaker(message))
        yield {"role": "assistant", "content": content or None, **told}


def _call(part: ToolCall) -> Json:
    if part.kind == "custom":
        custom = {"name": part.name, "input": part.args_json}
        return {"id": part.id, "type": "custom", "custom": custom}
    function = {"name": part.name, "arguments": part.args_json}
    return {"id": part.id, "type": "function", "function": function}


def _content(parts: Sequence[Part], profile: Profile, omissions: Omissions) -> str | list[Json]:
    """Return text as text, since not every compatible server knows lists of it."""
    if all(isinstance(part, Text) for part in parts):
        texts = [part.text for part in parts if isinstance(part, Text)]
        if len(texts) == 1 or not profile.vendor:
            return "\n\n".join(texts)
    return [one for part in parts for one in _piece(part, profile, omissions)]


def _piece(part: Part, profile: Profile, omissions: Omissions) -> Iterator[Json]:
    match part:
        case Text(text=text):
            yield {"type": "text", "text": text}
        case Refusal(text=text):
            yield {"type": "refusal", "refusal": text}
        case Media():
            yield _media(part)
        case RawPart(provider=profile.name, json=dict(raw)):
            yield raw
        case RawPart(provider=provider, kind=kind):
            omissions.tell(f"A part `{kind}` of `{provider}` means nothing here; it was left out.")
        case Reasoning():
            leave_reasoning(part, profile, omissions)
        case _:
            return


def _media(media: Media) -> Json:
    url = data_url(media)
    match media.kind:
        case "image" if url:
            return {"type": "image_url", "image_url": {"url": url, **given(detail=media.detail)}}
        case "audio" if media.mime in _AUDIO and media.source.data_b64 is not UNSET:
            sound = {"data": media.source.data_b64, "format": _AUDIO[media.mime]}
            return {"type": "input_audio", "input_audio": sound}
        case "document" if not url or url.startswith("data:"):
            name = (media.title or "document") if url else ""
            uploaded = unset(media.source.provider_file)
            return {"type": "file", "file": given(file_data=url, filename=name, file_id=uploaded)}
        case "image":
            raise refused(media, "images are sent as bytes or URL")
        case "audio":
            raise refused(media, "sound is sent as bytes, WAV or MP3")
        case "document":
            raise refused(media, "documents are sent as bytes or as an uploaded file")
        case _:
            raise refused(media, "it takes none")


# Options.


def _limits(request: ChatRequest, profile: Profile, omissions: Omissions) -> Json:
    output = request.output
    if set(output.modalities) - {"text"}:
        omissions.leave_out("Output other than text is not read from this provider")
    stops = output.stop
    if profile.vendor and stops and reasons(request.model):
        omissions.leave_out(f"`output.stop` is not known to model `{request.model}`")
        stops = []
    if profile.vendor and len(stops) > _MOST_STOPS:
        omissions.leave_out(f"`output.stop` beyond {_MOST_STOPS} texts is not known here")
        stops = stops[:_MOST_STOPS]
    # The vendor's newer models refuse the old name, older compatible servers ignore the new one.
    most = "max_completion_tokens" if profile.vendor else "max_tokens"
    return given(**{most: output.max_tokens}, stop=stops, verbosity=output.verbosity)


def _thinking(request: ChatRequest, profile: Profile, omissions: Omissions) -> Json:
    if request.reasoning.display != "omitted" and profile.vendor:
        omissions.leave_out("`reasoning.display` is not known here, since reasoning is not shown")
    level = effort(request, profile, omissions)
    known = _SAMPLING if profile.vendor else (*_SAMPLING, "top_k")
    drawn = sampling(request, profile, omissions, known=known, level=level)
    return {**given(reasoning_effort=level), **drawn}


def _tools(request: ChatRequest, omissions: Omissions) -> Json:
    offered = [tool for tool in request.tools if tool.kind != "server"]
    for tool in request.tools:
        if tool.kind == "server":
            omissions.leave_out(
                f"Tool `{tool.name}` would run at the provider, which has none here"
            )
    if not offered:
        return {}
    parallel = {} if request.tool_choice.parallel else {"parallel_tool_calls": False}
    tools = [_tool(tool, omissions) for tool in offered]
    return {"tools": tools, **_choice(request), **parallel}


def _tool(tool: Tool, omissions: Omissions) -> Json:
    told = {"name": tool.name, **given(description=tool.description)}
    if tool.kind == "custom":
        return {"type": "custom", "custom": told}
    schema, enforced = schema_of(
        tool.parameters or NO_PARAMETERS,
        f"tool `{tool.name}`",
        enforce=tool.strict,
        omissions=omissions,
    )
    function = {**told, "parameters": schema, **({"strict": True} if enforced else {})}
    return {"type": "function", "function": function}


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
    return {"type": tool.kind, tool.kind: {"name": tool.name}}


def _one_of(picked: list[Json]) -> Json | str:
    if not picked:
        return "required"
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": picked}}


def _form(request: ChatRequest, omissions: Omissions) -> Json:
    form = request.output.format
    match form.type:
        case "json":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema, enforced = schema_of(
                form.json_schema, "the answer", enforce=form.strict, omissions=omissions
            )
            told = {"name": named(form.name), "schema": schema, "strict": enforced}
            return {"response_format": {"type": "json_schema", "json_schema": told}}
        case "grammar":
            omissions.leave_out("`output.format` of type `grammar` is not known here")
            return {}
        case _:
            return {}


def _delivery(request: ChatRequest, profile: Profile) -> Json:
    told = given(service_tier=request.service_tier)
    if request.stream.on:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    if not profile.vendor:
        return told
    # The vendor takes labels only of what it stores.
    return {**told, "store": False, **given(prompt_cache_key=cache_key(request))}
