"""Discounted counts by executor and task type, at a constant cost per outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

__all__ = ["NOTHING", "Cell", "Counts", "DiscountedTable", "Sums"]

Cell = tuple[float, float, float, float, float, float]
"""The fields of ``Counts``, in their order, as a plain tuple for the inner loops."""

_TINY = 1e-60


@attrs.frozen
class Counts:
    """Discounted counts of one executor at one type, or of a sum of such cells.

    Attributes:
        runs, successes: judged outcomes.
        cost_usd, cost_runs: the sum of the known costs, and how many runs had one.
        seconds, time_runs: the same for durations.
    """

    runs: float = 0.0
    successes: float = 0.0
    cost_usd: float = 0.0
    cost_runs: float = 0.0
    seconds: float = 0.0
    time_runs: float = 0.0


NOTHING: Cell = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""The counts of a cell that was never seen."""


@attrs.frozen
class Sums:
    """The margins of the table.

    Attributes:
        by_executor: the counts of each executor, over its types.
        runs: executor -> type -> runs.
        type_runs, type_successes: of each type, over all executors.
    """

    by_executor: Mapping[str, Cell]
    runs: Mapping[str, Mapping[str, float]]
    type_runs: Mapping[str, float]
    type_successes: Mapping[str, float]


@attrs.define
class _Row:
    """The cells of one executor, stored as the true value divided by (the row's scale · the column's scale)."""

    scale: float = 1.0
    cells: dict[str, list[float]] = attrs.field(factory=dict)


class DiscountedTable:
    """A table of counts in which each outcome of (executor, type) first multiplies all counts of the executor and
    all counts of the type by a factor.

    The factors are kept per row and column and applied when a cell is read, so an outcome costs the same however
    much is known. Rows and cells are kept in the order of their names.

    Args:
        executor_discount, type_discount: the factors, in (0, 1].
    """

    def __init__(self, executor_discount: float, type_discount: float) -> None:
        self._executor_discount = executor_discount
        self._type_discount = type_discount
        self._rows: dict[str, _Row] = {}
        self._columns: dict[str, float] = {}

    def observe(
        self, executor: str, task_type: str, success: bool, cost: float | None, seconds: float | None
    ) -> None:
        """Discount the row and the column, then add one outcome; unknown costs and durations are None."""
        cell = self._cell(executor, task_type)
        row = self._rows[executor]
        row.scale *= self._executor_discount
        self._columns[task_type] *= self._type_discount
        unit = 1.0 / (row.scale * self._columns[task_type])
        cell[0] += unit
        cell[1] += unit if success else 0.0
        _add_known(cell, 2, cost, unit)
        _add_known(cell, 4, seconds, unit)
        if row.scale < _TINY or self._columns[task_type] < _TINY:
            self._rescale(row, task_type)

    def add(self, executor: str, task_type: str, runs: float, successes: float) -> None:
        """Add runs without discounting anything."""
        cell = self._cell(executor, task_type)
        unit = 1.0 / (self._rows[executor].scale * self._columns[task_type])
        cell[0] += runs * unit
        cell[1] += successes * unit

    def get(self, executor: str, task_type: str) -> Cell:
        """The true counts of one cell; zeros for one that was never seen."""
        row = self._rows.get(executor)
        if row is None or task_type not in row.cells:
            return NOTHING
        return _scaled(row.cells[task_type], row.scale * self._columns[task_type])

    def rows(self) -> Iterator[tuple[str, list[tuple[str, Cell]]]]:
        """Every executor with its types and their true counts, all sorted by name."""
        columns = self._columns
        for executor, row in self._rows.items():
            scale = row.scale
            yield executor, [(kind, _scaled(cell, scale * columns[kind])) for kind, cell in row.cells.items()]

    def sums(self) -> Sums:
        """All margins in one pass; sums run in the order of the names, so that equal tables give equal bits."""
        by_executor: dict[str, Cell] = {}
        runs: dict[str, dict[str, float]] = {}
        type_runs: dict[str, float] = {}
        type_successes: dict[str, float] = {}
        for executor, row in self._rows.items():
            n = s = cost = cost_runs = seconds = time_runs = 0.0
            own = runs[executor] = {}
            for kind, cell in row.cells.items():
                scale = row.scale * self._columns[kind]
                own[kind] = at_n = cell[0] * scale
                at_s = cell[1] * scale
                n += at_n
                s += at_s
                cost += cell[2] * scale
                cost_runs += cell[3] * scale
                seconds += cell[4] * scale
                time_runs += cell[5] * scale
                type_runs[kind] = type_runs.get(kind, 0.0) + at_n
                type_successes[kind] = type_successes.get(kind, 0.0) + at_s
            by_executor[executor] = (n, s, cost, cost_runs, seconds, time_runs)
        return Sums(by_executor, runs, type_runs, type_successes)

    def _cell(self, executor: str, task_type: str) -> list[float]:
        row = self._rows.get(executor)
        if row is None:
            row = _Row()
            self._rows = dict(sorted({**self._rows, executor: row}.items()))
        cell = row.cells.get(task_type)
        if cell is None:
            cell = list(NOTHING)
            row.cells = dict(sorted({**row.cells, task_type: cell}.items()))
            self._columns.setdefault(task_type, 1.0)
        return cell

    def _rescale(self, row: _Row, task_type: str) -> None:
        # Scales only ever shrink; long before they underflow they are folded into the cells.
        column = self._columns[task_type]
        for cell in row.cells.values():
            cell[:] = [value * row.scale for value in cell]
        row.scale = 1.0
        for other in self._rows.values():
            if task_type in other.cells:
                other.cells[task_type][:] = [value * column for value in other.cells[task_type]]
        self._columns[task_type] = 1.0

    def dump(self) -> dict[str, Any]:
        """The whole table as JSON values; ``load`` of it continues with equal bits."""
        rows = {name: {"scale": row.scale, "cells": row.cells} for name, row in self._rows.items()}
        return {"rows": rows, "columns": self._columns}

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the table by a dumped one.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is not one; the table is then unchanged.
        """
        columns = {str(kind): float(scale) for kind, scale in state["columns"].items()}
        rows = {}
        for name, row in sorted(state["rows"].items()):
            cells = {kind: [float(x) for x in cell] for kind, cell in sorted(row["cells"].items())}
            if any(kind not in columns or len(cell) != len(NOTHING) for kind, cell in cells.items()):
                raise ValueError(f"the cells of {name} have an unknown shape")
            rows[str(name)] = _Row(float(row["scale"]), cells)
        self._rows, self._columns = rows, columns


def _scaled(cell: list[float], scale: float) -> Cell:
    n, s, cost, cost_runs, seconds, time_runs = cell
    return n * scale, s * scale, cost * scale, cost_runs * scale, seconds * scale, time_runs * scale


def _add_known(cell: list[float], at: int, value: float | None, unit: float) -> None:
    if value is not None and math.isfinite(value) and value >= 0:
        cell[at] += unit * value
        cell[at + 1] += unit
