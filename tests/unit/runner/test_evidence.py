"""Evidence is gathered where it can be, and a disk that refuses costs only the list."""

from __future__ import annotations

import json

import pytest

from autopilot.models import AttemptSpec, PluginRef
from autopilot.runner.evidence import Evidence


@pytest.fixture
def place(tmp_path):
    for name in ("work", "run", "root"):
        (tmp_path / name).mkdir()
    return tmp_path


def look(place, **changes) -> Evidence:
    spec = AttemptSpec(
        **{
            "root": str(place / "root"),
            "store_url": "file:",
            "task_id": "t",
            "token": 1,
            "task_text": "",
            "executor": "x",
            "executor_plugin": PluginRef(name="x", value="x"),
            "workdir": str(place / "work"),
            "run_dir": str(place / "run"),
            "workspace": "repo",
            "protected": ("AGENTS.md",),
            **changes,
        }
    )
    return Evidence(spec, tick=lambda: None)


def test_changes_and_violations(place):
    (place / "work" / "AGENTS.md").write_text("old")
    evidence = look(place)
    (place / "work" / "AGENTS.md").write_text("new")
    (place / "work" / "b").touch()
    assert evidence.gather() == (("AGENTS.md", "b"), ("AGENTS.md",))
    noted = json.loads((place / "run" / "changes.json").read_text())
    assert noted["count"] == 2
    assert (
        noted["violations"]["AGENTS.md"]["before"]["digest"] != noted["violations"]["AGENTS.md"]["after"]["digest"]
    )


def test_a_name_that_is_no_text_is_written_down_too(place):
    evidence = look(place)
    (place / "work" / "\udcff").touch()
    assert evidence.gather() == (("\udcff",), ())
    assert json.loads((place / "run" / "changes.json").read_text())["changed"] == ["\udcff"]


@pytest.mark.parametrize("changes", [{"workspace": "none"}, {"workdir": "/no/such/folder"}])
def test_nothing_is_watched_where_there_is_nothing(place, changes):
    evidence = look(place, **changes)
    (place / "work" / "AGENTS.md").touch()
    assert evidence.gather() == ((), ())
    assert list((place / "run").iterdir()) == []


def test_a_ledger_that_cannot_be_written_costs_the_list_and_not_the_violations(place, capsys):
    evidence = look(place, run_dir=str(place / "missing"))
    (place / "work" / "AGENTS.md").touch()
    assert evidence.gather() == ((), ("AGENTS.md",))
    said = capsys.readouterr().err
    assert "t.1: what changes in the workspace will not be listed" in said
    assert "changes.json" in said
