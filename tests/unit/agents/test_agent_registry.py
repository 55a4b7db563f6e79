"""The registry, the built-in agents and the pool: how does the service make itself known?"""

from pathlib import Path

import pytest
from unit.agents.agent_world import World

from segue_agents.core.catalogue import Catalogue
from segue_agents.core.manifest import ManifestError
from segue_agents.shell.builtin import builtin_manifests, read_manifests
from segue_agents.shell.registry import Registry
from segue_agents.shell.toolbox import RepositoryToolbox
from segue_agents.shell.tools import REPOSITORY_TOOLS
from segue_contracts.envelope import encode
from segue_contracts.v1.commands import AgentManifest


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
