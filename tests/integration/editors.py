"""How people's programs add a line to a file that they have read. ``base`` is the text on their screen."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["EDITORS", "Save"]

Save = Callable[[str, bytes, bytes], None]
"""Path, base, line."""


def in_place(path: str, base: bytes, line: bytes) -> None:
    """Truncate and write: nano, a shell's ``>``."""
    with open(path, "wb") as file:
        file.write(base + line)


def renamed(path: str, base: bytes, line: bytes) -> None:
    """Write beside it, then rename over it: ``sed -i``, and every editor with atomic saves."""
    with open(f"{path}~new", "wb") as file:
        file.write(base + line)
    os.rename(f"{path}~new", path)


def appended(path: str, base: bytes, line: bytes) -> None:
    """Only the new line, at the end: ``echo … >>``."""
    with open(path, "ab") as file:
        file.write(line)


def backed_up_by_copy(path: str, base: bytes, line: bytes) -> None:
    """vim with ``backupcopy=yes``: a copy becomes the backup, and the file is written in place."""
    with open(path, "rb") as old, open(f"{path}~", "wb") as backup:
        backup.write(old.read())
    in_place(path, base, line)
    os.unlink(f"{path}~")


def backed_up_by_rename(path: str, base: bytes, line: bytes) -> None:
    """vim with ``backupcopy=no``: the file becomes the backup, and for a moment there is none of its name."""
    os.rename(path, f"{path}~")
    with open(path, "xb") as file:
        file.write(base + line)
    os.unlink(f"{path}~")


EDITORS: dict[str, Save] = {
    "in place": in_place,
    "rename": renamed,
    "append": appended,
    "backup by copy": backed_up_by_copy,
    "backup by rename": backed_up_by_rename,
}
