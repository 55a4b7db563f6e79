"""The catalogue: which agent, and which of its actions, does a task mean?"""

import difflib
from collections.abc import Collection, Iterable, Iterator

import msgspec

from segue_agents.core.manifest import Action, Manifest, ManifestError
from segue_contracts.v1.values import Failure


class Assignment(msgspec.Struct, frozen=True):
    """The agent and the action that serve a task."""

    manifest: Manifest
    """The agent."""
    action: Action
    """What it shall do."""
    action_name: str
    """The action's name."""


class Catalogue:
    """All agents of this service by name and alias.

    Args:
        manifests: The agents.
        tools: The names of the tools that exist.

    Raises:
        ManifestError: Two agents share a name, or one wants a tool that does not exist.
    """

    def __init__(self, manifests: Iterable[Manifest], *, tools: Collection[str]) -> None:
        self.manifests = tuple(sorted(manifests, key=lambda manifest: manifest.name))
        self._by_name: dict[str, Manifest] = {}
        problems: list[str] = []
        for manifest in self.manifests:
            problems += self._enter(manifest, tools)
        if problems:
            raise ManifestError(tuple(problems))

    def _enter(self, manifest: Manifest, tools: Collection[str]) -> Iterator[str]:
        """Add an agent under its names; yield what is wrong with it."""
        for name in (manifest.name, *manifest.aliases):
            other = self._by_name.setdefault(name, manifest)
            if other is not manifest:
                yield f"{manifest.name}: the name {name!r} is taken by {other.name!r}"
        for tool in manifest.tools:
            if tool not in tools:
                yield f"{manifest.name}: tool {tool!r} does not exist{_hint(tool, tools)}"

    def assign(self, agent: str, action: str) -> Assignment | Failure:
        """Find who serves a task; a Failure says why nobody does, and what there is."""
        manifest = self._by_name.get(agent)
        if manifest is None:
            return _unknown("agent", agent, self._by_name)
        name = action or next(iter(manifest.actions))
        if not action and len(manifest.actions) > 1:
            return Failure(
                code="action_missing",
                message=f"agent {agent!r} knows several actions; "
                f"say which: {', '.join(sorted(manifest.actions))}",
                retryable=False,
            )
        if name not in manifest.actions:
            return _unknown("action", action, manifest.actions)
        return Assignment(manifest, manifest.actions[name], name)


def _unknown(what: str, name: str, known: Collection[str]) -> Failure:
    return Failure(
        code=f"unknown_{what}",
        message=f"there is no {what} {name!r}{_hint(name, known)}; known: {_listed(known)}",
        retryable=False,
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
