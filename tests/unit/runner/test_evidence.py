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


def look(place, tick=lambda: None, **changes) -> Evidence:
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
    return Evidence(spec, tick=tick)


def test_changes_and_violations(place):
    (place / "work" / "AGENTS.md").write_text("old")
    evidence = look(place)
    (place / "work" / "AGENTS.md").write_text("new")
    (place / "work" / "b").touch()
    assert evidence.gather() == (("AGENTS.md", "b"), ("AGENTS.md",))
    noted = json.loads((place / "run" / "changes.json").read_text())
    assert (noted["changed"], noted["count"]) == (["AGENTS.md", "b"], 2)
    assert (
        noted["violations"]["AGENTS.md"]["before"]["digest"] != noted["violations"]["AGENTS.md"]["after"]["digest"]
    )


def test_what_the_task_declared_may_change_and_nothing_else(place):
    for name in ("AGENTS.md", "CLAUDE.md"):
        (place / "work" / name).write_text("old")
    evidence = look(place, protected=("AGENTS.md", "CLAUDE.md"), allowed=("AGENTS.md",))
    for name in ("AGENTS.md", "CLAUDE.md"):
        (place / "work" / name).write_text("new")
    assert evidence.gather() == (("AGENTS.md", "CLAUDE.md"), ("CLAUDE.md",))


def test_what_was_there_before_is_kept_until_it_is_compared(place):
    evidence = look(place)
    assert (place / "run" / "before.manifest").exists()
    evidence.gather()
    assert [path.name for path in (place / "run").iterdir()] == ["changes.json"]


def test_a_ledger_that_is_gone_costs_the_list(place, capsys):
    evidence = look(place)
    (place / "run" / "before.manifest").unlink()
    (place / "work" / "b").touch()
    assert evidence.gather() == ((), ())
    noted = json.loads((place / "run" / "changes.json").read_text())
    assert noted == {"changed": [], "count": 0, "violations": {}}
    assert "t.1: what changed in the workspace is not listed: " in capsys.readouterr().err


def test_autopilots_own_folder_is_left_out(place):
    (place / "root" / "run").mkdir()
    evidence = look(place, workdir=str(place), run_dir=str(place / "root" / "run"), protected=("**",))
    (place / "root" / "new").touch()
    (place / "work" / "new").touch()
    assert evidence.gather() == (("work/new",), ("work/new",))


def test_the_lease_is_kept_meanwhile(place):
    """By each look: at protected paths and at all of them, before and after."""
    (place / "work" / "AGENTS.md").touch()
    assert all(few < more for few, more in zip(ticks(place, ()), ticks(place, ("AGENTS.md",)), strict=True))


def ticks(place, protected):
    """How often an evidence ticks before the attempt, and after it."""
    seen = []
    evidence = look(place, tick=lambda: seen.append(1), protected=protected)
    before = len(seen)
    evidence.gather()
    assert 0 < before < len(seen)
    return before, len(seen) - before


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
    said = [line.rsplit(": ", 1)[0] for line in capsys.readouterr().err.splitlines()]
    assert said[0].startswith("t.1: what changes in the workspace will not be listed: ")
    assert said[1].startswith("t.1: what changed in the workspace is not listed: ")
    assert said[2].startswith("t.1: changes.json: ")
