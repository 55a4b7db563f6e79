"""Is every answer of chat completions read, and none taken for whole that was cut?"""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.openai_support import LOCAL, VENDOR, assembled

from segue_contracts.v1.chat import Reasoning, Refusal, Stop, Text, ToolCall
from segue_contracts.v1.metering import CacheWrites, Usage
from segue_providers.core.answer import Alive, AnswerEvent, Began, Metered, Stopped
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.openai_chat_answer import ChatReader, usage_of
from segue_providers.core.wires.openai_profile import Profile


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c", "model": "gpt-served", "service_tier": "flex", "choices": [choice]}


def call(index: int | None = None, **told: Any) -> dict[str, Any]:
    """A piece of a call of a function."""
    name = {name: told.pop(name) for name in ("name", "arguments") if name in told}
    at = {} if index is None else {"index": index}
    return {**at, **told, "function": name}


def events(*chunks: Any, done: bool = True, profile: Profile = VENDOR) -> list[AnswerEvent]:
    """Read a stream."""
    reader = ChatReader(profile, Began(ids={"request": "r"}), calls_before=3)
    read = [event for one in chunks for event in reader.read(one)]
    return [*read, *reader.ended(done=done)]


def answer(*chunks: Any, done: bool = True, profile: Profile = VENDOR) -> Assembly:
    """Read a stream and put the answer together."""
    return assembled(events(*chunks, done=done, profile=profile))


def stop(read: Assembly) -> Stop:
    """Return why a whole answer stopped."""
    assert read.stopped is not None

    return read.stopped.stop


def test_text_is_read_piece_by_piece() -> None:
    """The first chunk tells who serves, and empty pieces say nothing."""
    read = answer(
        chunk(role="assistant", content=""),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk("stop"),
    )

    assert read.began == Began(
        model="gpt-served", ids={"request": "r", "response": "c"}, service_tier="flex"
    )
    assert read.message().parts == [Text(text="Hello")]
    assert stop(read) == Stop(reason="end", raw="stop")


def test_a_chunk_that_says_nothing_is_a_sign_of_life() -> None:
    """The router knows by it that the provider is still there."""
    assert events(chunk(content="a"), chunk())[-1] == Alive()


def test_a_whole_reply_is_read_as_one_chunk() -> None:
    """It has a message instead of a delta."""
    message = {"role": "assistant", "content": "Hello"}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}

    assert answer(body).message().parts == [Text(text="Hello")]


@pytest.mark.parametrize(
    ("chunks", "done", "profile", "whole"),
    [
        ([chunk(content="a")], True, VENDOR, False),
        ([chunk(content="a")], False, VENDOR, False),
        ([chunk(content="a"), chunk("stop")], False, VENDOR, True),
        ([chunk(content="a")], True, LOCAL, True),
        ([chunk(content="a")], False, LOCAL, False),
        ([chunk(content="a"), chunk("stop")], False, LOCAL, True),
        ([], True, LOCAL, False),
        ([{"choices": []}], True, LOCAL, False),
    ],
)
def test_an_answer_is_whole_only_with_its_providers_proof(
    chunks: list[Any], profile: Profile, *, done: bool, whole: bool
) -> None:
    """The vendor tells a reason to stop; of others it is enough that they say it is done."""
    read = events(*chunks, done=done, profile=profile)

    assert isinstance(read[-1] if read else None, Stopped) is whole


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "content_filter"),
        ("insufficient_system_resource", "other"),
    ],
)
def test_reasons_to_stop_are_translated(raw: str, reason: str) -> None:
    """The provider's own word is kept."""
    assert stop(answer(chunk(content="a"), chunk(raw))) == Stop(reason=reason, raw=raw)  # type: ignore[arg-type]


def test_a_forced_call_stops_for_its_tool() -> None:
    """The provider says `stop` there, as for the end."""
    read = answer(chunk(tool_calls=[call(0, id="1", name="w", arguments="{}")]), chunk("stop"))

    assert stop(read).reason == "tool_use"


def test_a_refusal_is_a_reason_to_stop() -> None:
    """Its words explain it."""
    read = answer(chunk(refusal="I "), chunk(refusal="won't"), chunk("stop"))

    assert read.message().parts == [Refusal(text="I won't")]
    assert stop(read) == Stop(reason="refusal", raw="stop", explanation="I won't")


def test_the_text_at_which_a_model_stopped_is_told() -> None:
    """Some servers tell which of the texts it was."""
    last = chunk("stop")
    last["choices"][0]["stop_reason"] = "END"

    assert stop(answer(chunk(content="a"), last)) == Stop(
        reason="stop_sequence", raw="stop", sequence="END"
    )


