"""The matrix of faults through the whole router: does every line have the outcome it should?

Each provider's real library, streamed and not, against real sockets.
"""

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest
from support.emulating import Emulated
from support.emulator_script import TRICKY_ARGS
from support.model_calls import TOOLS
from support.routed import (
    MODELS,
    PREAMBLES,
    SPOKEN,
    Route,
    asking,
    check_ending,
    provider,
    unique,
)

from segue_contracts.v1.chat import ErrorClass, ToolCall
from segue_contracts.v1.deltas import AttemptReset, DeltaStart, PartDelta
from segue_providers.core.configuration import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
WIRES = pytest.mark.parametrize("wire", [*MODELS])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
OVERLOADED: Mapping[tuple[Wire, str], ErrorClass] = {
    (wire, "error.503"): "overloaded" for wire in MODELS if wire != "anthropic"
}
"""Vendors that say with a 503 that they have too much to do; others say it with a 529."""
IMPATIENT = {
    "timeouts": {"first_token_s": 0.3, "idle_s": 0.3, "total_s": 0.4},
    "max_retries": 0,
}
CHARGED: Mapping[tuple[Wire, str], str] = {("anthropic", "preamble-error"): "0.00018"}
"""What a try costs that its provider had counted before it failed: 25 tokens of input, 1 of output,
twice."""
COSTS: Mapping[tuple[Wire, str], str] = {("gemini", "cached"): "0.00063"}
"""Who tells nothing of what is written to its cache charges it as plain input."""


def named(line: tuple[object, ...]) -> str:
    """Return the name of a line of the matrix."""
    return "-".join(map(str, line))


@WIRES
@STREAMED
@pytest.mark.parametrize(
    "line",
    [
        ("error.400", "bad_request", 1),
        ("error.401", "auth", 1),
        ("error.402", "quota_exhausted", 1),
        ("error.403", "auth", 1),
        ("error.404", "model_not_found", 1),
        ("error.413", "context_window", 1),
        ("error.429", "rate_limited", 2),
        ("error.429.ra1", "rate_limited", 2),
        ("error.429.ra300", "rate_limited", 1),
        ("error.429.quota", "quota_exhausted", 1),
        ("error.500", "server_error", 2),
        ("error.502-html", "server_error", 2),
        ("error.503", "server_error", 2),
        ("error.504", "server_error", 2),
        ("error.529", "overloaded", 2),
        ("drop", "transport", 2),
        ("preamble-error", "overloaded", 2),
    ],
    ids=named,
)
async def test_a_fault_before_the_first_word_has_its_class_and_its_tries(
    emulator: Emulated,
    route: Route,
    *,
    wire: Wire,
    stream: bool,
    line: tuple[str, ErrorClass, int],
) -> None:
    """What may pass is tried once more, what lasts is not; only what was counted is charged."""
    fault, expected, tries = line
    scenario = unique(fault)
    outcome = await route(wire, scenario).call(asking(stream=stream))

    assert outcome.error == OVERLOADED.get((wire, fault), expected)
    assert len(emulator.log(scenario=scenario)) == len(outcome.tries) == tries
    assert outcome.refused is not None
    assert outcome.refused.details["costUsd"] == (
        CHARGED.get((wire, fault), "0") if stream else "0"
    )
    check_ending(outcome, stream=stream)


@WIRES
@STREAMED
@pytest.mark.parametrize(
    "line",
    [
        ("abort", 0, "transport"),
        ("abort", 1, "transport"),
        ("eof", 0, "truncated"),
        ("eof", 1, "truncated"),
        ("malformed", 1, "truncated"),
        ("error-after", 1, "overloaded"),
        ("stall", 0, "timeout_first_token"),
        ("stall", 1, "timeout_idle"),
    ],
    ids=named,
)
async def test_what_breaks_off_is_told_and_never_whole(
    emulator: Emulated,
    route: Route,
    *,
    wire: Wire,
    stream: bool,
    line: tuple[str, int, ErrorClass],
) -> None:
    """Before the first word it is tried once more; after it what was shown stands, and is told.

    Where a timeout ends it, retries are off, to take less time.
    """
    fault, place, expected = line
    scenario = unique(f"{fault}.{SPOKEN[wire] if place else PREAMBLES[wire]}")
    patience = IMPATIENT if fault == "stall" else {}
    outcome = await route(wire, scenario, **patience).call(asking(stream=stream))

    spoken = stream and place == 1
    whole = "timeout_first_token" if fault == "stall" else expected
    assert outcome.error == (expected if stream else whole)
    assert len(emulator.log(scenario=scenario)) == (1 if spoken or patience else 2)
    check_ending(outcome, stream=stream)
    assert bool(outcome.shown) == spoken


