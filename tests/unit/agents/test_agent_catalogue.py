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


def test_an_agent_answers_to_its_name_and_its_aliases() -> None:
    """Both mean the same manifest."""
    catalogue = Catalogue([_manifest("architecture", aliases=("architect",))], tools={"look"})

    assert _assigned(catalogue, "architecture", "do-0") == ("architecture", "do-0")
    assert _assigned(catalogue, "architect", "do-0") == ("architecture", "do-0")


def test_the_only_action_need_not_be_named() -> None:
    """An agent that does one thing is asked without saying which."""
    catalogue = Catalogue([_manifest("quality")], tools={"look"})

    assert _assigned(catalogue, "quality", "") == ("quality", "do-0")


def test_one_of_several_actions_must_be_named() -> None:
    """The failure lists what there is."""
    catalogue = Catalogue([_manifest("quality", actions=2)], tools={"look"})

    failure = _refused(catalogue, "quality", "")

    assert failure.code == "action_missing"
    assert "do-0, do-1" in failure.message
    assert not failure.retryable


def test_an_unknown_agent_is_refused_with_a_suggestion() -> None:
    """A typing mistake is named with what was probably meant."""
    failure = _refused(Catalogue([_manifest("quality")], tools={"look"}), "qualty", "do-0")

    assert (failure.code, failure.retryable) == ("unknown_agent", False)
    assert "did you mean 'quality'?" in failure.message


def test_an_unknown_action_is_refused_with_those_there_are() -> None:
    """Something far from any name gets the list only."""
    failure = _refused(Catalogue([_manifest("quality")], tools={"look"}), "quality", "sing")

    assert failure.code == "unknown_action"
    assert failure.message == "there is no action 'sing'; known: do-0"


def test_two_agents_cannot_share_a_name() -> None:
    """An alias that is another's name is a problem at start."""
    with pytest.raises(ManifestError, match="the name 'quality' is taken by 'quality'"):
        Catalogue([_manifest("quality"), _manifest("zeal", aliases=("quality",))], tools={"look"})


def test_a_tool_that_does_not_exist_is_a_problem_at_start() -> None:
    """The problem suggests the tool that was probably meant."""
    with pytest.raises(ManifestError, match="tool 'look' does not exist"):
        Catalogue([_manifest("quality")], tools={"lock"})
