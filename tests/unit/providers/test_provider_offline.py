"""Does the stand-in answer honestly, the same every time, and only from what is there?"""

import jsonschema  # type: ignore[import-untyped]  # the library ships no types
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from unit.providers.provider_support import a_tool, answered, asking, said, text_of

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    OutputFormat,
    OutputOptions,
    Source,
    ToolCall,
    ToolChoice,
)
from segue_providers.core.offline import LABEL, MODEL, answer, chunks

REPORT = {
    "tool": "lint",
    "summary": "Looked at 2 files.",
    "findings": [
        {"severity": "low", "file": "b.py", "line": 1, "rule": "E1", "message": "long | <b>"},
        {
            "severity": "high",
            "file": "a.py",
            "line": 3,
            "rule": "F8",
            "message": "x",
            "symbol": "f",
        },
        {"severity": "info", "file": "c.py", "message": "no line"},
        {"severity": "info", "message": "no file"},
    ],
    "metrics": {"files": 2, "by_rule": {"F8": 1}, "ratio": 0.5, "worst": "a.py", "none": None},
    "truncated": 4,
    "notes": ["skipped `x`"],
}


def after(*messages: ChatMessage) -> ChatRequest:
    """Return the request of a conversation in which tools have answered."""
    return structs.replace(asking("Review."), messages=[said("Review."), *messages])


def in_json(request: ChatRequest, **schema: object) -> ChatRequest:
    """Ask for JSON, of a schema when one is given."""
    kind = "json_schema" if schema else "json"
    form = OutputFormat(type=kind, json_schema=schema)  # type: ignore[arg-type]
    return structs.replace(request, output=OutputOptions(format=form))


def test_the_first_line_says_that_no_model_was_called() -> None:
    """No reader can take the stand-in for a model."""
    response = answer(asking("Hello."))

    assert text_of(response).splitlines()[0] == LABEL
    assert "No model was called" in LABEL
    assert (response.provider, response.model_served) == ("offline", MODEL)


def test_usage_is_estimated_and_free() -> None:
    """Tokens are marked as estimates, and nothing is charged."""
    response = answer(asking("x" * 36))

    assert (response.usage.input_total, response.usage.source) == (10, "estimated")
    assert response.usage.output_total > 0
    assert response.cost.usd == "0"


def test_offered_tools_are_called_first() -> None:
    """The answer is one message with a call for every tool, and says what it cannot call."""
    request = structs.replace(
        asking('{"path": "/src"}'), tools=[a_tool("lint", "path"), a_tool("send", "to")]
    )
    response = answer(request)

    assert response.stop.reason == "tool_use"
    assert [part.name for part in response.message.parts if isinstance(part, ToolCall)] == ["lint"]
    assert "Calling `lint`." in text_of(response)
    assert "`send` was not called" in text_of(response)


def test_the_report_tells_what_each_tool_found() -> None:
    """Overview, counts, findings with their place, metrics and notes are all there."""
    text = text_of(answer(after(answered("lint", REPORT))))

    assert "1 tool answered. They left out 4 findings, which the table does not count." in text
    assert "## `lint`\n\nLooked at 2 files.\n\n| severity | findings |" in text
    assert "| high | 1 |\n| low | 1 |\n| info | 2 |" in text
    assert "- **high** `a.py:3` F8: x (in `f`)\n- **low** `b.py:1` E1: long \\| &lt;b>" in text
    assert "- **info** no file\n- **info** `c.py` no line" in text
    assert "- … 4 more that the tool left out" in text
    assert '- `files`: 2\n- `by_rule`: `{"F8": 1}`\n- `ratio`: 0.5\n- `worst`: a.py' in text
    assert "- `none`: `null`" in text
    assert "Notes:\n\n- skipped `x`" in text


def test_a_clean_report_says_so() -> None:
    """No findings is a result, not a gap; empty parts leave no headings."""
    text = text_of(answer(after(answered("lint", {"findings": []}))))

    assert text.endswith("## `lint`\n\nNo findings.")


