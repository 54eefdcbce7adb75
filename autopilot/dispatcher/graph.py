"""Cycles in ``depends_on``, found once for each change of the graph, without recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

__all__ = ["find_cycles"]

_TOLD_ROTATED = 50


def find_cycles(
    nodes: Iterable[str], depends_on: Callable[[str], tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    """Each node that lies on a cycle, with one cycle through it: beginning and ending with it, or, for cycles of
    more than 50, with the node that was found first.

    Strongly connected components after Tarjan (1972), with an explicit stack; linear in nodes and edges.
    """
    found: dict[str, tuple[str, ...]] = {}
    for component in _components(nodes, depends_on):
        members = set(component)
        if len(component) > 1 or component[0] in depends_on(component[0]):
            for node in component:
                if node not in found:
                    path = _cycle_through(node, members, depends_on)
                    found.update(_each_from_its_own_view(path))
    return found


def _components(nodes: Iterable[str], depends_on: Callable[[str], tuple[str, ...]]) -> list[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    components: list[list[str]] = []
    for root in nodes:
        if root in index:
            continue
        work = [(root, iter(depends_on(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, edges = work[-1]
            for target in edges:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(depends_on(target))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    components.append(_pop_component(node, stack, on_stack))
    return components


def _pop_component(root: str, stack: list[str], on_stack: set[str]) -> list[str]:
    component = []
    while True:
        node = stack.pop()
        on_stack.remove(node)
        component.append(node)
        if node == root:
            return component


def _cycle_through(start: str, members: set[str], depends_on: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    came_from: dict[str, str] = {}
    frontier = [start]
    while frontier:
        reached: list[str] = []
        for node in frontier:
            for target in depends_on(node):
                if target == start:
                    return _walk_back(start, node, came_from)
                if target in members and target not in came_from:
                    came_from[target] = node
                    reached.append(target)
        frontier = reached
    raise AssertionError(f"{start} is in a component without a cycle")


def _each_from_its_own_view(path: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    # Long cycles are told once, from their first node, or the answer would grow with the square of the length.
    if len(path) > _TOLD_ROTATED:
        return dict.fromkeys(path, path)
    ring = path[:-1]
    return {node: (*ring[at:], *ring[:at], node) for at, node in enumerate(ring)}


def _walk_back(start: str, last: str, came_from: Mapping[str, str]) -> tuple[str, ...]:
    path = [start]
    while last != start:
        path.append(last)
        last = came_from[last]
    path.append(start)
    return tuple(reversed(path))
