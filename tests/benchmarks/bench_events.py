"""What the event log costs, as ratios to the bare operations of the same machine in the same run.

    python tests/benchmarks/bench_events.py

``AUTOPILOT_BENCH_LOG_MB`` sets the size of the log for the reading part (100 by default; the targets speak of
1,000), ``AUTOPILOT_BENCH_APPENDS`` the appends of each writer (20,000). Every figure is the best of three rounds,
in which the bare and the real operation take turns. ``cpu`` is the processor time of all writers per event: unlike
the rates it does not depend on what else the machine does.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

from autopilot.events.log import EventLog
from autopilot.models import EventDraft

APPENDS = int(os.environ.get("AUTOPILOT_BENCH_APPENDS", "20000"))
LOG_BYTES = int(float(os.environ.get("AUTOPILOT_BENCH_LOG_MB", "100")) * 1e6)
ROUNDS = 3
NOTE = "a short sentence of a payload"
DRAFT = EventDraft(event_type="task.claimed", payload={"attempt": 1, "executor": "claude-code", "note": NOTE})
LINE = b"x" * 330 + b"\n"


def raw_appends(folder: str, count: int, *, group: int = 1, sync: bool = False) -> None:
    """Lines appended under a held flock, ``group`` at a time: the least that any shared log does."""
    fd = os.open(f"{folder}/raw", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    data = LINE * group
    for _ in range(count // group):
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, data)
        if sync:
            os.fsync(fd)
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def log_appends(folder: str, count: int, *, group: int = 1, sync: bool = False) -> None:
    """The same through the event log: chained, encoded, healed, with ids."""
    log = EventLog(f"{folder}/events", durability="full" if sync else "process")
    drafts = [DRAFT] * group
    for _ in range(count // group):
        log.append(drafts, trace_id="req-20261122-abcdef01")
    log.close()


def timed(work: Callable[..., None], writers: int, *given: object, **options: object) -> tuple[float, float]:
    """Seconds until all writers are done, and the processor seconds that they took."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    children = []
    for _ in range(writers):
        child = os.fork()
        if child == 0:
            work(*given, **options)
            os._exit(0)
        children.append(child)
    for child in children:
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a writer failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def compare(title: str, writers: int, count: int, **options: object) -> None:
    """Print one line: events a second of both, their ratio, and the processor time of an event."""
    rounds: dict[str, list[tuple[float, float]]] = {"raw": [], "log": []}
    for _ in range(ROUNDS):
        folder = tempfile.mkdtemp()
        rounds["raw"].append(timed(raw_appends, writers, folder, count, **options))
        rounds["log"].append(timed(log_appends, writers, folder, count, **options))
        report = EventLog(f"{folder}/events").verify()
        if not report.ok or report.events != writers * count:
            raise SystemExit(f"the log is not whole: {report}")
        shutil.rmtree(folder)
    raw, log = (writers * count / min(seconds for seconds, _ in rounds[name]) for name in ("raw", "log"))
    cpu = min(seconds for _, seconds in rounds["log"]) / (writers * count) * 1e6
    print(f"{title:<42} raw {raw:>9,.0f}/s   log {log:>8,.0f}/s   ratio {log / raw:.3f}   cpu {cpu:.0f} us")


def median(work: Callable[[], object], times: int) -> float:
    """The median duration of ``times`` runs, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def build(folder: str) -> EventLog:
    """A log of the wanted size, in segments."""
    log = EventLog(folder, durability="process", segment_bytes=LOG_BYTES // 15)
    drafts = [DRAFT] * 500
    while sum(entry.stat().st_size for entry in os.scandir(folder)) < LOG_BYTES if os.path.isdir(folder) else True:
        log.append(drafts, trace_id="req-20261122-abcdef01")
    return log


def reading() -> None:
    """Print what reading the end costs next to reading all."""
    folder = tempfile.mkdtemp()
    log = build(f"{folder}/events")
    middle = log.tail(1)[0].event.timestamp
    scan = median(lambda: sum(1 for _ in log.lines()), 3)
    print(f"\nlog of {LOG_BYTES / 1e6:,.0f} MB; a full scan takes {scan:.2f} s")
    for title, work in (
        ("tail -n 20", lambda: log.tail(20)),
        ("tail -n 1000", lambda: log.tail(1000)),
        ("tail -n 20 --task (all match)", lambda: log.tail(20, task="req-20261122-abcdef01")),
        ("open + tail -n 20", lambda: EventLog(f"{folder}/events").tail(20)),
    ):
        taken = median(work, 20)
        print(f"{title:<44} {taken * 1e3:>8.2f} ms   1/{scan / taken:,.0f} of the scan")
    parsing = median(lambda: sum(1 for r in log.read() if r.event.timestamp <= middle), 1)
    print(f"{'read and parse all':<44} {parsing * 1e3:>8.0f} ms   {parsing / scan:.1f} scans")
    print(f"{'verify':<44} {median(log.verify, 1) * 1e3:>8.0f} ms")
    shutil.rmtree(folder)


def main() -> None:
    """Print all figures."""
    compare("append, 1 writer, no fsync", 1, APPENDS)
    compare("append, 4 writers, no fsync", 4, APPENDS)
    compare("append 100 at once, 1 writer, no fsync", 1, 5 * APPENDS, group=100)
    compare("append, 1 writer, fsync each", 1, APPENDS // 20, sync=True)
    compare("append, 4 writers, fsync each", 4, APPENDS // 20, sync=True)
    compare("append 100 at once, 1 writer, fsync", 1, APPENDS, group=100, sync=True)
    reading()


if __name__ == "__main__":
    main()
