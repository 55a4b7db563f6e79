"""Does the stand-in know what was asked, offered and answered?"""

import msgspec
import pytest
from msgspec import structs
from unit.providers.provider_support import a_tool, answered, asking, said

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Media,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
)
from segue_providers.core.conversation import Plan, asked, fits, plan, results, unread_media

INPUT = 'Check it: {"repository": "/src", "limit": 5, "deep": {"branch": "main"}}'


def planned(request: ChatRequest) -> Plan:
    """Plan with what the user said."""
    return plan(request, asked(request))


def with_tools(*tools: Tool, text: str = INPUT) -> ChatRequest:
    """Return a request that offers tools."""
    return structs.replace(asking(text), tools=list(tools))


def test_every_offered_tool_is_called_at_once() -> None:
    """All calls are in one message, with ids that count."""
    calls = planned(with_tools(a_tool("lint"), a_tool("scan"))).calls

    assert [(call.id, call.name) for call in calls] == [
        ("offline-1", "lint"),
        ("offline-2", "scan"),
    ]


def test_required_parameters_are_filled_by_name() -> None:
    """Values come from the user's JSON, however deep they stand."""
    [call] = planned(with_tools(a_tool("lint", "repository", "branch"))).calls

    assert msgspec.json.decode(call.args_json) == {"repository": "/src", "branch": "main"}


def test_the_newest_message_wins() -> None:
    """A later value for the same name is the one that counts."""
    request = structs.replace(
        asking('{"path": "/old"}', '{"path": "/new"}'), tools=[a_tool("lint", "path")]
    )

    assert msgspec.json.decode(planned(request).calls[0].args_json) == {"path": "/new"}


def test_a_default_fills_what_the_input_lacks() -> None:
    """The schema's own default or constant is as good as a value."""
    tool = a_tool("lint", "depth", "mode", depth={"default": 3}, mode={"const": "fast"})

    assert msgspec.json.decode(planned(with_tools(tool)).calls[0].args_json) == {
        "depth": 3,
        "mode": "fast",
    }


def test_a_tool_that_cannot_be_filled_is_skipped_and_said() -> None:
    """Nothing is made up; the sentence names tool and parameters."""
    todo = planned(with_tools(a_tool("send", "to", "body"), a_tool("lint")))

    assert [call.name for call in todo.calls] == ["lint"]
    assert todo.skipped == ("`send` was not called: the input holds no value for `to`, `body`.",)


def test_a_value_of_another_type_does_not_fill() -> None:
    """A text is no number, and so the tool is skipped."""
    todo = planned(with_tools(a_tool("lint", "repository", repository={"type": "integer"})))

    assert todo.calls == ()


def test_a_tool_is_called_once_in_a_conversation() -> None:
    """What was called or has answered is not called again, and ids go on."""
    request = with_tools(a_tool("lint"), a_tool("scan"), a_tool("rank"))
    call = ToolCall(id="offline-1", name="lint")
    earlier = [ChatMessage(role="assistant", parts=[call]), answered("scan", "fine")]
    later = structs.replace(request, messages=[*request.messages, *earlier])

    assert [(one.id, one.name) for one in planned(later).calls] == [("offline-2", "rank")]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), ["lint", "scan"]),
        (ToolChoice(mode="any"), ["lint", "scan"]),
        (ToolChoice(mode="none"), []),
        (ToolChoice(mode="tool", names=["scan"]), ["scan"]),
        (ToolChoice(mode="tool"), ["lint", "scan"]),
        (ToolChoice(parallel=False), ["lint"]),
    ],
)
def test_the_callers_choice_of_tools_is_kept(choice: ToolChoice, expected: list[str]) -> None:
    """Modes, names and the wish for one call at a time are honoured."""
    request = structs.replace(with_tools(a_tool("lint"), a_tool("scan")), tool_choice=choice)

    assert [call.name for call in planned(request).calls] == expected


def test_tools_that_a_provider_runs_itself_are_left_alone() -> None:
    """A server tool has nobody to run it here."""
    server = Tool(name="web", description="Searches.", kind="server")

    assert planned(with_tools(server)) == Plan(calls=(), skipped=())


def test_strange_schemas_are_no_reason_to_fail() -> None:
    """Schemas that are no schemas demand nothing."""
    odd = Tool(name="odd", description="", parameters={"required": 7, "properties": []})
    odder = Tool(
        name="odder", description="", parameters={"required": ["limit"], "properties": {"limit": 1}}
    )

    assert [call.args_json for call in planned(with_tools(odd, odder)).calls] == [
        "{}",
        '{"limit":5}',
    ]


def test_only_the_user_is_asked_for_material() -> None:
    """System and assistant messages hold no input, blank messages hold nothing."""
    messages = [said("be kind", "system"), said("first"), said("  "), said("ok", "assistant")]
    request = structs.replace(asking("last"), messages=[*messages, said("last")])

    assert [material.prose for material in asked(request)] == ["last", "first"]


def test_results_are_what_tools_answered() -> None:
    """Only tool results count, in their order."""
    request = structs.replace(asking("x"), messages=[said("x"), answered("a", "1")])

    assert [one.name for one in results(request)] == ["a"]


def test_media_is_counted_as_unread() -> None:
    """The stand-in has no eyes and says so later."""
    image = Media(kind="image", mime="image/png", source=Source(url="https://example.org/a.png"))
    message = ChatMessage(role="user", parts=[Text(text="what is it"), image])

    assert unread_media(structs.replace(asking("x"), messages=[message])) == 1


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ("a", {}, True),
        ("a", {"type": "string"}, True),
        (1, {"type": "string"}, False),
        (1, {"type": ["string", "integer"]}, True),
        (True, {"type": "integer"}, False),
        (True, {"type": "number"}, False),
        (True, {"type": "boolean"}, True),
        (1.5, {"type": "number"}, True),
        (None, {"type": "null"}, True),
        ("a", {"enum": ["b"]}, False),
        ("b", {"enum": ["b"]}, True),
        ("a", {"const": "b"}, False),
        ("a", {"type": "mystery"}, True),
        ("a", {"type": []}, True),
        ("a", {"type": 7}, True),
    ],
)
def test_a_value_fits_by_type_and_choice(
    value: object, schema: dict[str, object], *, expected: bool
) -> None:
    """Types, enums and constants are kept; a boolean is no number."""
    assert fits(value, schema) is expected