def test_a_long_list_of_findings_is_cut_with_its_number() -> None:
    """The worst are shown, and how many more the tool listed."""
    many = [{"severity": "low", "file": f"{n:02}.py", "line": 1} for n in range(25)]
    text = text_of(answer(after(answered("lint", {"findings": many}))))

    assert "`19.py:1`" in text
    assert "`20.py:1`" not in text
    assert "- … 5 more listed by the tool" in text


def test_a_failed_tool_is_named_not_hidden() -> None:
    """Errors stand in the overview and in a section of their own."""
    text = text_of(answer(after(answered("lint", "no such path", is_error=True))))

    assert "0 tools answered, 1 failed: `lint`." in text
    assert "## `lint` (failed)\n\n> no such path" in text


def test_a_failed_tool_adds_nothing_to_the_counts() -> None:
    """What an error happens to hold is no finding."""
    text = text_of(answer(after(answered("lint", REPORT, is_error=True))))

    assert "| severity |" not in text


def test_other_answers_are_quoted_in_extracts() -> None:
    """Text is quoted, JSON is told as facts; what is missing is counted."""
    long = "\n".join(f"line {n}" for n in range(15))
    wide = {f"k{n:02}": n for n in range(22)}
    text = text_of(
        answer(
            after(
                answered("log", long),
                answered("stat", wide),
                answered("word", '"one"'),
                answered("nothing", ""),
                answered("list", "[]"),
            )
        )
    )

    assert "> line 11\n> … 3 more lines" in text
    assert "- `k19`: 19\n- … 2 more values" in text
    assert "## `word`\n\n> one" in text
    assert "## `nothing`\n\n> (nothing)" in text
    assert "## `list`\n\n- (no values)" in text


def test_tools_that_could_not_be_called_stay_named_in_the_report() -> None:
    """The report says at its end what is missing from it."""
    request = structs.replace(after(answered("lint", "ok")), tools=[a_tool("send", "to")])

    assert text_of(answer(request)).endswith(
        "## Not called\n\n- `send` was not called: the input holds no value for `to`."
    )


def test_without_tools_the_users_own_words_are_extracted() -> None:
    """First sentences, reports inside the input and key facts make the answer."""
    request = asking(
        'It failed. Why? {"severity": "high", "n": 2} ' + msgspec.json.encode(REPORT).decode()
    )
    text = text_of(answer(request))

    assert "## In its own words\n\n- It failed.\n- Why?" in text
    assert "## `lint`\n\nLooked at 2 files." in text
    assert "## Key facts\n\n- `severity`: high\n- `n`: 2" in text


def test_a_request_without_content_says_so() -> None:
    """Nothing is invented for an empty message."""
    assert text_of(answer(asking(" "))) == (
        f"{LABEL}\n\nThe request holds nothing to extract from."
    )


def test_json_without_a_schema_is_a_labelled_object() -> None:
    """The object names its provider and holds what is known."""
    response = answer(in_json(asking('Sum it up. {"n": 2}')))

    assert msgspec.json.decode(text_of(response)) == {
        "provider": "offline",
        "summary": "Sum it up.",
        "facts": {"n": 2},
    }


def test_json_with_a_schema_satisfies_it_and_is_marked() -> None:
    """Facts fill what is required; placeholders are named in a warning."""
    schema = {
        "type": "object",
        "required": ["n", "ok"],
        "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
    }
    response = answer(in_json(asking('{"n": 2}'), **schema))
    value = msgspec.json.decode(text_of(response))

    jsonschema.validate(value, schema)
    assert value == {"n": 2, "ok": False, "provider": "offline"}
    assert response.warnings == ["offline found no fact for /ok and filled in a placeholder"]


