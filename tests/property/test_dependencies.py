"""Dependencies (P8): who may run is what a plain walk over the graph says, at a cost that grows with the graph."""

from __future__ import annotations

import inspect
import itertools
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.dispatcher.board import Board
from autopilot.dispatcher.gates import Dependencies
from autopilot.dispatcher.graph import find_cycles
from autopilot.models import InvalidTask, Priority, Status, Task
from autopilot.store.contract import Changes, TaskSummary
from tests.campaign import record, size

IDS = "abcdef"
GHOST, BROKEN = "ghost", "broken"
GRAPHS = st.dictionaries(
    st.sampled_from(IDS),
    st.tuples(
        st.sampled_from([Status.PENDING, Status.PENDING, Status.DONE, Status.BLOCKED, Status.CANCELLED]),
        st.lists(st.sampled_from([*IDS, GHOST, BROKEN]), max_size=3, unique=True).map(tuple),
    ),
    min_size=1,
)
Graph = Mapping[str, tuple[Status, tuple[str, ...]]]


def board_of(graph: Graph) -> Board:
    board = Board(aging_s=1.0)
    summaries = [
        TaskSummary(id=name, status=status, priority=Priority.MEDIUM, created=0.0, depends_on=needs)
        for name, (status, needs) in graph.items()
    ]
    broken = InvalidTask(id=BROKEN, path="broken.md", message="no task", hint="mend it")
    board.apply(Changes(tasks=tuple(summaries), invalid=(broken,)))
    return board


def expected(graph: Graph, name: str) -> str:
    """The code of the refusal, by the words of the promise; empty for none."""
    open_ones = [need for need in graph[name][1] if graph.get(need, (None,))[0] is not Status.DONE]
    if not open_ones:
        return ""
    if reaches(graph, name, name):
        return "dependency_cycle"
    if any(graph.get(need, (None,))[0] in (Status.BLOCKED, Status.CANCELLED) for need in open_ones):
        return "dependency_failed"
    if BROKEN in open_ones:
        return "dependency_invalid"
    return "dependency_open" if set(open_ones) <= graph.keys() else "dependency_missing"


def reaches(graph: Graph, start: str, goal: str) -> bool:
    found, todo = set(), [start]
    while todo:
        status, needs = graph.get(todo.pop(), (Status.DONE, ()))
        for need in needs if status is not Status.DONE else ():
            if need == goal:
                return True
            if need not in found:
                found.add(need)
                todo.append(need)
    return False


@settings(max_examples=size(300, 20_000), deadline=None, database=None)
@given(GRAPHS)
def test_who_waits_for_whom(graph: Graph) -> None:
    dependencies = Dependencies(board_of(graph))
    for name, (status, needs) in graph.items():
        if status is Status.DONE:
            continue
        refusal = dependencies.refusal(Task(id=name, title=name, status=status, depends_on=needs))
        code = expected(graph, name)
        assert (refusal.reason.code if refusal else "") == code
        if refusal is not None:
            assert refusal.reason.hint
            assert refusal.block is (code in ("dependency_cycle", "dependency_failed")), code
        if code == "dependency_cycle":
            path = refusal.reason.message.partition(": ")[2].split(" → ")
            assert path[0] == path[-1] == name
            assert all(need in graph[one][1] for one, need in itertools.pairwise(path))


# ---------------------------------------------------------------------- size


def chain(nodes: int) -> dict[str, tuple[str, ...]]:
    """The deepest graph, closed to one cycle."""
    return {str(n): (str((n + 1) % nodes),) for n in range(nodes)}


def web(nodes: int) -> dict[str, tuple[str, ...]]:
    """Each task needs up to five earlier ones."""
    rng = random.Random(nodes)
    return {str(n): tuple({str(rng.randrange(n)) for _ in range(5)}) if n else () for n in range(nodes)}


@contextmanager
def little_stack() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 50)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def cost(graph: Mapping[str, tuple[str, ...]]) -> float:
    def once() -> float:
        begun = time.process_time()
        find_cycles(graph, lambda node: graph.get(node, ()))
        return time.process_time() - begun

    return min(once() for _ in range(3))


def test_ten_thousand_tasks_need_no_recursion_and_ten_times_the_cost_of_a_thousand() -> None:
    for shape in (chain, web):
        with little_stack():
            small, large = cost(shape(1_000)), cost(shape(10_000))
        record("T6", f"dependency graph, {shape.__name__}", nodes=10_000, cpu_ms=round(large * 1000, 1))
        assert large <= 10 * 4 * max(small, 1e-4), shape.__name__


def test_ten_thousand_tasks_are_taken_in_and_judged_without_recursion() -> None:
    for shape in (chain, web):
        graph = {name: (Status.PENDING, needs) for name, needs in shape(10_000).items()}
        asked = [Task(id=name, title=name, depends_on=graph[name][1]) for name in ("1", "9999")]
        with little_stack():
            dependencies = Dependencies(board_of(graph))
            codes = [refusal.reason.code for task in asked if (refusal := dependencies.refusal(task))]
        assert codes == ["dependency_cycle" if shape is chain else "dependency_open"] * 2
