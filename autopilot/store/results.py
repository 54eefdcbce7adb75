"""The report of an attempt: written once by its runner, read by the tick that adopts it."""

from __future__ import annotations

import contextlib
import json
import os
import time

from autopilot.errors import AlreadyExistsError, StorageError
from autopilot.models import AttemptResult
from autopilot.models.wire import dump, load
from autopilot.store.layout import Kept, Layout
from autopilot.system.durable import create_file, read_error, read_file, sync_folder

__all__ = ["read_result", "write_result"]


def write_result(layout: Layout, result: AttemptResult, *, task_id: str, token: int, sync: bool) -> None:
    """Write the report of one attempt, unless there is one already: the first counts.

    Raises:
        StorageError: the disk refuses.
    """
    folder = layout.run(task_id, token)
    layout.make(folder)
    data = json.dumps(dump(result), separators=(",", ":"), default=str).encode("ascii") + b"\n"
    with contextlib.suppress(AlreadyExistsError):
        create_file(_path(layout, task_id, token), data, point="report", sync=sync)
    # The runner has made this folder and those above it without an fsync; a report must not vanish with them.
    for parent in (os.path.dirname(folder), layout.runs, layout.root):
        sync_folder(parent, sync=sync)


def read_result(layout: Layout, task_id: str, token: int, kept: Kept, *, sync: bool) -> AttemptResult | None:
    """The report of one attempt; None where there is none. One that says nothing is moved aside and told.

    Raises:
        UnreadableError: it may not be read.
    """
    path = _path(layout, task_id, token)
    try:
        return load(AttemptResult, json.loads(read_file(path)))
    except FileNotFoundError:
        return None
    except ValueError as fault:
        place = f"{layout.corrupt}/{task_id}.{token}.result.{time.time_ns()}.json"
        with contextlib.suppress(OSError, StorageError):
            layout.prepare(layout.corrupt)
            os.replace(path, place)
            sync_folder(layout.corrupt, sync=sync)
            kept(
                task_id,
                place,
                f"the result of attempt {token} of {task_id} cannot be read, so it is lost: {fault}",
            )
        return None
    except OSError as fault:
        raise read_error(fault, path) from fault


def _path(layout: Layout, task_id: str, token: int) -> str:
    return f"{layout.run(task_id, token)}/result.json"
