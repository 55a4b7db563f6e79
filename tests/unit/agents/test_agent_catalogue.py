"""The catalogue: who serves a task?"""

import pytest

from segue_agents.core.catalogue import Assignment, Catalogue
from segue_agents.core.manifest import Action, Manifest, ManifestError
from segue_contracts.v1.values import Failure


def _manifest(name: str, *, aliases: tuple[str, ...] = (), actions: int = 1) -> Manifest:
    return Manifest(
        name=name,
        version="1.0.0",
        description="An agent.",
        system="You are one.",
        aliases=aliases,
        tools=("look",),
        actions={f"do-{n}": Action(description="D", prompt="P") for n in range(actions)},
    )


def _assigned(catalogue: Catalogue, agent: str, action: str) -> tuple[str, str]:
    found = catalogue.assign(agent, action)
    assert isinstance(found, Assignment)
    return found.manifest.name, found.action_name


def _refused(catalogue: Catalogue, agent: str, action: str) -> Failure:
    found = catalogue.assign(agent, action)
    assert isinstance(found, Failure)
    return found


def test_an_agent_answers_to_its_name_and_its_aliases():
    """Both mean the same manifest."""
    catalogue = Catalogue([_manifest("architecture", aliases=("architect",))], tools={"look"})

    assert ("architecture", "do-0") == _assigned(catalogue, "architecture", "do-0")
    assert ("architecture", "do-0") == _assigned(catalogue, "architect", "do-0")


def test_the_only_action_need_not_be_named():
    """An agent that does one thing is asked without saying which."""
    catalogue = Catalogue([_manifest("quality")], tools={"look"})

    assert ("quality", "do-0") == _assigned(catalogue, "quality", "")


def test_one_of_several_actions_must_be_named():
    """The failure lists what there is."""
    catalogue = Catalogue([_manifest("quality", actions=2)], tools={"look"})

    failure = _refused(catalogue, "quality", "")

    assert "action_missing" == failure.code
    assert "do-0, do-1" in failure.message
    assert not failure.retryable


def test_an_unknown_agent_is_refused_with_a_suggestion():
    """A typing mistake is named with what was probably meant."""
    failure = _refused(Catalogue([_manifest("quality")], tools={"look"}), "qualty", "do-0")

    assert ("unknown_agent", False) == (failure.code, failure.retryable)
    assert "did you mean 'quality'?" in failure.message


def test_an_unknown_action_is_refused_with_those_there_are():
    """Something far from any name gets the list only."""
    failure = _refused(Catalogue([_manifest("quality")], tools={"look"}), "quality", "sing")

    assert "unknown_action" == failure.code
    assert "there is no action 'sing'; known: do-0" == failure.message


def test_two_agents_cannot_share_a_name():
    """An alias that is another's name is a problem at start."""
    with pytest.raises(ManifestError, match="the name 'quality' is taken by 'quality'"):
        Catalogue([_manifest("quality"), _manifest("zeal", aliases=("quality",))], tools={"look"})


def test_a_tool_that_does_not_exist_is_a_problem_at_start():
    """The problem suggests the tool that was probably meant."""
    with pytest.raises(ManifestError, match="tool 'look' does not exist"):
        Catalogue([_manifest("quality")], tools={"lock"})
