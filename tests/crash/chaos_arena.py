"""One root under attack: its tasks, its dispatchers, and whom there is to kill or to stop.

Each task's script keeps a lock of its own and one of as many slots as may be taken, so that a second executor of
one task, or one too many of all, is seen by the scripts themselves. All processes of an attempt inherit both.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from autopilot.system.processes import ProcessIdentity
from tests.crash import chaos_oracle

__all__ = ["LONG", "SLOTS", "TTL_S", "Arena", "wait_until"]

SLOTS = 8
TTL_S = 5
LONG = ".long"
"""How the ids of long tasks end."""

CONFIG = """\
durability: process
dispatcher:
  max_active: {slots}
  poll_s: 1
limits:
  lease_ttl_s: {ttl}
  beat_s: 1
  grace_s: 1
events:
  segment_mib: 0.5
executors:
  local:
    set_env:
      ORACLE: {oracle}
"""

SCRIPT = """\
me="$AUTOPILOT_TASK_ID $AUTOPILOT_ATTEMPT"
exec 9>>"$ORACLE/lock-$AUTOPILOT_TASK_ID"
flock -n 9 || echo "overlap $me" >>"$ORACLE/exec.log"
slot=0
while [ $slot -lt {slots} ]; do
    exec 8>>"$ORACLE/slot-$slot"
    flock -n 8 && break
    slot=$((slot + 1))
done
[ $slot -lt {slots} ] || echo "overbooked $me" >>"$ORACLE/exec.log"
echo "start $me" >>"$ORACLE/exec.log"
{more}sleep {seconds}
echo "end $me" >>"$ORACLE/exec.log"
"""

DAEMON = "setsid sleep 1000 >/dev/null 2>&1 &\n"


class Started(NamedTuple):
    """An attempt that is under way. ``lost``: how many of its task's attempts were lost just before it."""

    task: str
    runner: ProcessIdentity
    launcher: ProcessIdentity | None
    lost: int


class Arena:
    """A root with tasks, in a folder of its own, and the dispatchers that were started on it.

    Args:
        slots: how many attempts may run at once.
    """

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.folder = folder
        self._slots = slots
        self.root = folder / ".autopilot"
        self.oracle = folder / "oracle"
        self.environ: dict[str, str] = dict(os.environ)
        self.dispatchers: list[subprocess.Popen[bytes]] = []
        self._bodies: dict[str, str] = {}
        self._ended: set[str] = set()
        self._read = 0
        self.oracle.mkdir(parents=True)
        (self.oracle / "exec.log").touch()
        (self.root / "tasks").mkdir(parents=True, mode=0o700)
        config = CONFIG.format(slots=slots, ttl=TTL_S, oracle=self.oracle)
        (self.root / "config.yaml").write_text(config)

    def add_tasks(self, count: int, rng: random.Random, most_s: float = 0.5) -> None:
        """More tasks, of which some leave a daemon behind, and some take longer than a lease lasts."""
        for number in range(len(self._bodies), len(self._bodies) + count):
            name, seconds = f"task-{number:05d}", round(rng.uniform(0.05, most_s), 2)
            if number % 40 == 7:
                name, seconds = f"{name}{LONG}", TTL_S + 5
            body = SCRIPT.format(slots=self._slots, seconds=seconds, more=DAEMON if number % 5 == 0 else "")
            text = f"---\nid: {name}\ntitle: {name}\nexecutor: local\nmax_attempts: 10\n---\n{body}"
            path = self.root / "tasks" / f".{name}.new"
            path.write_text(text)
            path.rename(self.root / "tasks" / f"{name}.md")
            self._bodies[name] = hashlib.sha256(body.encode()).hexdigest()
        (self.oracle / "tasks.json").write_text(json.dumps(self._bodies))

    # ---------------------------------------------------------------- dispatchers

    def start_dispatcher(self, **environ: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "autopilot.cli", "--root", str(self.root), "dispatch", "run"]
        with open(self.oracle / "dispatchers.log", "ab") as log:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.environ, **environ}
            )
        self.dispatchers.append(started)
        return started

    def end(self) -> None:
        """Let the dispatchers end, and what they started after them; whoever was stopped goes on."""
        for dispatcher in self.dispatchers:
            dispatcher.send_signal(signal.SIGCONT)
            dispatcher.terminate()
        for dispatcher in self.dispatchers:
            dispatcher.wait(60)
        self.dispatchers.clear()
        wait_until(self._nobody_left, 30)

    def _nobody_left(self) -> bool:
        for pid in self.stopped():
            _signal(pid, signal.SIGCONT)
        return not chaos_oracle.alive(self.folder)

    def verify(self) -> subprocess.CompletedProcess[str]:
        """What ``events verify`` says of the log."""
        command = [sys.executable, "-m", "autopilot.cli", "--root", str(self.root), "events", "verify"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    # ---------------------------------------------------------------- who is there

    def started_leases(self) -> list[Started]:
        """The attempts that are under way."""
        found = []
        for task, lease in self._leases("started"):
            guardian = lease.get("guardian")
            lost = lease["record"]["lost"]
            found.append(Started(task, _who(lease["owner"]), guardian and _who(guardian), lost))
        return found

    def claims_of(self, pids: Collection[int]) -> int:
        """How many tasks these dispatchers have claimed and not started."""
        return sum(lease["owner"]["pid"] in pids for _, lease in self._leases("claimed"))

    def _leases(self, state: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted((self.root / "state" / "leases").glob("*.json")):
            try:
                lease = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if lease.get("state") == state:
                yield path.stem, lease

    def stopped(self) -> list[int]:
        """Launchers and runners that are stopped, by whomever."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_stopped(pid)]

    def _is_stopped(self, pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
            return state == b"T" and os.fsencode(self.root) in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    # ---------------------------------------------------------------- how far it is

    def progress(self) -> float:
        """The share of the tasks whose script came to its end at least once."""
        with open(self.oracle / "exec.log") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self._read += len(whole)
        self._ended.update(line.split()[1] for line in whole.splitlines() if line.startswith("end "))
        return len(self._ended) / len(self._bodies)

    def left(self) -> int:
        """How many tasks' scripts have not come to their end."""
        return round((1 - self.progress()) * len(self._bodies))

    def all_done(self) -> bool:
        """Whether every task file says so."""
        texts = ((self.root / "tasks" / f"{name}.md").read_text() for name in self._bodies)
        return all("\nstatus: done\n" in text for text in texts)

    def unfinished(self) -> list[str]:
        """The status lines of those that are not done, for a failure's message."""
        texts = [(self.root / "tasks" / f"{name}.md").read_text() for name in self._bodies]
        return [text[:300] for text in texts if "\nstatus: done\n" not in text][:3]


def wait_until(condition: Any, seconds: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _who(data: dict[str, Any]) -> ProcessIdentity:
    return ProcessIdentity(**data)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
