"""Architecture: how do the modules of a tree depend on each other?"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from segue_agents.core.findings import Finding
from segue_agents.core.graph import cycles, longest_chain, shortest_cycle
from segue_agents.core.modules import Import, ModuleIndex

TOOL = "import_graph"

WIDE_FAN_OUT = 20
"""Modules of the same tree that one module may import before it is a finding."""

_NAMED = 5
"""How many of the most depended-on and the widest modules are named."""

_PATH_SHOWN = 12
"""Modules of a cycle or chain that are spelled out."""

Lines = Mapping[tuple[str, str], int]


class ImportGraph(Struct, frozen=True, kw_only=True):
    """Who imports whom within one tree."""

    labels: Mapping[str, str]
    """The dotted name of each file."""
    loading: Mapping[tuple[str, str], int]
    """Edges that loading a module follows, with the line of the import."""
    deferred: Mapping[tuple[str, str], int]
    """Edges inside functions or for type checkers only."""
    external: frozenset[str]
    """Imported packages that are neither in the tree nor in the standard library."""

    def chain(self) -> list[str]:
        """Return the longest chain of imports, by name."""
        return [self.labels[file] for file in longest_chain(self.labels, _targets(self.loading))]


def build_graph(index: ModuleIndex, files: Mapping[str, list[Import]]) -> ImportGraph:
    """Resolve every import of every file."""
    loading: dict[tuple[str, str], int] = {}
    deferred: dict[tuple[str, str], int] = {}
    external: set[str] = set()
    for file, statements in files.items():
        for statement in statements:
            found = [target for target in index.targets(file, statement) if target in files]
            edges = deferred if statement.deferred else loading
            for target in found:
                edges.setdefault((file, target), statement.line)
            if not found and _is_external(index, file, statement):
                external.add(statement.module.partition(".")[0])
    return ImportGraph(
        labels={file: index.label(file) for file in files},
        loading=loading,
        deferred={edge: line for edge, line in deferred.items() if edge not in loading},
        external=frozenset(external),
    )


def judge_graph(graph: ImportGraph) -> list[Finding]:
    """Report cycles, the modules most depended on, and those that import most."""
    return [*_all_cycles(graph), *_most_depended_on(graph), *_widest(graph)]


def graph_metrics(graph: ImportGraph) -> dict[str, float | int | str]:
    """Count modules, edges, cycles and layers."""
    edges = _targets(graph.loading)
    return {
        "modules": len(graph.labels),
        "edges": len(graph.loading),
        "deferred_edges": len(graph.deferred),
        "cycles": len(cycles(graph.labels, edges)),
        "layers": len(longest_chain(graph.labels, edges)),
        "external_packages": len(graph.external),
    }


def joined_path(names: Sequence[str]) -> str:
    """Write a path of modules, shortened in the middle when it is long."""
    if len(names) > _PATH_SHOWN:
        names = [*names[: _PATH_SHOWN - 1], f"… {len(names) - _PATH_SHOWN} more …", names[-1]]
    return " → ".join(names)


def _all_cycles(graph: ImportGraph) -> list[Finding]:
    loading = cycles(graph.labels, _targets(graph.loading))
    known = [_cycle(graph, component, graph.loading) for component in loading]
    either = {**graph.loading, **graph.deferred}
    held_open = [
        _held_open(_cycle(graph, component, either))
        for component in cycles(graph.labels, _targets(either))
        if component not in loading
    ]
    return known + held_open


def _cycle(graph: ImportGraph, component: frozenset[str], lines: Lines) -> Finding:
    path = shortest_cycle(component, _targets(lines))
    names = joined_path([graph.labels[file] for file in path])
    around = f"{len(component)} modules import each other in a cycle: {names}"
    return Finding(
        tool=TOOL,
        rule="import-cycle",
        severity="medium",
        message=around,
        file=path[0],
        line=lines[path[0], path[1]],
        symbol=graph.labels[path[0]],
        metric=float(len(component)),
    )


def _held_open(finding: Finding) -> Finding:
    return replace(
        finding,
        rule="deferred-import-cycle",
        severity="low",
        message=f"{finding.message}; imports in functions or for type checkers hold it open",
    )


def _most_depended_on(graph: ImportGraph) -> list[Finding]:
    fan_in = Counter(target for _, target in graph.loading)
    return [
        Finding(
            tool=TOOL,
            rule="most-depended-on",
            severity="info",
            message=f"{graph.labels[file]} is imported by {count} of {len(graph.labels)} modules",
            file=file,
            line=1,
            symbol=graph.labels[file],
            metric=float(count),
        )
        for file, count in _top(fan_in)
    ]


def _widest(graph: ImportGraph) -> list[Finding]:
    fan_out = Counter(source for source, _ in graph.loading)
    wide = {file: count for file, count in fan_out.items() if count > WIDE_FAN_OUT}
    return [
        Finding(
            tool=TOOL,
            rule="fan-out",
            severity="low" if file in wide else "info",
            message=f"{graph.labels[file]} imports {count} modules of this tree",
            file=file,
            line=1,
            symbol=graph.labels[file],
            metric=float(count),
        )
        for file, count in {**wide, **dict(_top(fan_out))}.items()
    ]


def _top(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]


def _targets(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    targets: dict[str, set[str]] = {}
    for source, target in edges:
        targets.setdefault(source, set()).add(target)
    return targets


def _is_external(index: ModuleIndex, file: str, statement: Import) -> bool:
    top = statement.module.partition(".")[0]
    own = index.targets(file, Import(module=top, line=1))
    return not statement.level and top not in sys.stdlib_module_names and not own
