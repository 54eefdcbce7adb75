"""Ranges of settings, as validators of attrs fields; each raises ValueError with the rest of a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["Check", "above", "at_least", "executor_names", "finite", "one_of", "variable_names", "variable_values"]

Check = Callable[[Any, Any, Any], None]
_EXECUTOR_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


def above(limit: float) -> Check:
    """A finite number above ``limit``, or None."""

    def check(_: Any, _attribute: Any, value: float | None) -> None:
        if value is not None and not (value > limit and math.isfinite(value)):
            raise ValueError(f"must be more than {limit:g}, not {value}")

    return check


def at_least(limit: float) -> Check:
    """A finite number of ``limit`` or more, or None."""

    def check(_: Any, _attribute: Any, value: float | None) -> None:
        if value is not None and not (value >= limit and math.isfinite(value)):
            raise ValueError(f"must be {limit:g} or more, not {value}")

    return check


def one_of(*words: str) -> Check:
    """One of these words, or None."""

    def check(_: Any, _attribute: Any, value: str | None) -> None:
        if value is not None and value not in words:
            shown = [word or '""' for word in words]
            raise ValueError(f"must be {', '.join(shown[:-1])} or {shown[-1]}, not {value!r}")

    return check


def executor_names(_: Any, _attribute: Any, value: Iterable[str]) -> None:
    """Names of executors, in a list or as keys."""
    for name in value:
        if not _EXECUTOR_NAME.match(name):
            raise ValueError(f"{name!r} is no executor's name (lower-case letters, digits and hyphens)")


def finite(_: Any, _attribute: Any, value: Mapping[str, float]) -> None:
    """Numbers that are finite, as values."""
    for name, number in value.items():
        if not math.isfinite(number):
            raise ValueError(f"the number of {name!r} must be finite, not {number}")


def variable_names(_: Any, _attribute: Any, value: Iterable[str]) -> None:
    """Names of environment variables, in a list or as keys."""
    for name in value:
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} is no name of an environment variable; values are never written here")


def variable_values(_: Any, attribute: Any, value: Mapping[str, str]) -> None:
    """Environment variables with their values: a NUL would let no program start, and rest the executor."""
    variable_names(_, attribute, value)
    for name, text in value.items():
        if "\0" in text:
            raise ValueError(f"the value of {name!r} has a NUL character in it")
