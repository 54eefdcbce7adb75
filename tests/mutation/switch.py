"""Chooses between a function and its mutants, in every process of a test; lies beside the mutated package.

``AUTOPILOT_MUTANT`` names the one mutant that is alive, and reaches the programs that a test starts.
``AUTOPILOT_MUTANT_HITS`` names a folder where every process writes which functions a test has reached.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Hits", "MutantDict", "activate", "wrap"]

MutantDict = dict[str, Callable[..., Any]]

_ORIGINAL = "_mutmut_orig"
_open, _write, _close = os.open, os.write, os.close  # tests put others in their place


class Hits:
    """Which functions were reached since the last ``turn``, by all processes that share the folder."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "hits")
        turns = os.open(os.path.join(folder, "turns"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(turns, 1)
        self._turns = mmap.mmap(turns, 1)
        os.close(turns)
        self._turn = -1
        self._seen: set[str] = set()

    def note(self, function: str) -> None:
        """One function, once in each turn."""
        if self._turn != self._turns[0]:
            self._turn = self._turns[0]
            self._seen.clear()
        if function not in self._seen:
            self._seen.add(function)
            # Opened each time: the code under test closes descriptors that it does not know.
            file = _open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            _write(file, f"{function}\n".encode())
            _close(file)

    def turn(self) -> set[str]:
        """What was reached; everybody begins anew."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = set(file.read().split())
            os.truncate(self._path, 0)
        except FileNotFoundError:
            found = set()
        self._turns[0] = (self._turns[0] + 1) % 256
        return found


_alive = os.environ.get("AUTOPILOT_MUTANT", "").rpartition(".")
_hits = Hits(os.environ["AUTOPILOT_MUTANT_HITS"]) if "AUTOPILOT_MUTANT_HITS" in os.environ else None


def activate(mutant: str = "", hits: str = "") -> Hits | None:
    """Bring one mutant to life, or begin to record hits, here and in all processes that are started from here."""
    global _alive, _hits
    os.environ["AUTOPILOT_MUTANT"] = mutant
    _alive = mutant.rpartition(".")
    if hits:
        os.environ["AUTOPILOT_MUTANT_HITS"] = hits
        _hits = Hits(hits)
    return _hits


def wrap(mutants: MutantDict, is_classmethod: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates the function that ``mutants`` are mutants of."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        home = _home_of(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            module, _, name = _alive
            original = mutants[_ORIGINAL]
            chosen = mutants.get(name, original) if module == home else original
            if _hits is not None:
                _hits.note(f"{home}.{original.__name__.removesuffix('_orig')}")
            if is_classmethod:
                return getattr(args[0], chosen.__name__)(*args[1:], **kwargs)
            return chosen(*args, **kwargs)

        return call

    return decorate


def _home_of(function: Callable[..., Any]) -> str:
    # What is run by ``python -m`` is called __main__ by itself only.
    spec = sys.modules["__main__"].__spec__ if function.__module__ == "__main__" else None
    return spec.name if spec else function.__module__
