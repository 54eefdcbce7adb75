"""What the runner's processes leave in ``runs/<id>/<attempt>`` for whoever comes after a crash."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import attrs

from autopilot.store.layout import Layout
from autopilot.system.durable import read_file, replace_file

__all__ = [
    "Reaped",
    "make_run_folder",
    "mark_of",
    "read_reaped",
    "write_reaped",
]

_LIMIT = 4 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Reaped:
    """The launcher's word that a runner is gone with everything below it.

    Attributes:
        runner_exit: the runner's exit code, negative for a signal.
        orphans_killed: how many processes it had left behind (those of runners that died with it included).
    """

    runner_exit: int
    orphans_killed: int


def mark_of(run_dir: str) -> str:
    """``<root hash>/<task>/<attempt>``: the value of ``AUTOPILOT_RUN`` for the attempt of this run folder."""
    _, task_id, attempt = run_dir.rstrip("/").rsplit("/", 2)
    root = os.path.realpath(_root_of(run_dir))
    return f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}/{task_id}/{attempt}"


def make_run_folder(run_dir: str) -> None:
    """Make the folder of an attempt where it is missing.

    Raises:
        StorageError: the disk refuses, or a link stands in its place: an agent may have put it there.
    """
    Layout(_root_of(run_dir)).make(run_dir)


def _root_of(run_dir: str) -> str:
    return run_dir.rstrip("/").rsplit("/", 3)[0]


def write_reaped(run_dir: str, *, exit_code: int, killed: int) -> None:
    """Say that nothing of this attempt is alive. It need not survive a power cut: no process does.

    Raises:
        StorageError, OSError: the disk refuses.
    """
    make_run_folder(run_dir)
    _write(run_dir, "reaped.json", {"runner_exit": exit_code, "orphans_killed": killed})


def read_reaped(run_dir: str) -> Reaped | None:
    """The launcher's word, None while there is none (or one that cannot be read)."""
    data = _read(run_dir, "reaped.json")
    try:
        return Reaped(runner_exit=int(data["runner_exit"]), orphans_killed=int(data["orphans_killed"]))
    except (KeyError, TypeError, ValueError):
        return None


def _write(run_dir: str, name: str, data: Any) -> None:
    text = json.dumps(data).encode("ascii")
    replace_file(os.path.join(run_dir, name), text, point=f"runner.{name.removesuffix('.json')}", sync=False)


def _read(run_dir: str, name: str) -> Any:
    try:
        return json.loads(read_file(os.path.join(run_dir, name), limit=_LIMIT))
    except (OSError, ValueError):
        return None
