"""Task files: read them, and write into them without ever destroying what a person saved meanwhile.

A write is an exchange of names, after which the replaced file still lies there to be looked at. If it is not the
one that was edited, a person saved in between: their file gets its place back, and the edit starts again from it.
What fits nowhere is kept in ``conflicts/``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from autopilot.errors import BusyError, TaskFormatError
from autopilot.models import InvalidTask, Task
from autopilot.store.layout import Kept, Layout, fits, is_task_name
from autopilot.store.summaries import mark_of
from autopilot.system.durable import (
    EXHAUSTED,
    create_file,
    read_error,
    storage_error,
    sync_folder,
    write_temporary,
)
from autopilot.system.exchange import being_written, exchange
from autopilot.system.failpoints import failpoint
from autopilot.taskfile import check_id, parse
from autopilot.taskfile.merge import same_but_owned
from autopilot.taskfile.source import MAX_FILE, OWN_BYTES

__all__ = ["LARGEST", "STAGED", "MarkdownFiles", "Text", "being_saved", "invalid", "unreadable"]

LARGEST = MAX_FILE + OWN_BYTES
"""Bytes of the largest task file that is read."""

STAGED = ".swap"
"""How the name of a whole text ends that is about to be exchanged with a task's file, or was."""

_TRIES = 16
_NO_FOLLOW = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | os.O_NONBLOCK


class Text(NamedTuple):
    """A task file as it was read. ``busy``: somebody had it open for writing at that moment."""

    data: bytes
    status: os.stat_result
    busy: bool


class MarkdownFiles:
    """The tasks folder.

    Args:
        kept: told of each text that fitted nowhere and was kept in ``conflicts/``.
    """

    def __init__(self, layout: Layout, *, sync: bool, kept: Kept) -> None:
        self._layout = layout
        self._sync = sync
        self._kept = kept

    # ---------------------------------------------------------------- reading

    def read(self, task_id: str, *, watch: bool = False) -> Text:
        """Read a task file.

        Args:
            watch: look whether somebody is writing it (costs three system calls).

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read; ELOOP for a symbolic link, EISDIR for what is no regular file.
            StorageError: nothing can be read at this moment.
        """
        return _read(self._layout.task(task_id), watch)

    def quiet(self, task_id: str) -> Text:
        """Read a task file that nobody is writing.

        Raises:
            FileNotFoundError, OSError: as ``read``.
            BusyError: somebody has it open for writing.
            StorageError: it cannot be read.
        """
        path = self._layout.task(task_id)
        try:
            text = _read(path, True)
        except FileNotFoundError:
            raise
        except OSError as fault:
            raise read_error(fault, path) from fault
        if text.busy:
            raise being_saved(task_id)
        return text

    def load(self, task_id: str) -> Task | InvalidTask:
        """Read a task file as a task.

        Raises:
            FileNotFoundError: there is none.
            StorageError: nothing can be read at this moment.
        """
        if (misnamed := self.misnamed(task_id)) is not None:
            return misnamed
        path = self._layout.task(task_id)
        try:
            return self.judge(task_id, _read(path, False).data)
        except FileNotFoundError:
            raise
        except OSError as fault:
            return unreadable(task_id, path, fault)

    def misnamed(self, task_id: str) -> InvalidTask | None:
        """A file whose name is too long for a lease to be named after it; None for all others, and for none."""
        if fits(task_id) or (path := self._layout.place(task_id)) is None or not os.path.lexists(path):
            return None
        try:
            check_id(task_id)
        except TaskFormatError as fault:
            return InvalidTask(id=task_id, path=path, message=fault.message, hint=fault.hint)
        raise AssertionError("an id that is too long was taken for valid")

    def judge(self, task_id: str, data: bytes) -> Task | InvalidTask:
        """Bytes of a task file as a task."""
        path = self._layout.task(task_id)
        try:
            return parse(data, path=path, expected_id=task_id)
        except TaskFormatError as fault:
            return invalid(task_id, path, fault, data)

    def ids(self) -> list[str]:
        """All ids, sorted, of valid and invalid files."""
        try:
            return sorted(name[:-3] for name in os.listdir(self._layout.tasks) if is_task_name(name))
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise storage_error(fault, self._layout.tasks, "read") from fault

    # ---------------------------------------------------------------- writing

    def create(self, task_id: str, data: bytes) -> None:
        """A new file, whole or not at all.

        Raises:
            AlreadyExistsError, StorageError.
        """
        self._layout.prepare(self._layout.tasks)
        create_file(self._layout.task(task_id), data, point="create", sync=self._sync)

    def withdraw(self, task_id: str, data: bytes) -> None:
        """Take back a file that was just created, if it still has ``data``."""
        path = self._layout.task(task_id)
        if _holds(path, data):
            os.unlink(path)
            sync_folder(self._layout.tasks, sync=self._sync)

    def rewrite(
        self, task_id: str, change: Callable[[bytes], bytes], *, point: str, sync_name: bool = True
    ) -> bytes:
        """Apply ``change`` to the file's bytes as they are at this moment; what was written.

        Args:
            sync_name: make the new name durable, too; without it a power cut may bring the old text back.

        Raises:
            FileNotFoundError: there is none.
            BusyError: somebody is writing it, or saves it again and again.
            TaskFormatError: raised by ``change`` for text that it cannot read.
            StorageError: the disk refuses; the old file is still there.
        """
        path = self._layout.task(task_id)
        for _ in range(_TRIES):
            before = self.quiet(task_id)
            new = change(before.data)
            if new == before.data:
                return new
            try:
                swapped = self._swap(task_id, before, new, point)
            except FileNotFoundError:
                raise
            except OSError as fault:
                raise storage_error(fault, path) from fault
            if swapped:
                sync_folder(self._layout.tasks, sync=self._sync and sync_name)
                failpoint(f"{point}.done")
                return new
        raise BusyError(f"{path} is being saved again and again", hint="try again later")

    def _swap(self, task_id: str, before: Text, new: bytes, point: str) -> bool:
        path = self._layout.task(task_id)
        temporary = self._staged(path, new, point)
        ours: tuple[bytes, ...] = (new, before.data)
        try:
            _copy_mode(temporary, before.status)
            if mark_of(os.lstat(path)) != mark_of(before.status):
                # Saved while we worked. Seen here already, it needs no exchange, in the instant of which people
                # would read our text in the place of theirs.
                return False
            failpoint(f"{point}.swap")
            if not exchange(temporary, path):
                return _replace_unchanged(temporary, path, before.data)
            failpoint(f"{point}.swapped")
            if _holds(temporary, before.data):
                os.unlink(temporary)
                return True
            # Somebody saved, or began to, after our look: their file gets its place back.
            ours = (new,)
            exchange(temporary, path)
            return False
        finally:
            self._dispose(task_id, temporary, ours)

    def _staged(self, path: str, new: bytes, point: str) -> str:
        # From here on another name: it may come to hold a person's save, and a half-written text never has it.
        temporary = write_temporary(path, new, point, self._sync, 0o600)
        staged = temporary.removesuffix(".tmp") + STAGED
        try:
            os.rename(temporary, staged)
        except OSError:
            os.unlink(temporary)
            raise
        return staged

    def _dispose(self, task_id: str, temporary: str, ours: tuple[bytes, ...]) -> None:
        # Only bytes that we know are thrown away; anything else is somebody's work.
        try:
            left = _read(temporary, True)
            if left.data in ours and not left.busy:
                os.unlink(temporary)
            else:
                self.keep(task_id, temporary)
        except FileNotFoundError:
            pass

    def keep(self, task_id: str, path: str) -> None:
        """Move a text that fits nowhere into ``conflicts/``, and say so."""
        layout = self._layout
        layout.prepare(layout.conflicts)
        place = f"{layout.conflicts}/{task_id}.conflict-{time.time_ns()}.md"
        os.rename(path, place)
        sync_folder(layout.conflicts, sync=self._sync)
        self._kept(
            task_id, place, f"{task_id} was saved while it was being written; that version is kept as {place}"
        )

    def clear_leftover(self, name: str) -> None:
        """Deal with a temporary file whose writer is dead: drop what is ours, keep what may be a person's.

        The writer may have died between the exchange and its look at what it replaced; before the exchange was due
        the file can only be ours.
        """
        temporary = f"{self._layout.tasks}/{name}"
        task_id = name[1:].rsplit(".", 4)[0]
        try:
            if name.endswith(STAGED) and not self._says_the_same(task_id, _read(temporary, False).data):
                self.keep(task_id, temporary)
            else:
                os.unlink(temporary)
        except FileNotFoundError:
            pass

    def _says_the_same(self, task_id: str, data: bytes) -> bool:
        try:
            current = _read(self._layout.task(task_id), False).data
        except FileNotFoundError:
            # The task was deleted since.
            return True
        try:
            return same_but_owned(current, data)
        except TaskFormatError:
            return False


