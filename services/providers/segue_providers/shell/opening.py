"""Opening: how does what a request refers to get into it?"""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType, ValidationError, convert, structs

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1.chat import ChatMessage, ChatRequest
from segue_contracts.v1.parts import Media, Part, Source
from segue_shared.errors import PayloadMissingError, RefusedError
from segue_shared.refusals import invalid
from segue_worker.ports import PayloadStore


async def opened(request: ChatRequest, payloads: PayloadStore) -> ChatRequest:
    """Return a request with its conversation and its media in it.

    Raises:
        RefusedError: It has no messages, or what it refers to is gone or something else.
        TransientError: The store does not answer.
    """
    messages = [*await _conversation(request, payloads), *request.messages]
    if not messages:
        raise RefusedError(invalid("messages: at least one is needed"))
    whole = [await _with_media(message, payloads) for message in messages]
    return structs.replace(request, messages=whole, conversation=UNSET)


async def _conversation(request: ChatRequest, payloads: PayloadStore) -> Sequence[ChatMessage]:
    if isinstance(request.conversation, UnsetType):
        return ()
    try:
        return convert(await payloads.unwrap(request.conversation), list[ChatMessage])
    except (PayloadMissingError, ValidationError) as error:
        raise RefusedError(invalid(f"conversation: {error}")) from error


async def _with_media(message: ChatMessage, payloads: PayloadStore) -> ChatMessage:
    if not any(map(_is_referred, message.parts)):
        return message
    parts = [
        await _fetched(part, payloads) if isinstance(part, Media) else part
        for part in message.parts
    ]
    return structs.replace(message, parts=parts)


def _is_referred(part: Part) -> bool:
    return isinstance(part, Media) and not isinstance(part.source.blob, UnsetType)


async def _fetched(part: Media, payloads: PayloadStore) -> Media:
    blob = part.source.blob
    if isinstance(blob, UnsetType):
        return part
    try:
        found = await payloads.unwrap(Value(ref=PayloadRef(sha256=blob, size=0)))
    except PayloadMissingError as error:
        raise RefusedError(invalid(f"media: {error}")) from error
    if not isinstance(found, str):
        raise RefusedError(invalid(f"media: payload {blob} is no base64 text"))
    return structs.replace(part, source=Source(data_b64=found))
