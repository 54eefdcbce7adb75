"""Plugins made for one test."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopilot.models import PluginRef

_numbers = itertools.count()

MakePlugin = Callable[..., PluginRef]


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePlugin]:
    """Write a module and give the reference to it: ``make_plugin(source, name=…, attribute=…)``."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made = []

    def make(source: str, name: str = "plugin", attribute: str = "", distribution: str = "") -> PluginRef:
        module = f"made_plugin_{next(_numbers)}"
        made.append(module)
        (folder / f"{module}.py").write_text("from autopilot import hookimpl\n" + textwrap.dedent(source))
        value = f"{module}:{attribute}" if attribute else module
        return PluginRef(name=name, value=value, distribution=distribution or f"dist-{name}", version="1.0")

    yield make
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def cache_folder(tmp_path: Path) -> str:
    """A cache of this test's own."""
    return str(tmp_path / "cache")
