"""Checks of the machine: interpreter, installation, disk, the root's folder."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator

from autopilot._version import __version__
from autopilot.cli.app import App
from autopilot.cli.doctor.finding import Finding, Grade
from autopilot.system.marks import wearable

__all__ = ["check_disk", "check_git", "check_install", "check_marks", "check_python", "check_root"]

MIB = 1024 * 1024
FULL_MIB, TIGHT_MIB = 64, 1024


def check_python(_app: App) -> Iterator[Finding]:
    """The interpreter."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    yield Finding("python", "ok", f"{version} at {sys.executable}")


def check_install(_app: App) -> Iterator[Finding]:
    """Whether a stranger's package of the same import name is installed over ours."""
    from importlib import metadata

    try:
        stranger = metadata.distribution("autopilot")
    except metadata.PackageNotFoundError:
        yield Finding("install", "ok", f"autopilot-core {__version__}")
        return
    yield Finding(
        "install",
        "fail",
        f"the distribution `autopilot` {stranger.version} is installed too: another project with the same import "
        "name, whose files lie among ours",
        "pip uninstall -y autopilot autopilot-core && pip install autopilot-core",
    )


def check_git(app: App) -> Iterator[Finding]:
    """Whether git is there."""
    found = shutil.which("git", path=app.environ.get("PATH"))
    if found:
        yield Finding("git", "ok", found)
    else:
        yield Finding("git", "warn", "git is not on PATH: tasks on repositories need it", "install git")


def check_marks(_app: App) -> Iterator[Finding]:
    """Whether the processes of an attempt can be told when its runner and the launcher were killed together."""
    if wearable():
        yield Finding("marks", "ok", "whatever an attempt starts is known for its own")
        return
    yield Finding(
        "marks",
        "warn",
        "this system marks the processes of an attempt by their environment only",
        "after a kill -9 of a runner and the launcher, look for a child that cleared its environment: `ps -ef`",
    )


def check_root(app: App) -> Iterator[Finding]:
    """The root's folder: there, private, writable, on a disk whose locks hold."""
    root = app.control.root
    if not root.exists:
        yield Finding("root", "ok", f"none yet; the first write makes {root.folder}")
        return
    yield Finding("root", "ok", root.folder)
    mode = stat.S_IMODE(os.stat(root.folder).st_mode)
    if mode & 0o077:
        detail = f"other users may enter it (mode {mode:04o})"
        yield Finding("root", "warn", detail, f"chmod 700 {root.folder}")
    if not os.access(root.folder, os.W_OK | os.X_OK):
        yield Finding("root", "fail", f"{root.folder} cannot be written", "check its owner, mode and mount")
    kind = app.control.network
    if kind:
        hint = "keep the root on a local disk; locks on network disks do not hold reliably"
        grade: Grade = "warn" if app.control.settings.allow_network_fs else "fail"
        yield Finding("root", grade, f"it lies on a network file system ({kind})", hint)


def check_disk(app: App) -> Iterator[Finding]:
    """Space and inodes where the root is, or will be."""
    folder = app.control.root.folder
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free // MIB
    status: Grade = "fail" if free < FULL_MIB else "warn" if free < TIGHT_MIB else "ok"
    hint = "" if status == "ok" else "free some space; `autopilotctl events gc` and old folders in runs/ help"
    yield Finding("disk", status, f"{free} MiB free", hint)
    facts = os.statvfs(folder)
    if facts.f_files and facts.f_favail < 1000:
        yield Finding("disk", "fail", f"only {facts.f_favail} inodes are left", "remove some files")