def being_saved(task_id: str) -> BusyError:
    """Somebody has a file open for writing: what it says now may be half of what they mean."""
    return BusyError(f"the file of task {task_id} is open for writing elsewhere", hint="close it there")


def unreadable(task_id: str, path: str, fault: OSError) -> InvalidTask:
    """A file that cannot even be opened."""
    if fault.errno == errno.ELOOP:
        why, hint = "is a symbolic link", "links inside the root are refused; put the file itself there"
    elif fault.errno == errno.EISDIR:
        why, hint = "is no regular file", "rename it, or move it out of the tasks folder"
    else:
        why, hint = f"cannot be read: {os.strerror(fault.errno or 0)}", "check its owner and mode"
    return InvalidTask(id=task_id, path=path, message=f"the file {why}", hint=hint)


def invalid(task_id: str, path: str, fault: TaskFormatError, data: bytes) -> InvalidTask:
    """A file that is no task."""
    return InvalidTask(
        id=task_id,
        path=path,
        message=fault.message,
        hint=fault.hint,
        line=fault.line,
        column=fault.column,
        digest=hashlib.sha256(data).hexdigest(),
    )


def _read(path: str, watch: bool) -> Text:
    # O_NONBLOCK: a FIFO of that name must not hang us.
    try:
        fd = os.open(path, _NO_FOLLOW)
    except OSError as fault:
        if fault.errno in EXHAUSTED:
            raise storage_error(fault, path, "read") from fault
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EISDIR, "not a regular file", path)
        busy = watch and being_written(fd)
        wanted = min(status.st_size, LARGEST) + 1
        data = os.read(fd, wanted)
        # As many bytes as were asked for: it has grown since, or it is larger than any task may be.
        while wanted <= len(data) <= LARGEST and (more := os.read(fd, LARGEST + 1 - len(data))):
            data += more
            wanted = len(data)
        return Text(data, status, busy)
    finally:
        os.close(fd)


def _holds(path: str, data: bytes) -> bool:
    """Whether the file has exactly these bytes and nobody is about to change them."""
    text = _read(path, True)
    return text.data == data and not text.busy


def _copy_mode(path: str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode != 0o600:
        os.chmod(path, mode)


def _replace_unchanged(temporary: str, path: str, expected: bytes) -> bool:
    # Without an exchange there is a gap between this look and the rename; nothing narrower exists there.
    if not _holds(path, expected):
        return False
    os.replace(temporary, path)
    return True
