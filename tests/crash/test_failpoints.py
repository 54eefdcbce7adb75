"""Every crash point of the failure model has its failpoints, and every failpoint is passed by what is crashed."""

from __future__ import annotations

import ast
import sys
import tempfile
from pathlib import Path

import pytest

import autopilot
from tests.campaign import FAST, record
from tests.crash.inject import passes_of
from tests.crash.points import ABSENT, CRASH_POINTS, EXTRA
from tests.crash.scenarios import SCENARIOS, copy_of
from tests.process.runner_support import arena

NAMED = {"failpoint": 0, "write_all": 2, "ending": 1, "markdown": 1, "write": 1, "rewrite": None}
"""Functions that are told the name of a failpoint -> at which place; all take it as ``point``, too."""


def in_the_package() -> set[str]:
    """The names of failpoints, without the steps of files that are written whole."""
    found: set[str] = set()
    for path in Path(autopilot.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                found |= _names_in(node)
    return found


def _names_in(call: ast.Call) -> set[str]:
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = NAMED.get(function)
    given = [keyword.value for keyword in call.keywords if keyword.arg == "point"]
    given += call.args[place : place + 1] if place is not None else []
    names = {node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {name for name in names if name.replace(".", "").replace("_", "").isalpha()}


def known() -> set[str]:
    return {*EXTRA, *(point for _, points in CRASH_POINTS.values() for point in points)}


def test_every_crash_point_of_the_model_has_failpoints_or_a_reason() -> None:
    assert {*CRASH_POINTS, *ABSENT} == {f"C{number}" for number in range(1, 36)}
    assert not CRASH_POINTS.keys() & ABSENT.keys()


def test_every_failpoint_of_the_package_is_in_the_tables() -> None:
    names = in_the_package()
    assert len(names) >= 40
    strangers = {name for name in names if not any(f"{one}.".startswith(f"{name}.") for one in known())}
    assert not strangers, "name it in tests/crash/points.py"


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_every_crash_point_is_passed(templates: dict[str, Path], tmp_path: Path) -> None:
    passed: set[str] = set()
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = copy_of(templates[scenario.name], Path(place, "root"))
            passed |= {
                name for name, _ in passes_of(lambda scenario=scenario, folder=folder: scenario.act(folder))
            }
    by_scenarios = len(passed)
    log = tmp_path / "passes"
    with arena(tmp_path, AUTOPILOT_FAILPOINTS="", AUTOPILOT_FAILPOINTS_LOG=str(log)) as place:
        place.do("echo said", executor="shell", workspace="repo")
    passed |= set(log.read_text().split())
    missed = {point for _, points in CRASH_POINTS.values() for point in points} - passed
    assert not missed
    record("T1", "failpoints", crash_points=len(CRASH_POINTS), passed=len(passed), by_scenarios=by_scenarios)
