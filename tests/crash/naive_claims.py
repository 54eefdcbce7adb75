"""How tasks are claimed where nobody thought of races: what a figure of zero is to be compared with."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["NAIVE", "by_lock_file", "by_reading_and_writing"]


def by_reading_and_writing(folder: Path, task_id: str, me: int) -> bool:
    """Look whether the task is free, then write that it is ours; each write is atomic and durable."""
    path = folder / f"{task_id}.json"
    if path.exists() and json.loads(path.read_text())["status"] != "pending":
        return False
    _replace(path, {"status": "claimed", "by": me})
    return True


def by_lock_file(folder: Path, task_id: str, me: int) -> bool:
    """Make a lock file, which only one can; break one whose owner is dead. Every task's first owner was killed."""
    path = folder / f"{task_id}.lock"
    if not (folder / f"{task_id}.seen").exists():
        _first_owner(path, folder / f"{task_id}.seen")
    try:
        return _lock(path, me)
    except FileExistsError:
        pass
    try:
        os.kill(int(path.read_text() or me), 0)
        return False
    except ProcessLookupError:
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    try:
        return _lock(path, me)
    except FileExistsError:
        return False


def _first_owner(lock: Path, seen: Path) -> None:
    try:
        os.close(os.open(seen, os.O_CREAT | os.O_EXCL))
        _lock(lock, 4194305)
    except FileExistsError:
        pass


def _lock(path: Path, pid: int) -> bool:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, str(pid).encode())
    os.close(fd)
    return True


def _replace(path: Path, data: dict[str, object]) -> None:
    temporary = path.with_suffix(f".{data['by']}")
    temporary.write_text(json.dumps(data))
    temporary.rename(path)


NAIVE = {"read then write": by_reading_and_writing, "lock file": by_lock_file}
