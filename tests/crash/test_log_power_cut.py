"""Power cuts, simulated: what may be on the disk at any instant, and what the log makes of it.

One run of a scenario is recorded as file operations. After a power cut a file holds what was fsynced and any part
of what was written since; a folder holds the names of its last fsync and any first part of the changes since. Each
such state (a seeded sample by default) is built in a folder of its own, and an append must bring the log back:
nothing that was acknowledged under ``durability: full`` is lost, the chain holds, every line parses. And the other
way round: when any one fsync is left out, some state must show it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import attrs
import pytest

from autopilot.events.log import EventLog
from autopilot.models import EventDraft

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
FSYNCS = 18
"""How many the scenario does; each of them is left out once."""
WATCHED = ("open", "write", "pwrite", "ftruncate", "fsync", "rename", "unlink", "mkdir", "lseek")
REAL = {name: getattr(os, name) for name in WATCHED}


FRAGMENT = b'{"id":"evt-of-a-killed-writer","event_ty'


@attrs.define(eq=False)
class Node:
    """A file or folder: operations in order, and how many of them are durable."""

    folder: bool
    done: list[tuple] = attrs.field(factory=list)
    durable: int = 0


class Recorder:
    """Lets operations through and notes them. ``leave_out`` names the fsync (by count) that only pretends."""

    def __init__(self, root: str, leave_out: int = -1) -> None:
        self.root = root
        self.trace: list[tuple] = []
        self.nodes: list[Node] = []
        self.names: dict[str, Node] = {root: self.new(True)}
        self.fds: dict[int, Node] = {}
        self.at: dict[int, int] = {}
        self.leave_out = leave_out
        self.syncs: list[str] = []

    def new(self, folder: bool) -> Node:
        self.nodes.append(Node(folder))
        return self.nodes[-1]

    def note(self, node: Node, *operation) -> None:
        self.trace.append((node, *operation))

    def open(self, path, flags, mode=0o777, **more):
        fd = REAL["open"](path, flags, mode, **more)
        path = str(path)
        if path.startswith(self.root):
            if path not in self.names:
                self.names[path] = self.new(False)
                self.note(self.names[os.path.dirname(path)], "link", os.path.basename(path), self.names[path])
            self.fds[fd] = self.names[path]
            self.at[fd] = -1 if flags & os.O_APPEND else 0
        return fd

    def write(self, fd, data):
        node = self.fds.get(fd)
        if node is not None:
            at = os.fstat(fd).st_size if self.at[fd] < 0 else self.at[fd]
            self.note(node, "write", at, bytes(data))
            self.at[fd] += len(data) if self.at[fd] >= 0 else 0
        return REAL["write"](fd, data)

    def lseek(self, fd, position, how):
        self.at[fd] = position
        return REAL["lseek"](fd, position, how)

    def pwrite(self, fd, data, at):
        self.note(self.fds[fd], "write", at, bytes(data))
        return REAL["pwrite"](fd, data, at)

    def ftruncate(self, fd, size):
        self.note(self.fds[fd], "cut", size)
        return REAL["ftruncate"](fd, size)

    def fsync(self, fd):
        node = self.fds[fd]
        name = next(path for path, other in self.names.items() if other is node)
        self.syncs.append(os.path.relpath(name, self.root))
        if len(self.syncs) - 1 != self.leave_out:
            self.note(node, "sync")

    def rename(self, old, new):
        REAL["rename"](old, new)
        self.note(self.names[os.path.dirname(old)], "rename", os.path.basename(old), os.path.basename(new))
        self.names[new] = self.names.pop(old)

    def unlink(self, path):
        REAL["unlink"](path)
        self.note(self.names[os.path.dirname(path)], "unlink", os.path.basename(path))
        del self.names[path]

    def mkdir(self, path, mode=0o777):
        self.names[path] = self.new(True)
        self.note(self.names[os.path.dirname(path)], "link", os.path.basename(path), self.names[path])
        REAL["mkdir"](path, mode)

    @contextmanager
    def listening(self):
        with mock.patch.multiple(os, **{name: getattr(self, name) for name in REAL}):
            yield


def play(root: str, leave_out: int = -1) -> tuple[Recorder, list[tuple]]:
    """Run the scenario; the recorder, and its trace with ``("acked", numbers)`` marks in it.

    Before each rotation somebody writes without fsync: then the fsync of the segment to be closed matters.
    """
    os.mkdir(root)
    recorder = Recorder(root, leave_out)
    with recorder.listening():
        full = EventLog(f"{root}/events", segment_bytes=1300)
        careless = EventLog(f"{root}/events", durability="process")

        def append(*numbers: int) -> None:
            full.append([EventDraft(event_type="task.created", payload={"n": n}) for n in numbers])
            recorder.trace.append(("acked", numbers))

        append(0)
        append(1, 2)
        careless.append([EventDraft(event_type="a.b", payload={"text": "x" * 500})])
        append(3, 4)
        append(5)
        fd = os.open(f"{root}/events/events.ndjson", os.O_WRONLY | os.O_APPEND)
        os.write(fd, FRAGMENT)
        append(6)
        careless.append([EventDraft(event_type="a.b", payload={"text": "x" * 1500})])
        append(7)
        full.gc(keep_bytes=2500)
        append(8)
        full.close()
        careless.close()
    return recorder, recorder.trace


def content(node: Node, kept: int, last: str) -> bytes:
    """A file's bytes when its first ``kept`` operations reached the disk, the last of them ``whole`` or not."""
    data = bytearray()
    for index, (kind, *what) in enumerate(node.done[:kept]):
        if kind == "cut":
            del data[what[0] :]
            continue
        at, piece = what
        if index == kept - 1 and index >= node.durable and last != "whole":
            piece = piece[: len(piece) // 2] if last == "half" else bytes(len(piece))
        data[at : at + len(piece)] = piece.rjust(len(piece)) if at <= len(data) else piece
    return bytes(data)


def build(node: Node, choice: dict[int, tuple[int, str]], target: Path) -> None:
    """Write what is left of a folder and everything below it."""
    target.mkdir()
    names: dict[str, Node] = {}
    for kind, *what in node.done[: choice[id(node)][0]]:
        if kind == "link":
            names[what[0]] = what[1]
        elif kind == "rename":
            names[what[1]] = names.pop(what[0])
        else:
            del names[what[0]]
    for name, below in names.items():
        if below.folder:
            build(below, choice, target / name)
        else:
            (target / name).write_bytes(content(below, *choice[id(below)]))


def states(recorder: Recorder, trace: list[tuple], rng: random.Random, per_cut: int):
    """``(instant, what was acknowledged before it, choice of what is kept)`` for every instant of the trace."""
    nodes = recorder.nodes
    for node in nodes:
        node.done, node.durable = [], 0
    acked: list[int] = []
    for instant, (node, *operation) in enumerate(trace):
        if node == "acked":
            acked += operation[0]
        elif operation == ["sync"]:
            node.durable = len(node.done)
        else:
            node.done.append(tuple(operation))
        options = [
            [
                (kept, last)
                for kept in range(node.durable, len(node.done) + 1)
                for last in ("whole", "half", "zeros")
            ]
            for node in nodes
        ]
        for attempt in range(per_cut):
            pick = {0: lambda some: some[0], 1: lambda some: some[-3]}.get(attempt, rng.choice)
            yield instant, list(acked), {id(node): pick(some) for node, some in zip(nodes, options, strict=True)}


def fault_after(root: Node, choice: dict[int, tuple[int, str]], acked: list[int], target: Path) -> str:
    """What is wrong after the recovery from this state; empty when nothing is."""
    build(root, choice, target)
    log = EventLog(str(target / "events"), durability="process")
    log.append([EventDraft(event_type="task.created", payload={"n": 99})])
    log.close()
    there = [record.data["payload"]["n"] for record in log.read(types="task.created")]
    pruned = any(log.read(types="log.pruned"))
    lost = [n for n in acked if n not in there and not (pruned and n < min(there))]
    if lost:
        return f"acknowledged and lost: {lost}"
    if there != sorted(set(there)):
        return f"out of order: {there}"
    report = log.verify()
    if not report.ok:
        return str(report.faults[0])
    for line in log.lines():
        json.loads(line)
    return fragment_fault(log, target)


def fragment_fault(log: EventLog, target: Path) -> str:
    healed = [record.data["payload"] for record in log.read(types="log.healed")]
    kept = b"".join(path.read_bytes() for path in (target / "events").glob("*.torn"))
    told = hashlib.sha256(FRAGMENT).hexdigest() in [item["sha256"] for item in healed]
    return "an event says that a fragment was kept, and it is gone" if told and FRAGMENT not in kept else ""


def explore(recorder: Recorder, trace: list[tuple], tmp_path: Path, per_cut: int, seed: int = 1):
    """Try states until one shows a fault: ``(how many were tried, the fault)``."""
    tried = 0
    for instant, acked, choice in states(recorder, trace, random.Random(seed), per_cut):
        tried += 1
        fault = fault_after(recorder.nodes[0], choice, acked, tmp_path / f"state-{tried}")
        if fault:
            return tried, f"after step {instant} {trace[instant][1:]}: {fault}"
    return tried, ""


def test_nothing_acknowledged_is_lost_by_a_power_cut(tmp_path):
    recorder, trace = play(str(tmp_path / "root"))
    assert len(recorder.syncs) == FSYNCS
    (tmp_path / "states").mkdir()
    tried, fault = explore(recorder, trace, tmp_path / "states", per_cut=6 * SIZE)
    assert not fault
    assert tried >= 300


@pytest.mark.parametrize("left_out", range(FSYNCS))
def test_every_fsync_is_needed(tmp_path, left_out):
    recorder, trace = play(str(tmp_path / "root"), left_out)
    (tmp_path / "states").mkdir()
    _, fault = explore(recorder, trace, tmp_path / "states", per_cut=12, seed=left_out)
    assert fault, f"nothing depends on fsync {left_out}, of {recorder.syncs[left_out]}"
