"""The judge of a chaos run: ``python chaos_oracle.py FOLDER`` prints what it found, as JSON.

It believes nobody but the executors themselves (``oracle/exec.log``, written under locks of their own), the task
files and the event log, and uses no code of Autopilot: the chain of the log is walked here by hand.

``FOLDER`` holds ``.autopilot/`` and ``oracle/``; ``oracle/tasks.json`` has the SHA-256 of each task's body.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["alive", "judge"]


def judge(folder: Path) -> dict[str, Any]:
    """Everything that is promised, with what was found of it: lists and counts of wrongs are empty and zero."""
    root, oracle = folder / ".autopilot", folder / "oracle"
    bodies = json.loads((oracle / "tasks.json").read_text())
    lines, breaks = _chain(root / "events")
    return {
        "tasks": len(bodies),
        **_files(root / "tasks", bodies),
        **_executions((oracle / "exec.log").read_text(), bodies),
        "chain_breaks": breaks,
        **_events(lines, bodies),
        "alive": alive(folder),
    }


def _files(folder: Path, bodies: dict[str, str]) -> dict[str, Any]:
    lost, damaged, statuses = [], [], Counter[str]()
    for task_id, digest in bodies.items():
        try:
            _, head, body = (folder / f"{task_id}.md").read_bytes().split(b"---\n", 2)
        except (OSError, ValueError):
            lost.append(task_id)
            continue
        if hashlib.sha256(body).hexdigest() != digest:
            damaged.append(task_id)
        told = [line.split()[1] for line in head.decode().splitlines() if line.startswith("status:")]
        statuses[told[0] if told else "pending"] += 1
    return {"lost": lost, "damaged": damaged, "statuses": dict(statuses)}


def _executions(text: str, bodies: dict[str, str]) -> dict[str, Any]:
    told = [line.split() for line in text.splitlines()]
    starts = [(line[1], line[2]) for line in told if line[0] == "start"]
    return {
        "executions": len(starts),
        "re_executions": len(starts) - len({task for task, _ in starts}),
        "never_executed": sorted(bodies.keys() - {task for task, _ in starts}),
        "overlaps": [line[1:] for line in told if line[0] == "overlap"],
        "overbooked": [line[1:] for line in told if line[0] == "overbooked"],
        "attempts_started_twice": sorted(pair for pair, count in Counter(starts).items() if count > 1),
    }


def _chain(folder: Path) -> tuple[list[bytes], int]:
    """All lines in order, and how often one does not name the one before."""
    closed = sorted(path for path in folder.glob("events-*.ndjson"))
    lines = [line for path in [*closed, folder / "events.ndjson"] for line in path.read_bytes().splitlines()]
    before, breaks = "0" * 64, 0
    for line in lines:
        breaks += json.loads(line)["prev"] != before
        before = hashlib.sha256(line).hexdigest()
    return lines, breaks


def _events(lines: list[bytes], bodies: dict[str, str]) -> dict[str, Any]:
    events = {event["id"]: event for event in reversed([json.loads(line) for line in lines])}
    inorder = list(reversed(events.values()))
    kinds = Counter(event["event_type"] for event in inorder)
    done = Counter(event["trace_id"] for event in inorder if event["event_type"] == "task.done")
    return {
        "events": len(inorder),
        "events_repeated": len(lines) - len(inorder),
        "never_completed": sorted(bodies.keys() - done.keys()),
        "completed_twice": sorted(task for task, count in done.items() if count > 1),
        "tokens_that_do_not_grow": list(_not_growing(inorder)),
        "stale": kinds["lease.stale"],
        "refused_starts": kinds["attempt.refused"],
        "reclaimed": kinds["task.reclaimed"],
        "lost_runners": list(_lost_runners(inorder)),
        "silent": sum("no sign of life" in event["payload"].get("why", "") for event in inorder),
        "deferred": kinds["reclaim.deferred"],
    }


def _lost_runners(events: list[dict[str, Any]]) -> Iterator[int]:
    """The pid of the runner of each attempt that was lost."""
    pids: dict[tuple[str, int], int] = {}
    for event in events:
        attempt = (event["trace_id"], event["payload"].get("attempt"))
        if event["event_type"] == "attempt.started":
            pids[attempt] = event["payload"]["pid"]
        elif _is_loss(event):
            yield pids[attempt]


def _is_loss(event: dict[str, Any]) -> bool:
    return event["event_type"] == "dispatch.result" and event["payload"]["outcome"] == "lost"


def _not_growing(events: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """A task's claims have ever higher numbers, and each number is started once at most."""
    last: dict[tuple[str, str], int] = {}
    for event in events:
        kind, task = event["event_type"], event["trace_id"]
        if kind in ("task.claimed", "attempt.started"):
            token = event["payload"]["attempt"]
            if token <= last.get((kind, task), 0):
                yield task, token
            last[kind, task] = token


def alive(folder: Path) -> list[str]:
    """Every live process of this arena: launchers and runners by their command line, executors by their
    environment. ``pid: command line``."""
    root, mark = os.fsencode(folder / ".autopilot"), b"ORACLE=" + os.fsencode(folder / "oracle")
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        words, environ = _proc(name, "cmdline"), _proc(name, "environ")
        if (root in words and b"autopilot.runner" in words) or mark in environ:
            found.append(f"{name}: {b' '.join(words).decode(errors='replace')}")
    return found


def _proc(pid: str, what: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().split(b"\0")
    except OSError:
        return []


if __name__ == "__main__":
    print(json.dumps(judge(Path(sys.argv[1]))))