def test_calls_grow_by_their_index() -> None:
    """Pieces of several calls may come mixed, and calls close what was being said."""
    read = answer(
        chunk(content="I look."),
        chunk(tool_calls=[call(0, id="a", name="x", arguments="")]),
        chunk(tool_calls=[call(0, arguments='{"n"'), call(1, id="b", name="y")]),
        chunk(tool_calls=[call(1, arguments="{}"), call(0, arguments=":1}")]),
        chunk(content="Done."),
        chunk("tool_calls"),
    )

    assert read.message().parts == [
        Text(text="I look."),
        ToolCall(id="a", name="x", args_json='{"n":1}'),
        ToolCall(id="b", name="y", args_json="{}"),
        Text(text="Done."),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [call(id="a", name="x", arguments='{"n":1}'), call(id="b", name="y", arguments={"m": 2})],
        [
            call(0, id="a", name="x", arguments={"n": 1}),
            call(0, id="b", name="y", arguments='{"m":2}'),
        ],
        [
            call(id="a", name="x", arguments='{"n":'),
            call(arguments="1}"),
            call(id="b", name="y", arguments='{"m":2}'),
        ],
    ],
)
def test_calls_of_careless_servers_are_told_apart(pieces: list[Any]) -> None:
    """Without indices, with the same one, or with arguments that are no text."""
    read = answer(*[chunk(tool_calls=[one]) for one in pieces], profile=LOCAL)

    assert read.message().parts == [
        ToolCall(id="a", name="x", args_json='{"n":1}'),
        ToolCall(id="b", name="y", args_json='{"m":2}'),
    ]


def test_ids_that_are_made_up_do_not_repeat() -> None:
    """They count on from the calls of the conversation."""
    read = answer(chunk(tool_calls=[call(name="x"), call(name="y")]), profile=LOCAL)

    assert read.message().parts == [
        ToolCall(id="call_4", name="x"),
        ToolCall(id="call_5", name="y"),
    ]


def test_a_call_of_free_text_stays_one() -> None:
    """It is told from a function's when it closes."""
    custom = {"index": 0, "id": "1", "custom": {"name": "shell", "input": "l"}}
    more = {"index": 0, "custom": {"input": "s"}}
    read = answer(chunk(tool_calls=[custom]), chunk(tool_calls=[more]), chunk("tool_calls"))

    assert read.message().parts == [
        ToolCall(id="1", name="shell", args_json="ls", kind="custom"),
    ]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_shown_reasoning_is_told_from_the_answer(field: str) -> None:
    """Servers show it under either name."""
    read = answer(
        chunk(**{field: "hm"}), chunk(**{field: {"no": "text"}}), chunk("stop", content="a")
    )

    assert read.message().parts == [Reasoning(text="hm"), Text(text="a")]


def test_citations_stay_with_their_text() -> None:
    """They come as the provider gave them; without a text they belong to nothing."""
    cited = {"type": "url_citation", "url_citation": {"url": "https://x"}}
    read = answer(
        chunk(annotations=[cited]), chunk(content="a", annotations=[cited]), chunk("stop")
    )

    assert read.message().parts == [Text(text="a", citations=[cited])]


def test_content_in_pieces_is_joined() -> None:
    """Some servers answer with a list; what is no text in it is not said."""
    content = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]

    assert answer(chunk("stop", content=content)).message().parts == [Text(text="ab")]


def test_other_choices_are_not_read() -> None:
    """One answer is asked for."""
    second = {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}
    both = chunk("stop", content="a")
    both["choices"].append(second)

    assert answer(both).message().parts == [Text(text="a")]


def test_usage_is_normalised() -> None:
    """Totals include what was cached and reasoned, and the provider's object is kept."""
    raw = {
        "prompt_tokens": 225,
        "completion_tokens": 22,
        "prompt_tokens_details": {
            "cached_tokens": 100,
            "cache_write_tokens": 100,
            "image_tokens": 3,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 2},
    }

    assert events(chunk("stop", content="a"), {"choices": [], "usage": raw})[3] == Metered(
        usage=Usage(
            input_total=225,
            input_uncached=25,
            cache_read=100,
            cache_write=CacheWrites(other=100),
            output_total=22,
            output_reasoning=7,
            input_by_modality={"image": 3},
            output_by_modality={"audio": 2},
            raw=raw,
        )
    )


def test_bare_usage_is_usage() -> None:
    """Details are the vendor's."""
    assert usage_of({"prompt_tokens": 3}).input_uncached == 3


@pytest.mark.parametrize("frame", ["<html>", {"choices": "no"}, {"usage": {"prompt_tokens": "x"}}])
def test_what_is_no_chunk_is_refused(frame: Any) -> None:
    """Nothing is guessed of it."""
    with pytest.raises(msgspec.ValidationError):
        events(frame)


DELTAS = st.lists(
    st.builds(lambda text: chunk(content=text), st.text())
    | st.builds(lambda text: chunk(reasoning=text), st.text())
    | st.builds(lambda text: chunk(refusal=text), st.text())
    | st.builds(
        lambda index, text: chunk(
            tool_calls=[call(index, id=f"{index}", name="x", arguments=text)]
        ),
        st.integers(0, 3),
        st.text(),
    )
)


@given(DELTAS)
def test_nothing_that_is_said_gets_lost(chunks: list[Any]) -> None:
    """Whatever the order, the parts hold all text in the order of their kind."""
    read = answer(*chunks, chunk("stop"))
    deltas = [one["choices"][0]["delta"] for one in chunks]
    parts = read.message().parts

    assert "".join(p.text for p in parts if isinstance(p, Text)) == "".join(
        one.get("content", "") for one in deltas
    )
    assert "".join(p.text for p in parts if isinstance(p, Reasoning)) == "".join(
        one.get("reasoning", "") for one in deltas
    )
    for index in range(4):
        told = [
            one["tool_calls"][0]["function"]["arguments"]
            for one in deltas
            if one.get("tool_calls", [{}])[0].get("index") == index
        ]
        found = [p.args_json for p in parts if isinstance(p, ToolCall) and p.id == f"{index}"]
        assert found == ([("".join(told) or "{}")] if told else [])
