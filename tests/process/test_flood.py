"""The worst child: ignores TERM, forks twice into sessions of their own, and floods its output without end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.campaign import FULL, record, size

GRACE_S = 1.0
ROOM_KIB = 64 * 1024
FLOOD = size(256 << 20, 1 << 30)

SCRIPT = f"""\
trap '' TERM INT HUP
cat > away.sh <<'END'
trap '' TERM
(setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &)
while :; do sleep 1; done
END
(setsid sh away.sh &)
head -c {FLOOD} /dev/zero | tr '\\0' 'x' | fold -w 120
touch flooded
while :; do sleep 1; done
"""


def peak_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def is_ours(pid: int) -> bool:
    try:
        return b"autopilot.runner" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields and int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def alive_with(mark: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark in environ and b"AUTOPILOT_RUN=" in environ:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_the_worst_child_is_gone_soon_and_costs_little(tmp_path: Path, end: str) -> None:
    root = tmp_path / ".autopilot"
    (root / "tasks").mkdir(parents=True, mode=0o700)
    mark = os.fsencode(tmp_path)
    (root / "config.yaml").write_text(f"durability: process\nlimits:\n  grace_s: {GRACE_S}\n")
    minutes = (0.5 if FULL else 0.25) if end == "deadline" else 10
    head = f"id: worst\ntitle: Worst\nexecutor: local\ntimeout_minutes: {minutes}\nmax_attempts: 1"
    text = f"---\n{head}\n---\n{SCRIPT}"
    (root / "tasks" / "worst.md").write_text(text)
    ctl = [sys.executable, "-m", "autopilot.cli", "--root", str(root)]
    subprocess.run([*ctl, "dispatch", "tick", "--no-wait"], check=True, capture_output=True, timeout=120)

    lease = json.loads((root / "state" / "leases" / "worst.json").read_bytes())
    patience = time.monotonic() + 60
    while lease["state"] != "started" and time.monotonic() < patience:
        time.sleep(0.05)
        lease = json.loads((root / "state" / "leases" / "worst.json").read_bytes())
    runner = int(lease["owner"]["pid"])
    peaks: dict[int, int] = {}
    result = root / "runs" / "worst" / "1" / "result.json"
    cancelled_at = 0.0
    patience = time.monotonic() + 200
    while not result.exists() and time.monotonic() < patience:
        for pid in (runner, *children(runner)):
            if is_ours(pid):
                peaks[pid] = max(peaks.get(pid, 0), peak_kib(pid))
        if end == "cancel" and not cancelled_at and (tmp_path / "flooded").exists():
            subprocess.run([*ctl, "task", "cancel", "worst"], check=True, capture_output=True, timeout=120)
            cancelled_at = time.monotonic()
        time.sleep(0.05)
    assert result.exists()
    assert alive_with(mark) == [], "processes of the attempt are left"
    told = json.loads(result.read_text())
    assert told["outcome"]["kind"] == ("timed_out" if end == "deadline" else "cancelled")
    assert (tmp_path / "flooded").exists(), "the flood was not over before the end: the test shows nothing"
    assert len(peaks) == 2, f"runner and host, and nobody else: {peaks}"
    assert sum(peaks.values()) < ROOM_KIB, peaks
    record("T8", f"the worst child, {end}", bytes=FLOOD, memory_kib=sum(peaks.values()), memory_most_kib=ROOM_KIB)
    if end == "deadline":
        # The recorded times, not ours: how long after its deadline the attempt was over.
        assert told["duration_s"] - minutes * 60 < GRACE_S + 2 + 3, "3 s of allowance for a busy machine"
