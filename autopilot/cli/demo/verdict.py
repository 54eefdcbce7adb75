"""Whether the demo went as it should, judged by the files and the log and not by its own words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autopilot.cli.demo.events import all_events
from autopilot.cli.demo.scene import TASKS, Scene, run_tests

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["complaints"]

ATTEMPTS = {"fix-mean": 1, "write-notes": 1, "download-data": 2, "count-lines": 1}
VERIFIED = {"fix-mean": True, "write-notes": True, "download-data": True, "count-lines": False}
IN_ORDER = ("fix-mean", "download-data", "count-lines")


def complaints(control: Control, scene: Scene) -> list[str]:
    """What is not as expected, a sentence each; empty when all is well."""
    return [*_tasks(control), *_order(control), *_work(scene), *_chain(control)]


def _tasks(control: Control) -> Iterator[str]:
    for values, _ in TASKS:
        task = control.read_task(values["id"])
        if task.status != "done":
            yield f"{task.id} is {task.status}, not done"
            continue
        if task.attempt != ATTEMPTS[task.id]:
            yield f"{task.id} took {task.attempt} attempts, not {ATTEMPTS[task.id]}"
        if (task.result or {}).get("verified") is not VERIFIED[task.id]:
            yield f"{task.id}: verified should be {VERIFIED[task.id]}"


def _order(control: Control) -> Iterator[str]:
    chosen = [event.trace_id for event in all_events(control) if event.event_type == "dispatch.decision"]
    ended = [
        (event.event_type, event.trace_id)
        for event in all_events(control)
        if event.event_type in ("task.done", "dispatch.decision")
    ]
    first = [chosen.index(task_id) for task_id in IN_ORDER if task_id in chosen]
    if first != sorted(first) or len(first) != len(IN_ORDER):
        yield f"the priorities did not hold: {', '.join(map(str, chosen))}"
    wanted = (("task.done", "fix-mean"), ("dispatch.decision", "write-notes"))
    if any(event not in ended for event in wanted) or ended.index(wanted[0]) > ended.index(wanted[1]):
        yield "write-notes did not wait for fix-mean"


def _work(scene: Scene) -> Iterator[str]:
    if not run_tests(scene):
        yield "the repository's test still fails"
    for name in ("NOTES.md", "data.csv"):
        if not os.path.exists(os.path.join(scene.repository, name)):
            yield f"{name} is missing"


def _chain(control: Control) -> Iterator[str]:
    report = control.log.verify()
    if not report.ok:
        yield f"the event log does not verify: {report}"
