"""Cycles in dependencies: every one is found, none is invented, and depth does not matter."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.dispatcher.graph import find_cycles

GRAPHS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple), max_size=8
)


def reachable(graph: dict[str, tuple[str, ...]], start: str) -> set[str]:
    found: set[str] = set()
    frontier = [start]
    while frontier:
        for target in graph.get(frontier.pop(), ()):
            if target not in found:
                found.add(target)
                frontier.append(target)
    return found


@settings(deadline=None)
@given(GRAPHS)
def test_a_node_is_on_a_cycle_exactly_when_it_reaches_itself(graph: dict[str, tuple[str, ...]]) -> None:
    cycles = find_cycles(graph, lambda node: graph.get(node, ()))
    assert {node for node in graph if node in reachable(graph, node)} == {node for node in cycles if node in graph}


@settings(deadline=None)
@given(GRAPHS)
def test_a_reported_cycle_is_a_walk_along_real_edges(graph: dict[str, tuple[str, ...]]) -> None:
    for node, path in find_cycles(graph, lambda name: graph.get(name, ())).items():
        assert path[0] == path[-1] == node
        assert all(target in graph.get(source, ()) for source, target in itertools.pairwise(path))


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    edges = {str(n): (str(n + 1),) for n in range(10_000)}
    assert find_cycles(edges, lambda node: edges.get(node, ())) == {}
    edges["9999"] = ("0",)
    assert len(find_cycles(edges, lambda node: edges.get(node, ()))) == 10_000