def test_a_closed_or_other_schema_gets_no_mark() -> None:
    """Where the schema has no room, the response alone says who answered."""
    closed = {"type": "object", "additionalProperties": False}

    assert text_of(answer(in_json(asking("x"), **closed))) == "{}"
    assert text_of(answer(in_json(asking("Hi."), type="string"))) == '"Hi."'


def test_json_uses_what_tools_answered() -> None:
    """Facts of tools come before those of the user; failed tools have none."""
    request = after(answered("a", {"n": 1}), answered("b", {"m": 9}, is_error=True))
    schema = {"required": ["n", "m"], "properties": {"m": {"type": "integer"}}}

    assert msgspec.json.decode(text_of(answer(in_json(request, **schema)))) == {
        "n": 1,
        "m": 0,
        "provider": "offline",
    }


def test_the_limit_of_tokens_is_kept() -> None:
    """A longer text is cut, and the stop reason says so."""
    request = structs.replace(asking("One. Two."), output=OutputOptions(max_tokens=5))
    response = answer(request)

    assert response.stop.reason == "max_tokens"
    assert text_of(response) == LABEL[:18]


def test_a_text_within_the_limit_is_whole() -> None:
    """A generous limit changes nothing."""
    request = structs.replace(asking("One."), output=OutputOptions(max_tokens=500))

    assert answer(request).stop.reason == "end"


def test_what_was_asked_for_and_is_not_done_is_told() -> None:
    """Unread media, unread text, grammars and stop sequences each give a warning."""
    image = Media(kind="image", mime="image/png", source=Source(data_b64="AA=="))
    long = "x" * (512 * 1024 + 1)
    request = ChatRequest(
        messages=[said(long), ChatMessage(role="user", parts=[image])],
        output=OutputOptions(stop=["END"], format=OutputFormat(type="grammar")),
    )

    assert answer(request).warnings == [
        "offline cannot read media; 1 part left out",
        "offline reads the first 512 KiB of a message only",
        "offline ignores the grammar of the output",
        "offline ignores stop sequences",
    ]


@given(st.text(max_size=2_000))
def test_chunks_joined_are_the_text(text: str) -> None:
    """Streaming loses and adds nothing."""
    assert "".join(chunks(text)) == text


REQUESTS = st.builds(
    ChatRequest,
    messages=st.lists(
        st.builds(said, st.text(max_size=60), st.sampled_from(["user", "system", "assistant"]))
        | st.builds(answered, st.sampled_from(["a", "b"]), st.text(max_size=60)),
        max_size=4,
    ),
    tools=st.lists(st.builds(a_tool, st.sampled_from(["a", "b", "c"]), st.text(max_size=4))),
    tool_choice=st.builds(ToolChoice, mode=st.sampled_from(["auto", "none", "any"])),
    output=st.builds(
        OutputOptions,
        format=st.builds(OutputFormat, type=st.sampled_from(["text", "json", "json_schema"])),
    ),
)


@given(REQUESTS)
def test_equal_requests_get_equal_answers(request: ChatRequest) -> None:
    """Any request is answered, always in the same way, and the answer can be sent."""
    first = msgspec.json.encode(answer(request))

    assert first == msgspec.json.encode(answer(request))


@pytest.mark.parametrize("mode", ["auto", "any"])
def test_a_conversation_comes_to_its_end(mode: str) -> None:
    """After all tools have answered there is nothing left to call."""
    request = structs.replace(
        asking('{"path": "/src"}'),
        tools=[a_tool("lint", "path"), a_tool("scan")],
        tool_choice=ToolChoice(mode=mode, parallel=False),  # type: ignore[arg-type]
    )
    reasons: list[str] = []
    while not reasons or reasons[-1] == "tool_use":
        response = answer(request)
        reasons.append(response.stop.reason)
        calls = [part for part in response.message.parts if isinstance(part, ToolCall)]
        results = [answered(call.name, "ok") for call in calls]
        request = structs.replace(request, messages=[*request.messages, response.message, *results])

    assert reasons == ["tool_use", "tool_use", "end"]
