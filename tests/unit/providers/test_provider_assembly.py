"""Is what a provider says put together as it was said, and shown as far as it is wanted?"""

import pytest
from msgspec import UNSET

from segue_contracts.v1.chat import CallAttempt, ChatMessage, StreamOptions
from segue_contracts.v1.deltas import Delta, PartDelta, PartEnd, PartStart, UsageDelta
from segue_contracts.v1.metering import Usage
from segue_contracts.v1.parts import (
    Media,
    Opaque,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from segue_providers.core.answer import AnswerEvent, Closed, Grew, Metered, Opened, Whole
from segue_providers.core.assembly import Assembly, MalformedAnswerError, deltas_of
from segue_providers.core.attempts import all_failed
from segue_providers.core.continuing import joined

SEAL = Opaque(provider="anthropic", kind="signature", data_b64="c2lnbg==")
ALL = StreamOptions(on=True, include=["reasoning", "tool_args", "usage"])
TEXT_ONLY = StreamOptions(on=True)
RAW = RawPart(provider="openai", kind="web_search", json={})


def assembled(*events: AnswerEvent) -> Assembly:
    """Return an assembly that has taken events."""
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return assembly


def shown(event: AnswerEvent, stream: StreamOptions, *before: AnswerEvent) -> list[Delta]:
    """Return what watchers see of an event."""
    assembly = assembled(*before, event)
    return list(deltas_of(event, assembly, provider="claude", stream=stream))


def test_parts_grow_until_they_are_closed() -> None:
    """What only the provider understands is kept with the part that it belongs to."""
    assembly = assembled(
        Opened(index=0, kind="reasoning"),
        Grew(index=0, text="Let me "),
        Grew(index=0, text="see."),
        Closed(index=0, opaque=(SEAL,)),
        Opened(index=1, kind="tool_call", id="c1", name="lint"),
        Grew(index=1, text='{"path":'),
    )

    assert assembly.message().parts == [
        Reasoning(text="Let me see.", opaque=[SEAL]),
        ToolCall(id="c1", name="lint", args_json='{"path":'),
    ]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([Opened(index=0, kind="text"), Opened(index=0, kind="text")], "part 0 begins twice"),
        ([Grew(index=2, text="x")], "part 2 grows, and is not open"),
        ([Whole(index=0, part=Text(text="x")), Grew(index=0, text="y")], "part 0 grows"),
    ],
)
def test_what_contradicts_itself_is_told(events: list[AnswerEvent], says: str) -> None:
    """A part is never guessed."""
    with pytest.raises(MalformedAnswerError, match=says):
        assembled(*events)


@pytest.mark.parametrize(
    ("part", "kind", "field"),
    [
        (Text(text="Hello."), "text", "text"),
        (Refusal(text="No."), "text", "text"),
        (Reasoning(text="Hm."), "reasoning", "reasoning"),
        (ToolCall(id="c1", name="lint", args_json="{}"), "tool_call", "args"),
    ],
)
def test_a_part_that_came_at_once_is_shown_like_one_that_grew(
    part: Part, kind: str, field: str
) -> None:
    """It begins, is said, and ends."""
    start, more, end = shown(Whole(index=0, part=part), ALL)

    assert isinstance(start, PartStart)
    assert start.kind == kind
    assert isinstance(more, PartDelta)
    assert getattr(more, field) is not UNSET
    assert isinstance(end, PartEnd)


def test_what_watchers_did_not_ask_for_is_not_shown() -> None:
    """Of a tool call they see that there is one, of reasoning nothing."""
    call = ToolCall(id="c1", name="lint", args_json="{}")

    assert shown(Whole(index=0, part=Reasoning(text="Hm.")), TEXT_ONLY) == []
    assert [type(one) for one in shown(Whole(index=0, part=call), TEXT_ONLY)] == [
        PartStart,
        PartEnd,
    ]


@pytest.mark.parametrize(
    "part", [RAW, Media(kind="image", mime="image/png", source=Source(url="https://x"))]
)
def test_what_has_no_words_is_not_shown(part: Part) -> None:
    """It is in the answer all the same."""
    event = Whole(index=0, part=part)

    assert shown(event, ALL) == []
    assert assembled(event).message().parts == [part]


def test_usage_is_shown_to_who_asked_for_it() -> None:
    """Others see it at the end."""
    event = Metered(usage=Usage(output_total=3))

    assert shown(event, ALL) == [UsageDelta(request="", usage=Usage(output_total=3))]
    assert shown(event, TEXT_ONLY) == []


def test_nothing_new_is_shown_as_nothing() -> None:
    """An empty piece is no word."""
    opened = Opened(index=0, kind="text")

    assert shown(Grew(index=0, text=""), ALL, opened) == []
    assert not assembled(opened, Grew(index=0, text="")).spoken


@pytest.mark.parametrize(
    ("rest", "whole"),
    [
        ([Text(text=" upon a time.")], [Text(text="Once upon a time.")]),
        ([RAW], [Text(text="Once"), RAW]),
        ([], [Text(text="Once")]),
    ],
)
def test_the_rest_of_an_answer_is_joined_to_its_beginning(
    rest: list[Part], whole: list[Part]
) -> None:
    """The part that broke off is one part again."""
    assert joined("Once", ChatMessage(role="assistant", parts=rest)).parts == whole


def test_a_try_that_answered_is_told_as_such() -> None:
    """As when the answer could not be handed on afterwards."""
    tries = [CallAttempt(number=1, provider="claude")]

    refused = all_failed(tries, "budget_exceeded", "the budget is used up")

    assert refused.message == "no provider answered: claude answered; the budget is used up"
