"""The demo itself: the same ``Control`` and ``Dispatcher`` as every other command, and a narrator."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopilot.cli.demo import scene as stage
from autopilot.cli.demo.narrator import Narrator
from autopilot.cli.demo.verdict import complaints
from autopilot.errors import SetupError

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["run_demo"]

MAX_ACTIVE = 2
MOST_TICKS = 20
ENDED = ("done", "blocked", "cancelled")


def run_demo(*, keep: bool = False, environ: Mapping[str, str] | None = None) -> int:
    """Play the demo on stdout.

    Args:
        keep: leave the folder there, and say where.
        environ: the environment of the tasks; settings of Autopilot in it are left out.

    Returns:
        0 when every task ended as expected, else 1.

    Raises:
        SetupError: git or the local executor is missing.
    """
    variables = os.environ if environ is None else environ
    clean = {name: value for name, value in variables.items() if not name.startswith("AUTOPILOT_")}
    folder = tempfile.mkdtemp(prefix="autopilot-demo-")
    try:
        return _play(folder, clean, Narrator())
    finally:
        if keep:
            Narrator().kept(os.path.join(folder, "project"))
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _play(folder: str, environ: Mapping[str, str], narrator: Narrator) -> int:
    from autopilot.config.root import find_root
    from autopilot.dispatcher.control import Control

    scene = stage.build(folder)
    control = Control.open(find_root(scene.root, {}, folder), environ=environ)
    try:
        _require_local(control)
        narrator.repository(scene.repository, passes=stage.run_tests(scene))
        _queue(control)
        narrator.tasks(control, "The queue: Markdown files in .autopilot/tasks")
        _dispatch(control, narrator)
        narrator.tasks(control, "What became of them")
        narrator.decisions(control)
        narrator.trail(control)
        found = complaints(control, scene)
        narrator.end(found, passes=stage.run_tests(scene))
        return 1 if found else 0
    finally:
        control.close()


def _require_local(control: Control) -> None:
    if "local" not in control.executors:
        raise SetupError(
            "the demo needs the local executor, which is not installed", hint="pip install autopilot-adapter-local"
        )


def _queue(control: Control) -> None:
    from autopilot.models import TaskDraft
    from autopilot.taskfile import render

    for values, body in stage.TASKS:
        fields = {**values, "created_at": control.clock.now()}
        control.create_task(TaskDraft(id=values["id"], text=render(fields, body)))


def _dispatch(control: Control, narrator: Narrator) -> None:
    from autopilot.dispatcher.tick import Dispatcher

    narrator.heading(f"Dispatching, at most {MAX_ACTIVE} at once")
    dispatcher = Dispatcher(control, max_active=MAX_ACTIVE, name="demo")
    try:
        for number in range(1, MOST_TICKS + 1):
            narrator.started(number, dispatcher.tick())
            narrator.ended(dispatcher.wait_started())
            if all(getattr(task, "status", None) in ENDED for task in control.store.tasks()):
                return
    finally:
        dispatcher.close()
