"""Calls of tools: what did the model ask for?"""

from typing import Annotated

import msgspec
import pytest

from segue_agents.core.calls import Invocation, ToolArgs, ToolSpec, read_call
from segue_contracts.v1.chat import ToolCall, ToolResult


class LookArgs(ToolArgs, frozen=True, forbid_unknown_fields=True):
    """What `look` takes."""

    where: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=9, description="How many.")] = 5


SPEC = ToolSpec(name="look", description="Looks.", args=LookArgs)
SPECS = {"look": SPEC}


def _error(call: ToolCall) -> str:
    result = read_call(call, SPECS)
    assert isinstance(result, ToolResult)
    assert result.is_error
    assert call.id == result.tool_call_id
    return msgspec.json.decode(result.content)["error"]


def test_a_tool_is_offered_with_a_flat_schema() -> None:
    """Providers get an object schema with bounds, defaults and what is required."""
    offer = SPEC.offer()

    assert (offer.name, offer.description) == ("look", "Looks.")
    assert offer.parameters["required"] == ["where"]
    assert {"minimum": 1, "maximum": 9, "default": 5, "type": "integer"}.items() <= (
        offer.parameters["properties"]["limit"].items()
    )
    assert offer.parameters["additionalProperties"] is False


def test_a_good_call_becomes_an_invocation() -> None:
    """Arguments are typed, and defaults filled in."""
    read = read_call(ToolCall(id="c1", name="look", args_json='{"where": "here"}'), SPECS)

    assert Invocation(id="c1", name="look", args=LookArgs(where="here", limit=5)) == read


def test_empty_arguments_are_an_empty_object() -> None:
    """Some models send an empty text for no arguments; what is required is still missed."""
    assert "`where`" in _error(ToolCall(id="c1", name="look", args_json=""))


def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    """The model learns the names."""
    said = _error(ToolCall(id="c1", name="lok"))

    assert said == "there is no tool 'lok'; the tools are: look"


@pytest.mark.parametrize(
    "args",
    [
        "{not json",
        "[]",
        '{"where": 1}',
        '{"where": "x", "limit": 10}',
        '{"where": "x", "colour": "red"}',
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_the_reason(args: str) -> None:
    """Broken JSON, wrong types, bounds and foreign fields are all told."""
    said = _error(ToolCall(id="c1", name="look", args_json=args))

    assert said.startswith("the arguments of 'look' do not fit: ")
