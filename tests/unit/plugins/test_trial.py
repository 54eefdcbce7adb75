"""New plugins are tried in a process of their own; what was found is remembered while it holds."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from autopilot.models import PluginRef
from autopilot.plugins import trial
from autopilot.plugins.trial import Trial, Trials
from autopilot.plugins.trial_child import try_plugin

GATE = "@hookimpl\ndef autopilot_dispatch(task): pass\n"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the plugins that a child was started for."""
    names: list[str] = []
    start = trial._start
    monkeypatch.setattr(trial, "_start", lambda ref: names.append(ref.name) or start(ref))
    return names


def trials(cache_folder: str, budget_s: float = 60.0) -> Trials:
    return Trials(budget_s=budget_s, cache_folder=cache_folder)


def path_of(ref: PluginRef) -> Path:
    module = importlib.util.find_spec(ref.value)
    assert module is not None and module.origin is not None
    return Path(module.origin)


def test_a_good_plugin_is_tried_once(make_plugin: Any, cache_folder: str, started: list[str]) -> None:
    ref = make_plugin(f"print('noise')\n{GATE}")
    expected = {ref: Trial(hooks=frozenset({"autopilot_dispatch"}))}
    assert trials(cache_folder).judge([ref]) == expected
    assert trials(cache_folder).judge([ref]) == expected
    assert started == ["plugin"]
    assert ref.value not in sys.modules


def test_a_changed_file_is_tried_again(make_plugin: Any, cache_folder: str, started: list[str]) -> None:
    ref = make_plugin(GATE)
    trials(cache_folder).judge([ref])
    path = path_of(ref)
    path.write_text(path.read_text() + "# longer\n@hookimpl\ndef autopilot_event(event): pass\n")
    hooks = trials(cache_folder).judge([ref])[ref].hooks
    assert hooks == {"autopilot_dispatch", "autopilot_event"}
    assert len(started) == 2


def test_another_version_is_tried_again(make_plugin: Any, cache_folder: str, started: list[str]) -> None:
    import attrs

    ref = make_plugin(GATE)
    trials(cache_folder).judge([ref])
    trials(cache_folder).judge([attrs.evolve(ref, version="1.1")])
    assert len(started) == 2


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import os; os._exit(7)", "its import ended the whole process with exit code 7"),
        ("import os; os._exit(0)", "its import ended the whole process with exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", "its import ended the whole process by signal 11"),
        ("raise ValueError('no')", "ValueError: no"),
        ("raise SystemExit(3)", "it called sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import json; json.dumps = None", "its import replaces json.dumps, which all others rely on"),
        ("import json; json.JSONEncoder.default = None", "its import replaces json.JSONEncoder.default, which"),
        ("", "it implements no hook of Autopilot"),
    ],
)
def test_faults_are_told_and_tried_again(
    source: str, fault: str, make_plugin: Any, cache_folder: str, started: list[str]
) -> None:
    ref = make_plugin(source)
    for _ in range(2):
        found = trials(cache_folder).judge([ref])[ref]
        assert found.fault.startswith(fault)
        assert found.hooks is None
    assert len(started) == 2


def test_a_hang_is_cut_off_and_remembered_for_some_minutes(
    make_plugin: Any, cache_folder: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make_plugin("import time; time.sleep(300)", name="slow")
    expected = Trial(fault="its import took more than 1 s")
    assert trials(cache_folder, 1.0).judge([ref])[ref] == expected
    assert trials(cache_folder, 1.0).judge([ref])[ref] == expected
    assert started == ["slow"]
    now = trial.time.time()
    for other in (now + 301, now - 86_400):  # later, and after the clock was set back
        monkeypatch.setattr(trial.time, "time", lambda other=other: other)
        assert trial._from_cache({"hung": "x", "until": now + 300}) is None


def test_good_ones_are_known_beside_a_bad_one(make_plugin: Any, cache_folder: str) -> None:
    refs = [make_plugin(GATE, name=f"good-{n}") for n in range(3)]
    bad = make_plugin("import os; os._exit(1)", name="bad")
    found = trials(cache_folder).judge([bad, *refs])
    assert all(found[ref].hooks for ref in refs)
    assert found[bad].fault


def test_a_fork_at_import_leaves_nothing_behind(make_plugin: Any, cache_folder: str, tmp_path: Path) -> None:
    ref = make_plugin(
        f"""
        import os, time
        child = os.fork()
        if child == 0:
            time.sleep(300)
        open({str(tmp_path / "child")!r}, "w").write(str(child))
        {GATE.replace(chr(10), chr(10) + " " * 8)}
        """
    )
    assert trials(cache_folder).judge([ref])[ref].hooks == {"autopilot_dispatch"}
    from autopilot.system.processes import start_time_of

    child = int((tmp_path / "child").read_text())
    for _ in range(3000):
        if start_time_of(child) is None:
            break
        trial.time.sleep(0.01)
    assert start_time_of(child) is None


def test_a_child_that_cannot_start_tells_nothing(
    make_plugin: Any, cache_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make_plugin(GATE)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert trials(cache_folder).judge([ref]) == {ref: Trial()}


def test_failpoints_of_this_process_are_not_the_childs(
    make_plugin: Any, cache_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPILOT_FAILPOINTS", "cache.opened=kill")
    ref = make_plugin(f"import os\nassert 'AUTOPILOT_FAILPOINTS' not in os.environ\n{GATE}")
    assert trials(cache_folder).judge([ref])[ref].fault == ""


def test_a_plugin_that_reads_input_gets_none(make_plugin: Any, cache_folder: str) -> None:
    ref = make_plugin("input()")
    assert trials(cache_folder).judge([ref])[ref].fault.startswith("EOFError")


def test_the_childs_report(make_plugin: Any) -> None:
    ref = make_plugin(GATE)
    report = try_plugin(ref)
    assert report["hooks"] == ["autopilot_dispatch"]
    assert list(report["files"]) == [str(path_of(ref))]
    assert "error" not in report
    dumps = json.dumps
    assert "json.dumps" in try_plugin(make_plugin("import json\njson.dumps = print"))["error"]
    assert json.dumps is dumps


def test_the_cache_is_of_this_interpreter_and_path(
    make_plugin: Any, cache_folder: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make_plugin(GATE)
    trials(cache_folder).judge([ref])
    monkeypatch.setattr(sys, "path", [*sys.path, os.sep])
    trials(cache_folder).judge([ref])
    assert len(started) == 2
