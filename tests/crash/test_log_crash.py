"""Writers of the event log are killed; what they were told is in the log must be in the log.

The children note every acknowledged append in a file of their own: that, and not the log, is the oracle.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from autopilot.errors import StorageError
from autopilot.events.log import EventLog
from autopilot.models import EventDraft
from autopilot.system import failpoints


def open_log(folder, **options) -> EventLog:
    return EventLog(f"{folder}/events", **{"durability": "process", "segment_bytes": 3000, **options})


def draft(writer: str, n: int, size: int = 0) -> EventDraft:
    return EventDraft(event_type="task.created", payload={"writer": writer, "n": n, "text": "x" * size})


def acknowledged(folder) -> dict[str, list[int]]:
    """Per writer, the numbers whose append returned. A torn last line of a killed writer was not noted."""
    found = {}
    for path in Path(folder).glob("acked-*"):
        lines = path.read_text().split("\n")[:-1]
        found[path.name.removeprefix("acked-")] = [int(line) for line in lines]
    return found


def logged(folder) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in open_log(folder).read(types="task.created"):
        payload = record.data["payload"]
        found.setdefault(payload["writer"], []).append(payload["n"])
    return found


def assert_nothing_lost(folder) -> None:
    """Every line parses, the chain holds, and each writer's acknowledged events are there, once, in order."""
    log = open_log(folder)
    log.append([draft("survivor", 0)])
    report = log.verify()
    assert report.ok, report.faults[:3]
    assert report.duplicates == 0
    for line in log.lines():
        json.loads(line)
    there = logged(folder)
    for writer, numbers in acknowledged(folder).items():
        assert there.get(writer, []) == sorted(set(there.get(writer, []))), writer
        assert set(numbers) <= set(there.get(writer, [])), (writer, sorted(set(numbers) - set(there[writer]))[:5])


def write_for_ever(folder, writer: str, first: int, batches, **options) -> None:
    log = open_log(folder, **options)
    notes = os.open(f"{folder}/acked-{writer}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    n = first
    for count, size in batches:
        log.append([draft(writer, n + k, size) for k in range(count)])
        os.write(notes, "".join(f"{n + k}\n" for k in range(count)).encode())
        n += count


def run_until_killed(folder, spec: str, batches) -> bool:
    """Whether the child was killed at a failpoint of ``spec``; it fails the test if it ended otherwise."""
    child = os.fork()
    if child == 0:
        try:
            failpoints.arm(spec)
            write_for_ever(folder, "child", 0, batches)
            log = open_log(folder)
            log.rotate()
            log.gc(keep_bytes=2000)
            os._exit(0)
        except BaseException:
            os._exit(9)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


POINTS = {
    "log.append.write": ["kill", "torn:1", "torn:200", "torn:-1"],
    "log.append.before_sync": ["kill"],
    "log.append.synced": ["kill"],
    "log.heal.side": ["kill", "torn:1", "torn:-1"],
    "log.heal.write": ["kill", "torn:1", "torn:100", "torn:-1"],
    "log.heal.truncate": ["kill"],
    "log.rotate.rename": ["kill"],
    "log.rotate.first": ["kill"],
    "log.gc.unlink": ["kill"],
}


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point, action", [(point, action) for point, all_ in POINTS.items() for action in all_])
def test_killed_at_each_step(tmp_path, point, action, nth):
    healing = point.startswith("log.heal")
    for _ in range(nth if healing else 1):
        log = open_log(tmp_path)
        log.append([draft("before", 0)])
        log.close()
        if healing:
            with Path(tmp_path, "events", "events.ndjson").open("ab") as file:
                file.write(b'{"id":"evt-torn","event_type":"task' * 20)
        killed = run_until_killed(tmp_path, f"{point}={action}@{1 if healing else nth}", [(2, 400)] * 9)
        assert killed, f"{point} was never passed {nth} times"
    before = acknowledged(tmp_path)
    if point == "log.gc.unlink":
        assert open_log(tmp_path).verify().ok
        return
    assert_nothing_lost(tmp_path)
    assert acknowledged(tmp_path) == before


FIRST = ["log.append.write=torn:50@3", "log.rotate.rename=kill", "log.rotate.first=kill"]
SECOND = [
    "log.heal.side=torn:5",
    "log.heal.write=torn:5",
    "log.heal.truncate=kill",
    "log.append.write=torn:9",
    "log.append.synced=kill",
]


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_the_recovery_is_killed_as_well(tmp_path, first, second):
    assert run_until_killed(tmp_path, first, [(2, 400)] * 9)
    child = os.fork()
    if child == 0:
        failpoints.arm(second)
        write_for_ever(tmp_path, "second", 0, [(1, 10)] * 3)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert (status != 0) is ("heal" not in second or "append" in first)
    assert_nothing_lost(tmp_path)


def test_a_stopped_writer_stops_others_only_as_long(tmp_path):
    """SIGSTOP in the middle of an append: the lock is held, a patient writer waits, and goes on after SIGCONT."""
    from autopilot.errors import BusyError

    open_log(tmp_path).append([draft("before", 0)])
    child = os.fork()
    if child == 0:
        failpoints.arm("log.append.before_sync=stop")
        write_for_ever(tmp_path, "child", 0, [(1, 10)])
        os._exit(0)
    try:
        assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        with pytest.raises(BusyError):
            open_log(tmp_path, lock_timeout=0.05).append([draft("other", 0)])
        assert len(open_log(tmp_path).tail(5)) == 2, "reading takes no lock"
    finally:
        os.kill(child, signal.SIGCONT)
    assert os.waitpid(child, 0)[1] == 0
    assert_nothing_lost(tmp_path)


@pytest.mark.root
def test_a_really_full_disk(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount a tmpfs")
    try:
        log = open_log(mount, segment_bytes=50_000)
        log.append([draft("a", 0)])
        (mount / "ballast").write_bytes(b"x" * 100_000)
        acked, refused = 1, 0
        for n in range(1, 400):
            try:
                log.append([draft("a", n, 900)])
                acked += 1
            except StorageError as fault:
                refused += 1
                assert "No space left" in str(fault)
                assert fault.hint
        assert refused > 100
        assert open_log(mount).verify().ok
        (mount / "ballast").unlink()
        log.append([draft("a", 1000, 900)])
        assert len(logged(mount)["a"]) == acked + 1
        assert log.verify().ok
        log.close()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
