"""Trouble: what does a step say when something it needs does not work?"""

import asyncio

import msgspec
import pytest
from unit.agents.agent_support import RUN, a_finding, calls, says
from unit.agents.agent_world import (
    World,
    completed,
    failed,
    settled,
)

from segue_agents.core.findings import Finding, ToolReport
from segue_agents.shell.ports import InputError
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.reply import Refused
from segue_shared.errors import (
    BusUnavailableError,
    RefusedError,
    TimedOutError,
    TooLargeError,
)


@pytest.mark.parametrize(
    "trouble",
    [
        BusUnavailableError("nobody serves it"),
        TimedOutError("no answer"),
        RefusedError(Refused(code="unavailable", message="busy", retryable=True)),
    ],
)
async def test_absent_providers_only_delay(trouble: Exception) -> None:
    """The call is repeated under the same key until somebody answers."""
    world = World(*[trouble] * 7, says("Fine."))

    await settled(world, asyncio.create_task(world.handle()))

    assert completed(world).provider == "claude"
    assert {request.id for request in world.bus.requests} == {f"{RUN}:scan:1:1"}
    assert len(world.bus.requests) == 8


async def test_a_refusal_fails_the_step_with_its_code() -> None:
    """What the router says reaches the reader of the run."""
    refused = Refused(
        code="provider_failed", message="set ANTHROPIC_API_KEY", details={"provider": "claude"}
    )
    world = World(RefusedError(refused))

    await world.handle()

    error = failed(world).error
    assert (error.code, error.retryable) == ("provider_failed", False)
    assert error.message == "set ANTHROPIC_API_KEY"
    assert error.details == {"provider": "claude"}


async def test_an_answer_that_broke_off_fails_the_step_and_is_charged() -> None:
    """The usage of the broken answer is in the outcome."""
    broken = msgspec.structs.replace(
        says("Half a"), stop=msgspec.structs.replace(says("x").stop, reason="max_tokens")
    )
    world = World(broken)

    await world.handle()

    assert failed(world).error.code == "answer_truncated"
    assert failed(world).usage.model_calls == 1


async def test_a_broken_tool_is_an_answer_for_the_model() -> None:
    """One tool's fault is told to the model and to the reader, and the step completes."""
    world = World(calls("lint_code", "measure_complexity"), says("Half of it is fine."))
    world.toolbox.results["lint_code"] = ValueError("secret detail")

    await world.handle()

    assert completed(world).notes == ["tool lint_code failed: the tool broke down (ValueError)"]


async def test_an_unknown_tool_is_an_answer_for_the_model() -> None:
    """The model may try again with a tool that exists."""
    world = World(calls("rm"), calls("lint_code"), says("Fine."))

    await world.handle()

    assert world.toolbox.runs == ["lint_code"]
    assert "there is no tool 'rm'" in completed(world).notes[0]


async def test_a_result_is_cut_to_what_a_model_reads_well() -> None:
    """The most severe findings stay, and the report counts what was left out."""
    findings = tuple(
        msgspec.convert(a_finding(message="x" * 300, line=line), Finding) for line in range(1, 200)
    )
    world = World(calls("lint_code"), says("Bad."))
    world.toolbox.results["lint_code"] = ToolReport(
        tool="lint_code", summary="Many.", findings=findings
    )

    await world.handle()

    assert isinstance(completed(world).output.inline, dict)
    [report] = completed(world).output.inline["reports"]
    assert len(report["findings"]) < 60
    assert report["truncated"] == 199 - len(report["findings"])


async def test_an_input_that_is_no_object_fails_the_step() -> None:
    """Agents read named fields."""
    world = World()

    await world.handle(given=[1, 2])

    assert failed(world).error.code == "invalid_input"


async def test_a_field_that_tools_miss_fails_the_step() -> None:
    """The failure names the field."""
    world = World()
    world.toolbox.bound = InputError("field `repository` is missing")

    await world.handle()

    assert (failed(world).error.code, failed(world).error.retryable) == ("invalid_input", False)
    assert "`repository`" in failed(world).error.message


async def test_an_input_that_is_gone_fails_the_step() -> None:
    """A claim check that points at nothing is not retried."""
    world = World()
    lost = Value(ref=PayloadRef(sha256="0" * 64, size=9))

    await world.handle(input=lost)

    assert failed(world).error.code == "payload_missing"


async def test_a_conversation_that_is_too_large_to_send_fails_the_step() -> None:
    """The broker would never take it."""
    world = World(TooLargeError("it exceeds the broker's max_payload"))

    await world.handle()

    assert (failed(world).error.code, failed(world).error.retryable) == ("too_large", False)


async def test_an_unforeseen_error_is_a_failure_without_details() -> None:
    """It may pass on another try, and its text stays in the log."""
    world = World()
    world.toolbox.bound = RuntimeError("password=hunter2")

    await world.handle()

    error = failed(world).error
    assert (error.code, error.retryable) == ("internal", True)
    assert "hunter2" not in error.message


async def test_a_tool_that_says_why_it_failed_is_quoted() -> None:
    """Errors that were raised on purpose are sentences for people."""
    world = World(calls("lint_code", "measure_complexity"), says("Half of it is fine."))
    world.toolbox.results["lint_code"] = InputError("git is missing")

    await world.handle()

    assert completed(world).notes == ["tool lint_code failed: git is missing"]
