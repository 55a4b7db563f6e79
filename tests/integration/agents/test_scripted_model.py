"""An agent with a scripted model: does the loop do on the bus what the model says?"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.stack import a_repository
from support.wait import until

from segue_agents.app import NAME as AGENTS
from segue_agents.app import REQUIRES as AGENTS_REQUIRE
from segue_agents.app import build as build_agents
from segue_agents.settings import Settings as AgentSettings
from segue_contracts.envelope import decode_event
from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.chat import ChatRequest, ToolResult, Usage
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.topology import RUNS
from segue_contracts.v1.values import Failure
from segue_orchestrator.app import NAME as ORCHESTRATOR
from segue_orchestrator.app import REQUIRES as ORCHESTRATOR_REQUIRES
from segue_orchestrator.app import build as build_orchestrator
from segue_orchestrator.settings import Settings as OrchestratorSettings
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError, TransientError
from segue_shared.journal import Journal
from segue_testing.broker import Broker
from segue_testing.model import calls, says, scripted_model
from segue_testing.services import serving

TEXT = """
name: one
steps:
  - key: look
    agent: quality
    action: lint-codebase
    with: {repository: "{{ inputs.repository }}"}
inputs: {repository: {type: string, required: true}}
"""


@pytest.fixture
async def services(broker: Broker) -> AsyncIterator[None]:
    """An orchestrator and the agents, with no providers."""
    orchestrator = OrchestratorSettings(nats_url=broker.url, drain_s=2)
    agents = AgentSettings(nats_url=broker.url, drain_s=2)
    async with (
        serving(ORCHESTRATOR, orchestrator, build_orchestrator, requires=ORCHESTRATOR_REQUIRES),
        serving(AGENTS, agents, build_agents, requires=AGENTS_REQUIRE),
    ):
        yield


async def review(bus: Bus, repository: Path) -> RunEnded:
    """Run the one-step workflow on a repository until it ends."""
    command = registry.START_RUN
    subject = subjects.command("default", command.service, command.verb)
    request = StartRun(text=TEXT, inputs={"repository": str(repository)})

    async def ask() -> RunAccepted | None:
        try:
            return await bus.call(subject, request, RunAccepted)
        except (TransientError, RefusedError):
            return None  # not up yet, or the agents have not registered

    accepted = await until(ask)
    assert accepted is not None
    ended = subjects.run_event("default", accepted.run, "ended")
    [message] = await until(lambda: Journal(bus, RUNS).last([ended]))
    body = registry.decode(decode_event(message.data))
    assert isinstance(body, RunEnded)
    return body


def results(request: ChatRequest) -> list[ToolResult]:
    """Return the tool results that a request carries."""
    return [p for m in request.messages for p in m.parts if isinstance(p, ToolResult)]


@pytest.mark.usefixtures("services")
async def test_the_model_is_shown_what_its_tools_found(bus: Bus, tmp_path: Path) -> None:
    """The second call carries the real result of the tool that the first one asked for."""
    repository = a_repository(tmp_path / "repository")
    script = [calls("lint_code"), says("Two things to mend.", usage=Usage(output_total=4))]

    async with scripted_model(bus, script) as model:
        end = await review(bus, repository)

    assert end.status == "completed"
    first, second = model.requests
    assert results(first) == []
    [result] = results(second)
    assert result.name == "lint_code"
    assert "helper.py" in result.content or "app.py" in result.content
    output: Any = end.output
    assert output.inline["look"]["summary"] == "Two things to mend."
    assert output.inline["look"]["provider"] == "scripted"
    assert end.usage.model_calls == 2
    assert end.usage.tool_calls == 1
    assert end.usage.output_tokens == 4


@pytest.mark.usefixtures("services")
async def test_a_tool_that_does_not_exist_is_told_to_the_model(bus: Bus, tmp_path: Path) -> None:
    """A wrong call is an error result the model can react to, not the step's failure."""
    repository = a_repository(tmp_path / "repository")

    async with scripted_model(bus, [calls("no_such_tool", "lint_code"), says("So.")]) as model:
        end = await review(bus, repository)

    assert end.status == "completed"
    failed = {r.name: r.is_error for r in results(model.requests[1])}
    assert failed == {"no_such_tool": True, "lint_code": False}


@pytest.mark.usefixtures("services")
async def test_a_refusal_of_the_router_is_the_steps_failure(bus: Bus, tmp_path: Path) -> None:
    """What no provider will do fails the step with the router's own words."""
    repository = a_repository(tmp_path / "repository")
    refused = Refused(code="provider_failed", message="set a key")

    async with scripted_model(bus, [refused]):
        end = await review(bus, repository)

    assert end.status == "failed"
    assert isinstance(end.error, Failure)
    assert "set a key" in end.error.message
