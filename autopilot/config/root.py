"""The root: the folder ``.autopilot`` that holds all of it, found like git finds ``.git``."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping

import attrs

from autopilot.errors import AlreadyExistsError, SetupError, UsageError
from autopilot.system.durable import create_file, ensure_folder, sync_folder

__all__ = ["FOLDERS", "GITIGNORE", "ROOT_NAME", "ROOT_VARIABLE", "Root", "find_root", "make_root"]

ROOT_NAME = ".autopilot"
GITIGNORE = b"""\
# What belongs to this machine. tasks/ and config.yaml are worth committing.
/conflicts/
/events/
/runs/
/state/
/worktrees/
"""
ROOT_VARIABLE = "AUTOPILOT_ROOT"
FOLDERS = ("tasks", "events", "runs", "state", "worktrees")


@attrs.frozen
class Root:
    """One root, whether it is there yet or not.

    Attributes:
        folder: absolute path of the folder itself, symbolic links resolved.
    """

    folder: str

    @property
    def exists(self) -> bool:
        """Whether the folder is there."""
        return os.path.isdir(self.folder)

    @property
    def project(self) -> str:
        """The folder that contains the root: tasks without a workspace run here."""
        return os.path.dirname(self.folder)

    @property
    def config_path(self) -> str:
        """The settings; the file may be missing."""
        return os.path.join(self.folder, "config.yaml")

    @property
    def tasks(self) -> str:
        """The queue: one Markdown file a task."""
        return os.path.join(self.folder, "tasks")

    @property
    def events(self) -> str:
        """The event log's segments and the channels."""
        return os.path.join(self.folder, "events")

    @property
    def runs(self) -> str:
        """One folder for each attempt."""
        return os.path.join(self.folder, "runs")

    @property
    def state(self) -> str:
        """Leases, records, locks and indexes."""
        return os.path.join(self.folder, "state")

    @property
    def worktrees(self) -> str:
        """One git worktree for each attempt that needs one."""
        return os.path.join(self.folder, "worktrees")


def find_root(explicit: str | None, environ: Mapping[str, str], cwd: str) -> Root:
    """Find the root; it need not exist.

    Args:
        explicit: the value of ``--root``: the folder itself, relative to ``cwd``; None when it was not given.
        environ: where ``AUTOPILOT_ROOT`` is looked up; it names the folder itself too.
        cwd: where the search upwards begins; ``cwd/.autopilot`` is the answer when nothing is found.

    Raises:
        UsageError: the named path cannot be a root.
        SetupError: the folder is not safe to use: somebody else's, writable for everybody, or with a
            symbolic link or a file in place of one of its folders.
    """
    named = explicit if explicit is not None else environ.get(ROOT_VARIABLE) or None
    source = "--root" if explicit is not None else ROOT_VARIABLE
    found = _search_upwards(cwd) if named is None else _named(named, source, cwd)
    folder = os.path.realpath(found)
    if os.path.lexists(folder):
        _refuse_unsafe(folder)
    return Root(folder)


def make_root(root: Root, *, sync: bool = True) -> bool:
    """Make the root and its folders, private to the user; whether the root itself is new. A new one gets a
    ``.gitignore`` for the folders that belong to this machine.

    Args:
        sync: make it all durable, without which nothing in these folders would be.

    Raises:
        StorageError: the disk refuses.
    """
    new = not root.exists
    missing = [name for name in FOLDERS if not os.path.isdir(os.path.join(root.folder, name))]
    if missing:
        ensure_folder(root.folder, sync=sync)
        for name in missing:
            ensure_folder(os.path.join(root.folder, name))
    if new:
        with contextlib.suppress(AlreadyExistsError):
            create_file(os.path.join(root.folder, ".gitignore"), GITIGNORE, point="root", sync=sync)
            return True  # with the fsync of the folder that the names of the others need, too
    if missing:
        sync_folder(root.folder, sync=sync)
    return new


def _search_upwards(cwd: str) -> str:
    start = os.path.abspath(cwd)
    folder = start
    while True:
        candidate = os.path.join(folder, ROOT_NAME)
        if os.path.isdir(candidate):
            return candidate
        parent = os.path.dirname(folder)
        if parent == folder:
            return os.path.join(start, ROOT_NAME)
        folder = parent


def _named(named: str, source: str, cwd: str) -> str:
    if not named.strip() or "\0" in named:
        raise UsageError(f"{source} is empty", hint=f"name the folder itself: {source} path/to/{ROOT_NAME}")
    folder = os.path.normpath(os.path.join(os.path.abspath(cwd), os.path.expanduser(named)))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{source} names {folder}, which is no folder")
    inner = os.path.join(folder, ROOT_NAME)
    if os.path.isdir(inner) and not os.path.isdir(os.path.join(folder, "tasks")):
        raise UsageError(
            f"{source} names {folder}, but the root is the folder {ROOT_NAME} in it", hint=f"use {inner}"
        )
    return folder


def _refuse_unsafe(folder: str) -> None:
    facts = os.stat(folder)
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        raise SetupError(
            f"{folder} belongs to user {facts.st_uid} and not to you",
            hint="its owner could run commands as you; work as its owner, or name a root of your own with --root",
        )
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise SetupError(f"{folder} is writable for every user", hint=f"chmod o-w {folder}")
    for name in FOLDERS:
        inner = os.path.join(folder, name)
        if os.path.islink(inner):
            raise _link(inner)
        if os.path.lexists(inner) and not os.path.isdir(inner):
            raise SetupError(f"{inner} is no folder", hint="move it away: Autopilot makes its folders itself")
    for name in ("state", "events"):
        for link in _links_in(os.path.join(folder, name)):
            raise _link(link)


def _links_in(folder: str) -> Iterator[str]:
    # Who must not read the folder hears of it from those that need it.
    with contextlib.suppress(OSError), os.scandir(folder) as items:
        yield from (item.path for item in items if item.is_symlink())


def _link(place: str) -> SetupError:
    return SetupError(
        f"{place} is a symbolic link; links inside a root are refused",
        hint="replace it by a real file or folder, or link the root as a whole",
    )
