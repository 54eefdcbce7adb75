"""Numbers as people type them."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["AMOUNT", "COUNT", "ORDINAL"]

_MOST = 10**9
"""More than anybody means, and less than any integer of the system."""


class _Finite(click.FloatRange):
    """A number from 0 on; what compares with nothing, or has no end, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number with an end.", param, ctx)
        return number


AMOUNT = _Finite(min=0)
"""Seconds, minutes, dollars."""

COUNT = click.IntRange(min=0, max=_MOST)
"""How many, none included."""

ORDINAL = click.IntRange(min=1, max=_MOST)
"""Which one, or how many where none makes no sense."""
