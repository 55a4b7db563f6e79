"""Graphs: which nodes form cycles, and how deep are the layers?"""

from collections import deque
from collections.abc import Iterable, Mapping

Edges = Mapping[str, Iterable[str]]
"""The targets of each node; a node without an entry has none."""


def components(nodes: Iterable[str], edges: Edges) -> list[frozenset[str]]:
    """Return the strongly connected components, sources before what they point to (Kosaraju)."""
    order = _finishing_order(sorted(nodes), edges)
    backwards: dict[str, list[str]] = {}
    for node in order:
        for target in edges.get(node, ()):
            backwards.setdefault(target, []).append(node)
    seen: set[str] = set()
    return [_reached(node, backwards, seen) for node in reversed(order) if node not in seen]


def cycles(nodes: Iterable[str], edges: Edges) -> list[frozenset[str]]:
    """Return the components of more than one node, the largest first."""
    found = [component for component in components(nodes, edges) if len(component) > 1]
    return sorted(found, key=lambda component: (-len(component), min(component)))


def shortest_cycle(component: frozenset[str], edges: Edges) -> list[str]:
    """Return a shortest cycle through the component's first node, ending where it starts."""
    start = min(component)
    before: dict[str, str] = {}
    queue = deque([start])
    while queue and start not in before:
        node = queue.popleft()
        for target in sorted(component.intersection(edges.get(node, ()))):
            if target not in before:
                before[target] = node
                queue.append(target)
    path = [start]
    while path[-1] != start or len(path) == 1:
        path.append(before[path[-1]])
    return path[::-1]


def longest_chain(nodes: Iterable[str], edges: Edges) -> list[str]:
    """Return the longest chain of dependencies; a cycle counts as one link."""
    depth: dict[frozenset[str], int] = {}
    below: dict[frozenset[str], frozenset[str]] = {}
    home: dict[str, frozenset[str]] = {}
    for component in reversed(components(nodes, edges)):
        home.update(dict.fromkeys(component, component))
        targets = {home[target] for node in component for target in edges.get(node, ())}
        targets.discard(component)
        deepest = max(targets, key=lambda item: (depth[item], min(item)), default=None)
        depth[component] = 1 + (depth[deepest] if deepest else 0)
        if deepest:
            below[component] = deepest
    link = max(depth, key=lambda item: (depth[item], min(item)), default=None)
    chain = []
    while link:
        chain.append(min(link))
        link = below.get(link)
    return chain


def _finishing_order(nodes: Iterable[str], edges: Edges) -> list[str]:
    order: list[str] = []
    seen: set[str] = set()
    for root in nodes:
        stack = [(root, False)]
        while stack:
            node, left = stack.pop()
            if left:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((target, False) for target in sorted(edges.get(node, ())))
    return order


def _reached(start: str, edges: Edges, seen: set[str]) -> frozenset[str]:
    reached = []
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            reached.append(node)
            waiting.extend(edges.get(node, ()))
    return frozenset(reached)
