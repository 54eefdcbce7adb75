"""A root that nobody can write: reading works, writing is exit code 4 in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

READS = [
    "task list", "task show a", "task status", "task wait b", "why a", "route explain a", "stats",
    "executors list", "plugins list", "events tail", "events verify", "events subscribe ch", "config show",
    "dispatch tick --dry-run",
]  # fmt: skip
WRITES = [
    "task create --title T", "task cancel a", "task edit a --set priority=high", "dispatch pause", "dispatch tick",
    "events publish ch x", "init",
]  # fmt: skip

MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


@pytest.fixture(scope="module")
def sealed(shared_program: Any) -> Any:
    """The program on a root with two tasks that is then read-only: by a mount as root, else by its modes."""
    program = shared_program
    program.task("a", "true")
    program("task", "create", "--id", "b", "--title", "B")
    program("events", "publish", "ch", "message")
    path = program.root / "tasks" / "b.md"
    path.write_text(path.read_text().replace("pending", "done"))
    if os.geteuid() != 0:
        yield from without_permission(program)
        return
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace, or not to be root")
    program.prefix = ("unshare", "-m", "sh", "-c", MOUNT, str(program.root))
    yield program


def without_permission(program: Any) -> Any:
    folders = [Path(folder) for folder, _, _ in os.walk(program.root)]
    for folder in folders:
        folder.chmod(0o500)
    yield program
    for folder in folders:
        folder.chmod(0o700)


@pytest.mark.parametrize("command", READS)
def test_reading_works(sealed: Any, command: str) -> None:
    said = sealed(*command.split())
    assert said.code == 0, said.err
    assert said.err == "" or command in ("dispatch tick --dry-run", "why a")


@pytest.mark.parametrize("command", WRITES)
def test_writing_is_refused_in_a_sentence(sealed: Any, command: str) -> None:
    said = sealed("-o", "json", *command.split())
    assert said.code == 4, (said.out, said.err)
    error = json.loads(said.err.splitlines()[-1])["error"]
    assert set(error) == {"code", "message", "hint"}
    assert str(sealed.root) in error["message"]


def test_the_doctor_says_so(sealed: Any) -> None:
    said = sealed("doctor", "-o", "json")
    assert said.code == 4
    assert any(row["check"] == "root" and row["status"] == "fail" for row in said.data)
