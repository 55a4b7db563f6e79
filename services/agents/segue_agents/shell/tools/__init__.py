"""The tools: what can an agent find out about a repository?"""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from segue_agents.core.findings import DEFAULT_LIMIT, ToolReport
from segue_agents.shell.tools.architecture import import_graph, outline
from segue_agents.shell.tools.performance import find_slow_patterns, rank_hot_spots
from segue_agents.shell.tools.quality import lint_code, measure_complexity
from segue_agents.shell.tools.security import (
    find_dangerous_calls,
    find_secrets,
    list_dependencies,
)
from segue_agents.shell.workspace import Workspace


class RepositoryTool(Protocol):
    """Looks at a repository and reports; its docstring tells a model what it is for."""

    def __call__(
        self, workspace: Workspace, *, limit: int = DEFAULT_LIMIT
    ) -> Awaitable[ToolReport]:
        """Report at most `limit` findings."""
        ...


REPOSITORY_TOOLS: Mapping[str, RepositoryTool] = {
    "lint_code": lint_code,
    "measure_complexity": measure_complexity,
    "find_secrets": find_secrets,
    "find_dangerous_calls": find_dangerous_calls,
    "list_dependencies": list_dependencies,
    "import_graph": import_graph,
    "outline": outline,
    "rank_hot_spots": rank_hot_spots,
    "find_slow_patterns": find_slow_patterns,
}
"""Every tool that works on a repository, by the name a model calls it."""
