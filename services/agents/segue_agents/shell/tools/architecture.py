"""Architecture: what is the repository made of, and how do its modules depend on each other?"""

from segue_agents.core.architecture import (
    build_graph,
    graph_metrics,
    joined_path,
    judge_graph,
)
from segue_agents.core.findings import DEFAULT_LIMIT, ToolReport, build_report
from segue_agents.core.modules import Import, ModuleIndex, import_roots
from segue_agents.core.outlines import FileOutline, judge_outline, outline_metrics
from segue_agents.shell.tools.inspection import NO_PYTHON, inspect, problems, values
from segue_agents.shell.workspace import Workspace


async def import_graph(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Map how the Python modules import each other: cycles, layers, most used and widest."""
    files = workspace.python_files
    records = await inspect(workspace, "imports", files, list[Import])
    graph = build_graph(ModuleIndex(files, import_roots(workspace.files)), values(records))
    metrics = graph_metrics(graph)
    chain = graph.chain()
    deepest = f" The longest chain: {joined_path(chain)}." if len(chain) > 1 else ""
    return build_report(
        "import_graph",
        summary=(
            f"{metrics['modules']} modules, {metrics['edges']} imports between them, "
            f"{metrics['cycles']} cycles, {metrics['layers']} layers.{deepest}"
        ),
        findings=[*problems("import_graph", records), *judge_graph(graph)],
        limit=limit,
        metrics=metrics,
        notes=[*workspace.notes, *([] if files else [NO_PYTHON])],
    )


async def outline(workspace: Workspace, *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Outline the repository: its parts and their sizes, languages, entry points, largest files."""
    records = await inspect(workspace, "outline", workspace.files, FileOutline)
    files = values(records)
    metrics = outline_metrics(files)
    languages = ", ".join(
        f"{name.removeprefix('lines.')} ({lines} lines)"
        for name, lines in metrics.items()
        if name.startswith("lines.")
    )
    return build_report(
        "outline",
        summary=(
            f"{metrics['files']} text files with {metrics['lines']} lines"
            + (f"; source code in {languages}." if languages else ".")
        ),
        findings=[*problems("outline", records), *judge_outline(files)],
        limit=limit,
        metrics=metrics,
        notes=workspace.notes,
    )
