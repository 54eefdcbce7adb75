"""Where everything of a file store lies below its root, and which names may be used there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from autopilot.errors import NotFoundError, StorageError
from autopilot.system.durable import ensure_folder

__all__ = ["Kept", "Layout", "fits", "is_task_name"]

Kept = Callable[[str, str, str], None]
"""Told of a file that was moved aside instead of being lost: the task's id, where it lies now, a sentence."""

_SUFFIX = ".md"
_LONGEST_NAME = 200
"""Bytes. File systems end at 255, and the names of leases, beats and temporary files are longer."""


def is_task_name(name: str) -> bool:
    """Whether a name in the tasks folder stands for a task, valid or not: ``<id>.md``, not hidden."""
    return name.endswith(_SUFFIX) and not name.startswith(".")


def fits(task_id: str) -> bool:
    """Whether other files can be named after it: what is longer is no task, whatever its file says."""
    return len(os.fsencode(task_id)) <= _LONGEST_NAME


class Layout:
    """The paths of one root. A symbolic link to the root is resolved once, here; links inside are refused.

    Args:
        sync: make the names of new folders durable, so that what is put into them is.
    """

    def __init__(self, root: str, *, sync: bool = False) -> None:
        self._sync = sync
        self.root = os.path.realpath(root)
        self.tasks = f"{self.root}/tasks"
        self.state = f"{self.root}/state"
        self.leases = f"{self.state}/leases"
        self.records = f"{self.state}/records"
        self.locks = f"{self.state}/locks"
        self.index = f"{self.state}/index"
        self.corrupt = f"{self.state}/corrupt"
        self.conflicts = f"{self.root}/conflicts"
        self.runs = f"{self.root}/runs"
        self.bell = f"{self.state}/bell"
        self._checked: set[str] = set()

    def task(self, task_id: str) -> str:
        """The Markdown file of a task.

        Raises:
            NotFoundError: the text can be no file name in the tasks folder.
        """
        path = self.place(task_id)
        if path is None or not fits(task_id):
            raise NotFoundError(f"there is no task {task_id!r}", hint="`autopilotctl task list` shows all ids")
        return path

    def place(self, task_id: str) -> str | None:
        """Where a file of this name lies that may be too long for a task; None for what can be no name there."""
        if not task_id or task_id.startswith(".") or "/" in task_id or "\0" in task_id:
            return None
        return f"{self.tasks}/{task_id}{_SUFFIX}"

    def lease(self, task_id: str) -> str:
        """The lease of a task in motion."""
        return f"{self.leases}/{task_id}.json"

    def beat(self, task_id: str, token: int) -> str:
        """The owner's signs of life. One file a token, so that a late owner cannot speak for its successor."""
        return f"{self.leases}/{task_id}.{token}.beat"

    def cancel(self, task_id: str) -> str:
        """The request to stop."""
        return f"{self.leases}/{task_id}.cancel"

    def record(self, task_id: str) -> str:
        """What is remembered of a task that nobody holds."""
        return f"{self.records}/{task_id}.json"

    def run(self, task_id: str, token: int) -> str:
        """The folder of one attempt."""
        return f"{self.runs}/{task_id}/{token}"

    def prepare(self, *folders: str) -> None:
        """Make folders that are missing, and refuse those that are symbolic links or no folders.

        Links are looked for once by each object; a folder that somebody removed meanwhile is made again.

        Raises:
            StorageError: the disk refuses, or a link stands where a folder of ours should be.
        """
        for folder in folders:
            if folder not in self._checked or not os.path.isdir(folder):
                self.make(folder)
                self._checked.add(folder)

    def make(self, folder: str) -> None:
        """``prepare`` for a folder that is used once."""
        self.refuse_links(folder)
        ensure_folder(folder, sync=self._sync)

    def refuse_links(self, folder: str) -> None:
        """Raise StorageError when ``folder``, or one above it inside the root, is there and no real folder."""
        while len(folder) > len(self.root):
            try:
                mode = os.lstat(folder).st_mode
            except FileNotFoundError:
                mode = stat.S_IFDIR
            if not stat.S_ISDIR(mode):
                raise _link(folder) if stat.S_ISLNK(mode) else _no_folder(folder)
            folder = os.path.dirname(folder)


def _link(path: str) -> StorageError:
    return StorageError(
        f"{path} is a symbolic link",
        hint="symbolic links inside the root are refused; replace it by a real file or folder",
    )


def _no_folder(path: str) -> StorageError:
    return StorageError(f"{path} is no folder", hint="move it away: Autopilot makes its folders itself")
