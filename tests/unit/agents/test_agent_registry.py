"""The registry, the built-in agents and the pool: how does the service make itself known?"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from unit.agents.agent_world import World, settled

from segue_agents.core.catalogue import Catalogue
from segue_agents.core.manifest import ManifestError
from segue_agents.shell.builtin import builtin_manifests, read_manifests
from segue_agents.shell.pool import ensured
from segue_agents.shell.registry import Registry
from segue_agents.shell.toolbox import RepositoryToolbox
from segue_agents.shell.tools import REPOSITORY_TOOLS
from segue_contracts.envelope import encode
from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import AgentManifest, EnsurePool, PoolReady
from segue_shared.errors import BusUnavailableError, RefusedError
from segue_testing.fakes import FakeClock


def _catalogue() -> Catalogue:
    return Catalogue(builtin_manifests(), tools=RepositoryToolbox(REPOSITORY_TOOLS).names)


def test_five_agents_are_built_in_and_use_tools_that_exist() -> None:
    """Each has the action that workflows ask it for."""
    actions = {each.name: sorted(each.actions) for each in _catalogue().manifests}

    assert actions == {
        "architecture": ["review-architecture"],
        "performance": ["analyze-performance"],
        "quality": ["lint-codebase"],
        "security": ["scan-vulnerabilities"],
        "writer": ["create-review-report"],
    }


def test_the_architect_is_the_architecture_agent() -> None:
    """An alias is as good as the name."""
    assert _catalogue().assign("architect", "") == _catalogue().assign("architecture", "")


def test_problems_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    """An author mends everything in one go; other files are no manifests."""
    (tmp_path / "one.yaml").write_text("name: [")
    (tmp_path / "two.yaml").write_text("name: two")
    (tmp_path / "README.txt").write_text("not an agent")

    with pytest.raises(ManifestError) as raised:
        read_manifests(tmp_path)

    assert {problem.split(":")[0] for problem in raised.value.problems} == {"one.yaml", "two.yaml"}


async def test_manifests_are_published_once() -> None:
    """A restart writes nothing; a changed manifest is written again."""
    world = World()
    registry = Registry(world.bucket)

    await registry.publish("default", _catalogue())
    assert world.bucket.writes == 5
    await registry.publish("default", _catalogue())
    assert world.bucket.writes == 5
    world.bucket.values["default.writer"] = b"{}"
    await registry.publish("default", _catalogue())

    assert world.bucket.writes == 6


async def test_agents_are_listed_by_name_in_their_namespace() -> None:
    """What was deleted or belongs to another tenant is not listed."""
    world = World()
    registry = Registry(world.bucket)
    await registry.publish("default", _catalogue())
    other = AgentManifest(name="other", description="Other.", version="1.0.0")
    await world.bucket.put("acme.other", encode(other))

    listed = await registry.listed("default")

    assert [agent.name for agent in listed.agents] == [
        "architecture",
        "performance",
        "quality",
        "security",
        "writer",
    ]


class _Orchestrator:
    """Refuses and stays away before it answers."""

    def __init__(self) -> None:
        self.answers: list[Any] = [
            BusUnavailableError("nobody serves it"),
            RefusedError(Refused(code="unavailable", message="starting", retryable=True)),
            PoolReady(stream="RUNS", consumer="pool_agents", ack_wait_s=30),
        ]

    async def call(
        self,
        subject: str,
        request: object,
        result: type,
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> Any:
        """Answer in turn."""
        assert subject == subjects.command("default", "orchestrator", "pool_ensure")
        assert request == EnsurePool(pool="agents")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_the_pool_waits_for_the_orchestrator() -> None:
    """However long it is away or refuses, it is asked again."""
    world, bus = World(), _Orchestrator()
    clock: FakeClock = world.clock
    work = asyncio.create_task(ensured(bus, clock=clock, namespace="default"))

    ready = await settled(world, work)

    assert ready.consumer == "pool_agents"
    assert not bus.answers
