"""In which order can steps run, and what does each of them wait for?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from segue_language.expressions import references
from segue_language.models import Step, Workflow
from segue_language.sites import step_sites

MAX_CYCLES: Final = 20

Edges = Mapping[str, Sequence[str]]
"""The steps that each step depends on."""


class GraphError(ValueError):
    """The steps form no graph that could run."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of a workflow, and how they depend on each other."""

    order: tuple[str, ...]
    """Each step after all it depends on."""
    levels: tuple[tuple[str, ...], ...]
    """Steps that can run at the same time; a level needs only the ones before."""
    dependencies: Mapping[str, tuple[str, ...]]
    """What a step depends on directly."""
    dependents: Mapping[str, tuple[str, ...]]
    """What depends on a step directly."""
    references: Mapping[str, frozenset[str]]
    """The steps whose outputs a step's templates use."""

    @classmethod
    def of(cls, workflow: Workflow) -> Self:
        """Compile a workflow's graph.

        Raises:
            GraphError: Keys repeat, a dependency is unknown, or there is a cycle.
        """
        dependencies = _edges(workflow)
        levels, left = peel(dependencies)
        if left:
            raise GraphError(
                f"the steps depend on each other: {cycle_text(cycles(dependencies)[0])}"
            )
        dependents: dict[str, list[str]] = {key: [] for key in dependencies}
        for key, needed in dependencies.items():
            for other in needed:
                dependents[other].append(key)
        return cls(
            order=tuple(key for level in levels for key in level),
            levels=levels,
            dependencies=dependencies,
            dependents={key: tuple(keys) for key, keys in dependents.items()},
            references={step.key: _used(step, dependencies, workflow) for step in workflow.steps},
        )

    def upstream(self, key: str) -> frozenset[str]:
        """Return everything a step depends on, directly or not."""
        return _reach(self.dependencies, key)

    def downstream(self, key: str) -> frozenset[str]:
        """Return everything that depends on a step, directly or not."""
        return _reach(self.dependents, key)


def _edges(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    edges: dict[str, tuple[str, ...]] = {}
    for step in workflow.steps:
        if step.key in edges:
            raise GraphError(f"two steps have the key {step.key!r}")
        edges[step.key] = tuple(dict.fromkeys(step.depends_on))
    for key, needed in edges.items():
        for other in needed:
            if other not in edges:
                raise GraphError(f"step {key!r} depends on {other!r}, which does not exist")
    return edges


def _used(step: Step, keys: Mapping[str, object], workflow: Workflow) -> frozenset[str]:
    raw = step.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    used: set[str] = set()
    for site in step_sites(raw):
        found = references(
            site.source,
            steps=keys,
            inputs=workflow.inputs,
            values=site.names,
            mode=site.mode,
        )
        used |= found.outputs
    return frozenset(used)


def _reach(edges: Edges, key: str) -> frozenset[str]:
    reached: set[str] = set()
    left = [*edges[key]]
    while left:
        other = left.pop()
        if other not in reached:
            reached.add(other)
            left.extend(edges[other])
    return frozenset(reached)


def peel(
    dependencies: Edges, settled: Iterable[str] = ()
) -> tuple[tuple[tuple[str, ...], ...], frozenset[str]]:
    """Return the levels of what can run, and what a cycle keeps from running."""
    gone = set(settled)
    waiting = {key: len(set(deps) - gone) for key, deps in dependencies.items() if key not in gone}
    dependents: dict[str, list[str]] = {key: [] for key in waiting}
    for key in waiting:
        for other in set(dependencies[key]) - gone:
            dependents[other].append(key)
    levels: list[tuple[str, ...]] = []
    ready = [key for key, count in waiting.items() if not count]
    while ready:
        levels.append(tuple(ready))
        following = []
        for key in ready:
            del waiting[key]
            for other in dependents[key]:
                waiting[other] -= 1
                if not waiting[other]:
                    following.append(other)
        ready = following
    return tuple(levels), frozenset(waiting)


def cycles(dependencies: Edges) -> tuple[tuple[str, ...], ...]:
    """Return cycles that share no step, each as its path back to where it begins."""
    found: list[tuple[str, ...]] = []
    settled: set[str] = set()
    while len(found) < MAX_CYCLES:
        _, left = peel(dependencies, settled)
        if not left:
            break
        cycle = _cycle(dependencies, left)
        settled.update(cycle)
        found.append(cycle)
    return tuple(found)


def _cycle(dependencies: Edges, left: frozenset[str]) -> tuple[str, ...]:
    """Follow dependencies that cannot be met until one comes back."""
    key = next(key for key in dependencies if key in left)
    path: dict[str, int] = {}
    while key not in path:
        path[key] = len(path)
        key = next(other for other in dependencies[key] if other in left)
    keys = [*path][path[key] :]
    first = min(keys, key=[*dependencies].index) if len(keys) < MAX_CYCLES else keys[0]
    start = keys.index(first)
    return (*keys[start:], *keys[:start], first)


def cycle_text(cycle: Sequence[str]) -> str:
    """Write a cycle as `a -> b -> a`; a long one without its middle."""
    shown = [*cycle]
    if len(shown) > MAX_CYCLES:
        half = MAX_CYCLES // 2
        shown = [*shown[:half], "…", *shown[-half:]]
    return " -> ".join(shown)


class Upstream:
    """Tells quickly what is upstream of what: one bit a step in whole numbers."""

    def __init__(self, dependencies: Edges) -> None:
        self.is_complete = True
        self._bit: dict[str, int] = {}
        self._masks: dict[str, int] = {}
        if not self._fill(dependencies, dependencies):
            levels, left = peel(dependencies)
            self.is_complete = not left
            self._bit.clear()
            self._fill(dependencies, (key for level in levels for key in level))

    def _fill(self, dependencies: Edges, order: Iterable[str]) -> bool:
        """Follow an order; tell whether each step comes after all it depends on."""
        bits, masks = self._bit, self._masks
        for key in order:
            mask = 0
            for other in dependencies[key]:
                if other not in bits:
                    return False
                mask |= masks[other] | bits[other]
            bits[key] = 1 << len(bits)
            masks[key] = mask
        return True

    def includes(self, key: str, *, of: str) -> bool:
        """Tell whether a step waits for another, directly or not; yes where a cycle hides it."""
        if key not in self._bit or of not in self._masks:
            return True
        return bool(self._masks[of] & self._bit[key])
