"""Jobs: what is everything that the loop knows of an attempt before it begins?"""

from collections.abc import Mapping

import msgspec

from segue_agents.core.catalogue import Assignment
from segue_contracts.v1.chat import Tool
from segue_worker.place import Place


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the work is about, as far as it is known without looking inside."""

    repository: str = ""
    """The repository's path; empty when the task names none."""
    branch: str = ""
    """The branch that is checked out; empty when there is none."""
    at: str = ""
    """When the task was scheduled, RFC 3339."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt, ready to be worked on."""

    place: Place
    """Where its events go."""
    assignment: Assignment
    """Who does it, and what."""
    input: Mapping[str, object]
    """The step's rendered `with`."""
    tools: tuple[Tool, ...] = ()
    """The tools the model is offered."""
    scene: Scene = Scene()
    """What the work is about."""
    provider: str = ""
    """The provider the author prefers."""
    model: str = ""
    """The model the author prefers."""


def request_id(place: Place, turn: int) -> str:
    """Return the id that a turn's model call and its progress share."""
    return f"{place.run}:{place.step}:{place.attempt}:{turn}"
