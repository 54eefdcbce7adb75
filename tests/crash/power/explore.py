"""Cuts a played scenario at every instant, and starts again on every disk that may be left."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.campaign import FAST
from tests.crash.power.platter import Disk, Platter, build, disk_at
from tests.crash.power.recovery import examine
from tests.crash.power.site import Step, Trace

__all__ = ["Report", "check_recorder", "explore"]


@attrs.define
class Report:
    """What an exploration found.

    Attributes:
        cuts: instants at which the power was cut.
        allowed: combinations that the model allows at all of them.
        states: different disks (with what had been acknowledged) that were built and started on.
        sampled: cuts with more combinations than the limit.
    """

    cuts: int = 0
    allowed: int = 0
    states: int = 0
    sampled: int = 0
    faults: list[str] = attrs.field(factory=list)


def explore(trace: Trace, *, limit: int, seed: int = 1, stop: int = 1) -> Report:
    """Try every cut.

    Args:
        limit: disks at each cut; where there are more, a sample.
        stop: at so many faults.
    """
    report = Report()
    rng = random.Random(seed)
    seen: set[tuple] = set()
    for instant, platter in _cuts(trace):
        done, under_way = _acknowledged(trace, instant)
        report.cuts += 1
        count = platter.count()
        report.allowed += count
        report.sampled += count > limit
        for disk in platter.disks(limit, rng):
            key = (disk, len(done), *map(id, under_way))
            if key in seen:
                continue
            seen.add(key)
            report.states += 1
            fault = _fault_on(trace, disk, done, under_way)
            if fault:
                last = trace.recorder.ops[instant - 1] if instant else "nothing"
                report.faults.append(f"cut after {instant} ({last}): {fault}")
                if len(report.faults) >= stop:
                    return report
    return report


def _cuts(trace: Trace) -> Iterator[tuple[int, Platter]]:
    recorder = trace.recorder
    platter = Platter(recorder.base)
    for op in recorder.ops[: trace.start]:
        platter.take(op)
    platter.settle()
    yield trace.start, platter
    for instant, op in enumerate(recorder.ops[trace.start :], trace.start + 1):
        platter.take(op)
        yield instant, platter


def _acknowledged(trace: Trace, instant: int) -> tuple[list[Step], list[Step]]:
    done = [step for step in trace.steps if step.end is not None and step.end <= instant]
    begun = [step for step in trace.steps if step.begin < instant and step not in done]
    return done, begun


def _fault_on(trace: Trace, disk: Disk, done: list[Step], under_way: list[Step]) -> str:
    place = tempfile.mkdtemp(dir=FAST)
    try:
        build(disk, place)
        trace.mend(f"{place}/.autopilot")
        examine(place, done, under_way)
    except Exception as fault:
        # Whatever the program raises on such a disk is as bad as a broken promise.
        return f"{type(fault).__name__}: {fault}"
    finally:
        shutil.rmtree(place)
    return ""


def check_recorder(trace: Trace) -> None:
    """Nothing went past the recorder: all operations together give what really lies there."""
    platter = Platter(trace.recorder.base)
    for op in trace.recorder.ops:
        platter.take(op)
    platter.settle()
    (recorded,) = platter.disks(1, random.Random(1))
    assert recorded == disk_at(Path(trace.recorder.base))
