"""A root on a network file system: readable, and changed only by those who allowed it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from autopilot.config.root import Root
from autopilot.dispatcher.control import Control
from autopilot.models import LeaseState, TaskDraft
from autopilot.store.contract import SlotLimits
from autopilot.system.processes import identify
from autopilot.testing.stores import text_of

WRITES = ["task create --title T", "task cancel a", "task retry a", "task edit a --set priority=high",
          "dispatch tick", "dispatch run", "dispatch pause", "events publish ch x"]  # fmt: skip
READS = ["task list", "task show a", "why a", "events tail", "events verify", "stats", "dispatch tick --dry-run"]


@pytest.fixture
def on_nfs(cli: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line on a root with a task, which then lies on NFS."""
    cli("task", "create", "--id", "a", "--title", "A")
    monkeypatch.setattr("autopilot.system.filesystems.network_filesystem", lambda path: "nfs4")
    return cli


@pytest.mark.parametrize("command", WRITES)
def test_changes_are_refused_with_the_reason(on_nfs: Any, command: str) -> None:
    said = on_nfs(*command.split())
    assert said.code == 4
    assert "network file system (nfs4)" in said.err
    assert "allow_network_fs" in said.err


@pytest.mark.parametrize("command", READS)
def test_reading_works(on_nfs: Any, command: str) -> None:
    assert on_nfs(*command.split()).code == 0


def test_init_warns(on_nfs: Any, project: Any) -> None:
    said = on_nfs("init")
    assert said.code == 0
    (warning,) = [line for line in said.err.splitlines() if "nfs4" in line]
    assert warning.startswith("warning: ")
    assert "allow_network_fs" in warning
    (project / ".autopilot" / "config.yaml").write_text("allow_network_fs: true\n")
    assert "nfs4" not in on_nfs("init").err


@pytest.fixture
def control(on_nfs: Any, project: Any) -> Control:
    """The same root, where the person has allowed it."""
    root = Root(str(project / ".autopilot"))
    with open(root.config_path, "w") as file:
        file.write("allow_network_fs: true\n")
    return Control.open(root)


def test_who_allowed_it_can_change_things(control: Control, on_nfs: Any) -> None:
    assert on_nfs("task", "edit", "a", "--set", "priority=high").code == 0
    assert any(row["check"] == "root" and row["status"] == "warn" for row in on_nfs("doctor", "-o", "json").data)


def test_there_nothing_is_known_of_another_boot_but_its_silence(control: Control) -> None:
    """It may be a clone of this machine, alive, with the same ids."""
    control.create_task(TaskDraft(id="b", text=text_of("b")))
    limits = SlotLimits(total=9)
    owner = attrs.evolve(identify(), boot="that of a clone")
    lease = control.store.claim("b", executor="local", owner=owner, limits=limits, ttl_s=30.0)
    assert lease.state is LeaseState.CLAIMED
    assert control.lease_verdict(lease) == "unknown"
    gone = attrs.evolve(lease, owner=attrs.evolve(identify(), start_time="0"))
    assert control.lease_verdict(gone) == "dead"


def test_there_changes_are_looked_for(control: Control) -> None:
    assert not control.store._eyes._watch
