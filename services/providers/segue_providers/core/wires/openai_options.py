"""Options: how are what both of OpenAI's interfaces share, and what neither takes, written?"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from segue_contracts.v1.chat import (
    ChatRequest,
    Media,
    Opaque,
    Part,
    Reasoning,
    Tool,
    ToolCall,
)
from segue_providers.core.wires.omissions import Omissions, UnsupportedError
from segue_providers.core.wires.openai_profile import (
    VENDOR,
    Profile,
    least_effort,
    reasons,
    samples,
)
from segue_providers.core.wires.openai_schema import LooseSchemaError, strict

Json = dict[str, object]

NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}
"""The schema of a tool that takes nothing."""

_OURS: Final = frozenset({"model", "messages", "input", "stream", "n", "background"})
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LABELS: Final = 16
_LABEL_NAME: Final = 64
_LABEL_VALUE: Final = 512


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the provider takes it."""

    body: Json
    """The body to send."""
    warnings: tuple[str, ...] = ()
    """What was left out of it."""


def given(**options: object) -> Json:
    """Return the options that are there: not unset, not empty."""
    return {name: value for name, value in options.items() if value not in (UNSET, None, "", [])}


def effort(request: ChatRequest, profile: Profile, omissions: Omissions) -> str:
    """Return the effort of reasoning to ask for; empty to ask for none in particular."""
    asked = request.reasoning
    if asked.budget_tokens is not UNSET:
        omissions.leave_out("`reasoning.budget_tokens` is not known to this provider, only efforts")
    if profile.vendor and not reasons(request.model):
        if asked.mode == "on" or asked.effort:
            omissions.leave_out(f"`reasoning` is not known to model `{request.model}`")
        return ""
    if asked.mode == "off":
        return least_effort(request.model) if profile.vendor else "none"
    return asked.effort or ("medium" if asked.mode == "on" and profile.vendor else "")


def sampling(
    request: ChatRequest,
    profile: Profile,
    omissions: Omissions,
    *,
    known: Iterable[str],
    level: str,
) -> Json:
    """Return how tokens are drawn, in the words of the contracts, which are the provider's too.

    Args:
        request: What is asked.
        profile: Whom.
        omissions: Takes what cannot be asked.
        known: The settings that the interface has.
        level: The effort of reasoning that is asked for.
    """
    wanted = given(
        **{name: getattr(request.sampling, name) for name in request.sampling.__struct_fields__}
    )
    free = not profile.vendor or samples(request.model, level)
    names = (
        set(known)
        if free
        else set(known) - {"temperature", "top_p", "presence_penalty", "frequency_penalty"}
    )
    for name in sorted(wanted.keys() - names):
        by = "this provider" if name not in known else f"model `{request.model}` while it reasons"
        omissions.leave_out(f"`sampling.{name}` is not known to {by}")
    return {name: value for name, value in wanted.items() if name in names}


def labels(request: ChatRequest, omissions: Omissions) -> dict[str, str]:
    """Return the labels that the provider takes."""
    fits = {
        name: value
        for name, value in list(request.metadata.items())[:_LABELS]
        if len(name) <= _LABEL_NAME and len(value) <= _LABEL_VALUE
    }
    for name in request.metadata.keys() - fits.keys():
        omissions.leave_out(f"label `{name[:_LABEL_NAME]}` exceeds what this provider takes")
    return fits


def cache_key(request: ChatRequest) -> str:
    """Return the key by which the provider finds its prompt cache again; empty for none."""
    key = request.route.sticky_key
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def schema_of(schema: Json, what: str, *, enforce: bool, omissions: Omissions) -> tuple[Json, bool]:
    """Return a schema as it is sent, and whether the provider enforces it.

    Args:
        schema: The JSON Schema.
        what: Whose it is, for a warning.
        enforce: Whether it shall be enforced.
        omissions: Takes the wish that it be enforced, where it cannot.
    """
    if not enforce:
        return schema, False
    try:
        return strict(schema), True
    except LooseSchemaError as error:
        omissions.leave_out(f"The strict schema of {what} cannot be enforced, since {error}")
        return schema, False


def named(name: str) -> str:
    """Return a name in the letters that the provider allows."""
    return _NAME.sub("_", name)[:64] or "answer"


def chosen(request: ChatRequest, entry: Callable[[Tool], Json]) -> list[Json]:
    """Return the tools that the choice `tool` names.

    Args:
        request: What is asked.
        entry: Writes one tool in the way of a choice.
    """
    return [entry(tool) for tool in request.tools if tool.name in request.tool_choice.names]


def data_url(media: Media) -> str:
    """Return where the provider finds the bytes of media; empty for an uploaded file.

    Raises:
        UnsupportedError: The bytes are in the object store, where no provider can read.
    """
    source = media.source
    if source.data_b64 is not UNSET:
        return f"data:{media.mime};base64,{source.data_b64}"
    if source.url is not UNSET:
        return source.url
    if source.provider_file is not UNSET:
        return ""
    raise UnsupportedError(f"A {media.kind} is not sent with the request; send its bytes or a URL.")


def refused(media: Media, why: str) -> UnsupportedError:
    """Return the error of media that the provider cannot take.

    An answer that ignores a picture is worse than none, so media are never just left out.
    """
    return UnsupportedError(
        f"A {media.kind} ({media.mime}) cannot be sent to this provider: {why}."
    )


def unset(value: str | UnsetType) -> str:
    """Return a text that may be absent; empty then."""
    return "" if value is UNSET else value


def opaque(profile: Profile, kind: Literal["encrypted", "item_id"], data: Json) -> Opaque:
    """Wrap what only the provider understands."""
    encoded = base64.b64encode(msgspec.json.encode(data)).decode()
    return Opaque(provider=profile.name, kind=kind, data_b64=encoded)


def unwrapped(part: Part, profile: Profile) -> Json:
    """Return what the provider had wrapped with a part; empty when it was another, or nothing.

    Raises:
        UnsupportedError: It is damaged.
    """
    for one in part.opaque:
        if one.provider == profile.name:
            try:
                return msgspec.json.decode(base64.b64decode(one.data_b64), type=Json)
            except ValueError as error:
                raise UnsupportedError(
                    f"The {one.kind} data of a part is damaged; send it as the provider gave it."
                ) from error
    return {}


def foreign(part: Part, profile: Profile) -> Iterator[str]:
    """Name the other providers whose data a part carries."""
    return (one.provider for one in part.opaque if one.provider != profile.name)


def custom_calls(request: ChatRequest) -> frozenset[str]:
    """Return the ids of calls that took free text; their results are written otherwise."""
    return frozenset(
        part.id
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCall) and part.kind == "custom"
    )


def passed_on(request: ChatRequest, profile: Profile, omissions: Omissions) -> Json:
    """Return the provider's own options, without what the router alone decides."""
    options = {
        **(request.provider_options.get(VENDOR, {}) if profile.vendor else {}),
        **request.provider_options.get(profile.name, {}),
    }
    for name in sorted(_OURS & options.keys()):
        omissions.leave_out(f"Provider option `{name}` is the router's")
    return {name: value for name, value in options.items() if name not in _OURS}


def leave_reasoning(part: Reasoning, profile: Profile, omissions: Omissions) -> None:
    """Note reasoning that cannot be sent back, when another provider wants it back."""
    for provider in foreign(part, profile):
        omissions.tell(
            f"Reasoning of `{provider}` means nothing to this provider; it was left out."
        )