@WIRES
@STREAMED
async def test_a_provider_that_says_nothing_is_given_up(
    emulator: Emulated, route: Route, *, wire: Wire, stream: bool
) -> None:
    """Neither side waits for ever, streamed or not."""
    scenario = unique("hang")
    outcome = await route(wire, scenario, **IMPATIENT).call(asking(stream=stream))

    assert outcome.error == "timeout_first_token"
    assert len(emulator.log(scenario=scenario)) == 1
    check_ending(outcome, stream=stream)


@WIRES
@STREAMED
@pytest.mark.parametrize(
    ("scenario", "usd"),
    [
        ("ok", "0.0003"),
        ("comments", "0.0003"),
        ("crlf", "0.0003"),
        ("split-utf8", "0.0003"),
        ("burst.1000", "0.0003"),
        ("max-tokens", "0.0003"),
        ("reasoning", "0.000405"),
        ("cached", "0.000705"),
    ],
)
async def test_an_answer_is_whole_and_costs_what_it_costs(
    emulator: Emulated, route: Route, *, wire: Wire, stream: bool, scenario: str, usd: str
) -> None:
    """Whatever the dialect of the stream, and to the last decimal.

    By hand, for a million tokens: 25 of input at 3 and 15 of output at 15, reasoning 7 more; from
    the cache 100 at 0.3, into it 100 at 3.75.
    """
    at = unique(scenario)
    outcome = await route(wire, at).call(asking(stream=stream))

    assert outcome.response is not None
    assert outcome.text
    assert Decimal(outcome.response.cost.usd) == Decimal(COSTS.get((wire, scenario), usd))
    assert len(emulator.log(scenario=at)) == 1
    check_ending(outcome, stream=stream)


@WIRES
@STREAMED
async def test_an_answer_that_nobody_counted_is_charged_as_estimated(
    route: Route, *, wire: Wire, stream: bool
) -> None:
    """By hand, 3.6 characters to a token: 5 characters of input are 2 of them, 24 of output 7."""
    outcome = await route(wire, unique("no-usage")).call(asking(stream=stream))

    assert outcome.response is not None
    assert outcome.response.usage.source == "estimated"
    assert outcome.response.cost.usd == "0.000111"
    check_ending(outcome, stream=stream)


@WIRES
@STREAMED
async def test_arguments_of_a_tool_survive_being_cut_anywhere(
    route: Route, *, wire: Wire, stream: bool
) -> None:
    """Inside of characters and of escapes, in the answer and in what watchers are shown."""
    outcome = await route(wire, unique("split-utf8+tools")).call(asking(stream=stream, tools=TOOLS))

    assert outcome.response is not None
    [call] = [one for one in outcome.response.message.parts if isinstance(one, ToolCall)]
    assert json.loads(call.args_json) == json.loads(TRICKY_ARGS)
    pieces = [one.args for one in outcome.deltas if isinstance(one, PartDelta)]
    shown = "".join(one for one in pieces if isinstance(one, str))
    assert shown == (call.args_json if stream else "")
    check_ending(outcome, stream=stream)


@WIRES
@pytest.mark.parametrize("fault", ["error.529", "error.401", "drop", "preamble-error", "eof"])
async def test_another_provider_steps_in_unnoticed_before_the_first_word(
    emulator: Emulated, route: Route, *, wire: Wire, fault: str
) -> None:
    """Watchers see one answer by one provider, and only the record tells of the other."""
    scenario = unique(f"{fault}.{PREAMBLES[wire]}" if fault == "eof" else fault)
    second: Wire = "gemini" if wire == "anthropic" else "anthropic"
    backed = route(wire, scenario, second=provider(second, emulator, unique("ok")), max_retries=0)
    outcome = await backed.call(asking(stream=True))

    assert outcome.response is not None
    assert outcome.response.provider == "second"
    assert [one.call.provider for one in outcome.tries] == ["first", "second"]
    assert [one.provider for one in outcome.deltas if isinstance(one, DeltaStart)] == ["second"]
    assert not any(isinstance(one, AttemptReset) for one in outcome.deltas)
    assert len(emulator.log(scenario=scenario)) == 1
    check_ending(outcome, stream=True)
