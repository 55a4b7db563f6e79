"""Performance: where is it worth to look, and which code does needless work?"""

import asyncio

from segue_agents.core.churn import History
from segue_agents.core.findings import DEFAULT_LIMIT, Finding, ToolReport, build_report, ordered
from segue_agents.core.hotspots import MeasuredFunction, rank_files, rank_functions
from segue_agents.core.outlines import FileOutline, language
from segue_agents.shell.git import recent_history
from segue_agents.shell.tools.inspection import NO_PYTHON, inspect, problems, values
from segue_agents.shell.workspace import Workspace


async def rank_hot_spots(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Rank functions by complexity, nested loops, size and how often their file changes in git."""
    others = [
        file
        for file in workspace.files
        if language(file) and file not in frozenset(workspace.python_files)
    ]
    (history, note), records, outlines = await asyncio.gather(
        recent_history(workspace.root, timeout_s=workspace.timeout_s),
        inspect(workspace, "functions", workspace.python_files, list[MeasuredFunction]),
        inspect(workspace, "outline", others, FileOutline),
    )
    functions = values(records)
    sizes = {file: outline.lines for file, outline in values(outlines).items()}
    hot = ordered([*rank_functions(functions, history), *rank_files(sizes, history)])
    return build_report(
        "rank_hot_spots",
        summary=_summary(sum(map(len, functions.values())), hot, history),
        findings=[*problems("rank_hot_spots", records), *hot],
        limit=limit,
        metrics={
            "functions": sum(map(len, functions.values())),
            "commits": history.commits,
            "changed_files": len(history.files),
        },
        notes=[*workspace.notes, *([note] if note else []), *_only_churn(workspace)],
    )


async def find_slow_patterns(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Find code that slows down needlessly: blocking calls in async code, quadratic loops."""
    files = workspace.python_files
    records = await inspect(workspace, "patterns", files, list[Finding])
    found = [finding for findings in values(records).values() for finding in findings]
    return build_report(
        "find_slow_patterns",
        summary=f"{len(found)} slow patterns in {len(files)} Python files.",
        findings=[*problems("find_slow_patterns", records), *found],
        limit=limit,
        metrics={"files": len(files)},
        notes=[*workspace.notes, *([] if files else [NO_PYTHON])],
    )


def _summary(functions: int, hot: list[Finding], history: History) -> str:
    looked = f"{functions} functions measured over {history.commits} commits"
    if not hot:
        return f"{looked}; none stands out."
    first = hot[0]
    return f"{looked}; the hottest spot is {first.file}:{first.line} ({first.message})."


def _only_churn(workspace: Workspace) -> list[str]:
    if workspace.python_files:
        return []
    return ["there are no Python files here: files are ranked by their changes alone"]
