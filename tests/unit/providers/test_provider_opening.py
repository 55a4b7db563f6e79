"""Does what a request refers to get into it, and is what is gone told?"""

import pytest
from msgspec import UNSET, structs, to_builtins
from unit.providers.provider_support import asking, said

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1.chat import ChatMessage, ChatRequest
from segue_contracts.v1.parts import Media, Source, Text
from segue_providers.shell.opening import opened
from segue_shared.errors import PayloadMissingError, RefusedError

SHA = "5f" * 32
REF = Value(ref=PayloadRef(sha256=SHA, size=90_000))


class Shelf:
    """A store with one value, or none."""

    def __init__(self, value: object = UNSET) -> None:
        self.value = value

    async def unwrap(self, value: Value) -> object:
        """Return the value."""
        if self.value is UNSET:
            raise PayloadMissingError(f"payload {SHA} is not stored")
        assert isinstance(value.ref, PayloadRef)
        return self.value

    async def wrap(self, value: object) -> Value:
        """Do nothing of the kind."""
        raise AssertionError(value)


def picture(**source: str) -> ChatRequest:
    """Return a request with a picture."""
    part = Media(kind="image", mime="image/png", source=Source(**source))  # type: ignore[arg-type]
    return ChatRequest(messages=[ChatMessage(role="user", parts=[Text(text="See:"), part])])


async def test_a_conversation_comes_before_what_follows_it() -> None:
    """The request then needs no store any more."""
    before = to_builtins([said("First."), said("Second.", "assistant")])
    whole = await opened(structs.replace(asking("Third."), conversation=REF), Shelf(before))

    assert [part.text for one in whole.messages for part in one.parts] == [
        "First.",
        "Second.",
        "Third.",
    ]
    assert whole.conversation is UNSET


async def test_a_picture_is_fetched() -> None:
    """Providers know nothing of our store."""
    whole = await opened(picture(blob=SHA), Shelf("aGVsbG8="))

    assert whole.messages[0].parts[1].source == Source(data_b64="aGVsbG8=")


async def test_what_is_in_it_already_is_left_alone() -> None:
    """No store is asked."""
    request = picture(url="https://example.org/a.png")

    assert await opened(request, Shelf()) == request


@pytest.mark.parametrize(
    ("request_", "value", "place"),
    [
        (ChatRequest(), UNSET, "messages: at least one"),
        (ChatRequest(conversation=REF), UNSET, "conversation: payload 5f"),
        (ChatRequest(conversation=REF), "words", "conversation: Expected `array`"),
        (picture(blob=SHA), UNSET, "media: payload 5f"),
        (picture(blob=SHA), 7, "media: payload 5f5f.* is no base64 text"),
    ],
)
async def test_what_cannot_be_opened_is_refused(
    request_: ChatRequest, value: object, place: str
) -> None:
    """The refusal names the field."""
    with pytest.raises(RefusedError, match=f"^invalid_request: {place}"):
        await opened(request_, Shelf(value))
