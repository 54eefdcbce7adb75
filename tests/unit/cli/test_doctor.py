"""``doctor`` finds what is wrong, and says how to mend it."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from autopilot.cli.doctor import leases
from autopilot.errors import StorageError
from autopilot.models import Ending, Health, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.system.processes import identify

Cli = Callable[..., Any]


def findings(cli: Cli, check: str) -> list[dict[str, str]]:
    rows = cli("doctor", "-o", "json").data
    assert all(set(row) == {"check", "status", "detail", "hint"} for row in rows)
    return [row for row in rows if row["check"] == check]


def worst(cli: Cli, check: str) -> dict[str, str]:
    return min(findings(cli, check), key=lambda row: ["fail", "warn", "ok"].index(row["status"]))


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> dict[str, Health]:
    """Executors of which one is well; the test may change them."""
    known = {"local": Health(ok=True, reason="ready")}
    monkeypatch.setattr("autopilot.dispatcher.control.Control.executors", property(lambda self: known))
    monkeypatch.setattr(
        "autopilot.dispatcher.control.Control.health", lambda self, name, *, fresh=False: known[name]
    )
    return known


@pytest.mark.usefixtures("healthy")
class TestDoctor:
    def test_all_is_well(self, cli: Cli, project: Path) -> None:
        cli("init")
        said = cli("doctor")
        assert said.code == 0, said.out
        assert "all is well" in said.err

    def test_an_invalid_task_file(self, cli: Cli, write_task: Callable[[str, str], Path]) -> None:
        write_task("bad", "---\ntitle: T\npriority: hgh\n---\n")
        found = worst(cli, "tasks")
        assert found["status"] == "fail"
        assert "bad.md: line 3" in found["detail"]
        assert cli("doctor").code == 4

    def test_a_task_file_with_another_name(
        self, cli: Cli, write_task: Callable[[str, str], Path], tmp_path: Path
    ) -> None:
        path = write_task("a", "---\ntitle: T\n---\n")
        (tmp_path / "other.md").hardlink_to(path)
        found = worst(cli, "tasks")
        assert found["status"] == "warn"
        assert "hard link" in found["detail"]
        assert cli("task", "edit", "a", "--set", "priority=high").code == 0
        assert (tmp_path / "other.md").read_text() == "---\ntitle: T\n---\n", "it was not written by replace"
        assert "priority: high" in path.read_text()

    def test_files_in_the_wrong_place_or_of_another_name(
        self, cli: Cli, write_task: Callable[[str, str], Path]
    ) -> None:
        folder = write_task("a", "---\ntitle: T\n---\n").parent
        (folder / "sub").mkdir()
        for name in ("sub/x.md", "y.MD", "z.markdown", ".a.md.1.0a1b2c3d.tmp", ".a.md.swp", "a.md~"):
            (folder / name).write_text("---\ntitle: T\n---\n")
        (found,) = [row for row in findings(cli, "tasks") if row["status"] != "ok"]
        assert found["status"] == "warn"
        assert found["detail"].startswith("3 entries of ")
        assert found["detail"].endswith("are left alone: sub, y.MD, z.markdown")
        assert ".md" in found["hint"]
        for number in range(5):
            (folder / f"k{number}.txt").touch()
        assert worst(cli, "tasks")["detail"].endswith(": k0.txt, k1.txt, k2.txt, k3.txt, k4.txt and 3 more")

    def test_ids_that_look_alike(self, cli: Cli, write_task: Callable[[str, str], Path]) -> None:
        for task_id in ("a1", "al", "b", "AL"):
            write_task(task_id, "---\ntitle: T\n---\n")
        warned = [row for row in findings(cli, "tasks") if row["status"] == "warn"]
        assert [row["detail"] for row in warned] == [
            "the id a1 looks like that of the task AL",
            "the id al looks like that of the task AL",
        ]
        assert all("rename" in row["hint"] for row in warned)

    def test_a_wrong_setting(self, cli: Cli, project: Path) -> None:
        cli("init")
        (project / ".autopilot" / "config.yaml").write_text("nope: 1\n")
        assert worst(cli, "config")["status"] == "fail"
        # The other checks go on.
        assert worst(cli, "python")["status"] == "ok"

    def test_the_stranger_of_the_same_name(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        class Stranger:
            version = "9.9"

        known = metadata.distribution
        monkeypatch.setattr(
            metadata, "distribution", lambda name: Stranger() if name == "autopilot" else known(name)
        )
        found = worst(cli, "install")
        assert found["status"] == "fail"
        assert "9.9" in found["detail"]

    def test_a_system_that_lets_no_mark_be_worn(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        assert worst(cli, "marks")["status"] == ("ok" if sys.platform == "linux" else "warn")
        monkeypatch.setattr("autopilot.cli.doctor.machine.wearable", lambda: False)
        found = worst(cli, "marks")
        assert (found["status"], "environment only" in found["detail"]) == ("warn", True)

    def test_a_root_that_others_may_enter(self, cli: Cli, project: Path) -> None:
        cli("init")
        (project / ".autopilot").chmod(0o755)
        found = worst(cli, "root")
        assert found["status"] == "warn"
        assert "chmod 700" in found["hint"]

    def test_a_network_file_system(self, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cli("init")
        monkeypatch.setattr("autopilot.system.filesystems.network_filesystem", lambda path: "nfs4")
        assert "nfs4" in worst(cli, "root")["detail"]

    def test_a_full_disk(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1024})())
        assert worst(cli, "disk")["status"] == "fail"

    def test_no_git(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        assert worst(cli, "git")["status"] == "warn"

    def test_an_end_that_its_file_cannot_take_yet(
        self, cli: Cli, write_task: Callable[[str, str], Path], project: Path
    ) -> None:
        path = write_task("a", "---\ntitle: T\n---\n")
        store = FileStore(str(project / ".autopilot"), publish=lambda events: None, durability="process")
        lease = store.claim("a", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30.0)
        path.write_text("---\ntitle: a: b\n---\n")
        store.finish(lease, Ending(status=Status.PENDING, record=lease.record))
        found = worst(cli, "leases")
        assert "the end of attempt 1 is committed but not written everywhere: " in found["detail"]
        assert found["hint"]
        path.write_text("---\ntitle: T\n---\n")
        assert "dispatch tick" in worst(cli, "leases")["hint"]
        path.unlink()
        assert "dispatch tick" in worst(cli, "leases")["hint"]

    def test_a_lease_that_cannot_be_read(self, cli: Cli, project: Path) -> None:
        cli("init")
        folder = project / ".autopilot" / "state" / "leases"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("{")
        found = worst(cli, "leases")
        assert (found["status"], "a.json cannot be read" in found["detail"]) == ("warn", True)

    def test_a_changed_log(self, cli: Cli, project: Path) -> None:
        cli("events", "publish", "ch", "one")
        cli("events", "publish", "ch", "two")
        assert worst(cli, "events")["status"] == "ok"
        log = project / ".autopilot" / "events" / "events.ndjson"
        log.write_bytes(log.read_bytes().replace(b"one", b"uno"))
        assert worst(cli, "events")["status"] == "fail"

    def test_a_forgotten_pause(self, cli: Cli) -> None:
        cli("dispatch", "pause")
        found = worst(cli, "dispatching")
        assert (found["status"], found["hint"]) == ("warn", "autopilotctl dispatch resume")

    def test_a_check_that_breaks_stops_no_other(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        from autopilot.cli.doctor import checks

        def raising(fault: Exception) -> Callable[[Any], Any]:
            def check(app: Any) -> Any:
                raise fault

            return check

        broken = (("one", raising(ZeroDivisionError("x"))), ("two", raising(StorageError("y", hint="z"))))
        monkeypatch.setattr(checks, "CHECKS", (*broken, *checks.CHECKS[:1]))
        assert "this check broke" in worst(cli, "one")["detail"]
        assert worst(cli, "two")["hint"] == "z"
        assert worst(cli, "python")["status"] == "ok"

    def test_who_holds_a_lock(self, cli: Cli, project: Path) -> None:
        cli("task", "create", "--title", "T")
        path = next((project / ".autopilot" / "state" / "locks").iterdir())
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            found = worst(cli, "locks")
        assert f"{path.name} is held by pid {os.getpid()}" in found["detail"]
        assert worst(cli, "locks")["status"] == "ok"


def test_executors(cli: Cli, healthy: dict[str, Health]) -> None:
    healthy["claude"] = Health(ok=False, reason="no such program", hint="npm install it")
    assert worst(cli, "executors")["status"] == "warn"
    healthy["local"] = Health(ok=False, reason="no shell", hint="install one")
    found = findings(cli, "executors")
    assert {row["status"] for row in found} == {"fail"}
    assert {row["hint"] for row in found} == {"npm install it", "install one"}
    healthy.clear()
    assert "none is installed" in worst(cli, "executors")["detail"]


def test_a_name_in_the_config_that_nobody_has(cli: Cli, project: Path) -> None:
    cli("init")
    (project / ".autopilot" / "config.yaml").write_text(
        "executors: {locla: {enabled: false}, local: {enabled: false}}\nplugins: {disabled: [locl]}\n"
    )
    rows = [row for row in cli("doctor", "-o", "json").data if "config" in row["detail"]]
    found = [row for row in rows if row["status"] == "warn"]
    assert [row["check"] for row in found] == ["plugins", "executors"]
    assert "locl," in found[0]["detail"]
    assert "locla," in found[1]["detail"]
    assert all(row["hint"].startswith("did you mean local") for row in found)


def test_a_root_that_cannot_be_used_is_told_once(cli: Cli, project: Path) -> None:
    (project / "file").write_text("")
    said = cli("--root", "file", "doctor", "-o", "json")
    assert said.code == 4
    failed = [row for row in said.data if row["status"] == "fail"]
    assert len({row["detail"] for row in failed}) == len(failed)


def test_an_executor_s_warning(cli: Cli, healthy: dict[str, Health]) -> None:
    healthy["local"] = Health(ok=True, reason="ready", warning="newer than known")
    assert "newer than known" in worst(cli, "executors")["detail"]


def test_locks_where_the_system_tells_nothing() -> None:
    assert list(leases.lock_holders("/nonexistent")) == []


def test_lines_of_proc_locks(tmp_path: Path) -> None:
    path = tmp_path / "locks"
    path.write_text(
        "1: FLOCK  ADVISORY  WRITE 42 08:01:1310 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 43 08:01:1310 0 EOF\n"
        "2: POSIX  ADVISORY  READ 44 08:01:1311 128 128\n"
    )
    assert list(leases.lock_holders(str(path))) == [(1310, 42)]
