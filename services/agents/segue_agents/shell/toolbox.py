"""The toolbox: how are tools laid out for one task?"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Final

from msgspec import Meta

from segue_agents.core.calls import Invocation, ToolArgs, ToolSpec
from segue_agents.core.findings import DEFAULT_LIMIT, MAX_LIMIT, ToolReport
from segue_agents.core.merge import merge_findings
from segue_agents.shell.git import git
from segue_agents.shell.ports import Bench, InputError
from segue_agents.shell.process import ProcessError, ProcessTimedOutError
from segue_agents.shell.tools import RepositoryTool
from segue_agents.shell.workspace import Workspace, WorkspaceError

MERGE: Final = "merge_findings"
"""The tool that reads the task's input instead of a repository."""

_GIT_TIMEOUT_S: Final = 10.0
_EXPECTED_FIELD: Final = "`repository` in the step's `with`: give the path of the repository"


class LimitArgs(ToolArgs, frozen=True, forbid_unknown_fields=True):
    """What every tool takes."""

    limit: Annotated[
        int, Meta(ge=1, le=MAX_LIMIT, description="How many findings to return, worst first.")
    ] = DEFAULT_LIMIT


class RepositoryToolbox:
    """Tools on the repository of the task, and the one that merges what others found.

    Args:
        analyses: The tools that look at a repository, by name.
    """

    def __init__(self, analyses: Mapping[str, RepositoryTool]) -> None:
        self._analyses = analyses
        self._specs = {name: _spec(name, tool) for name, tool in analyses.items()}
        self._specs[MERGE] = _spec(MERGE, merge_findings)
        self.names = frozenset(self._specs)
        """The tools by name."""

    async def bind(self, names: Sequence[str], given: Mapping[str, object]) -> Bench:
        """Lay out tools for a task with this input.

        Raises:
            InputError: The tools look at a repository, and the input names none that is there.
        """
        specs = {name: self._specs[name] for name in names}
        if not self._analyses.keys() & specs.keys():
            return _Laid(specs=specs, given=given)
        workspace = await _opened(given.get("repository"))
        return _Laid(
            specs=specs,
            given=given,
            repository=str(workspace.root),
            branch=await _branch(workspace),
            analyses={
                name: partial(self._analyses[name], workspace) for name in specs.keys() - {MERGE}
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Laid:
    """Tools laid out for one task."""

    specs: Mapping[str, ToolSpec]
    given: Mapping[str, object]
    repository: str = ""
    branch: str = ""
    analyses: Mapping[str, Callable[..., Awaitable[ToolReport]]] = field(default_factory=dict)

    async def run(self, call: Invocation) -> ToolReport:
        """Do one call."""
        limit = call.args.limit if isinstance(call.args, LimitArgs) else DEFAULT_LIMIT
        if call.name == MERGE:
            return merge_findings(list(self.given.values()), limit=limit)
        return await self.analyses[call.name](limit=limit)


def _spec(name: str, tool: object) -> ToolSpec:
    """Describe a tool to the model in the words of its first paragraph."""
    paragraph = (tool.__doc__ or name).strip().split("\n\n")[0]
    return ToolSpec(name=name, description=" ".join(paragraph.split()), args=LimitArgs)


async def _opened(repository: object) -> Workspace:
    if not isinstance(repository, str) or not repository.strip():
        raise InputError(f"the agent needs the field {_EXPECTED_FIELD}")
    try:
        return await Workspace.open(repository)
    except WorkspaceError as error:
        raise InputError(f"field `repository`: {error}") from error


async def _branch(workspace: Workspace) -> str:
    """Return the branch that is checked out; empty without git, or on no branch."""
    if not workspace.git:
        return ""
    try:
        name = await git(
            workspace.root, "symbolic-ref", "--short", "-q", "HEAD", timeout_s=_GIT_TIMEOUT_S
        )
    except (ProcessError, ProcessTimedOutError):
        return ""
    return name.decode(errors="replace").strip()
