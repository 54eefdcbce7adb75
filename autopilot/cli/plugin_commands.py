"""The commands that plugins add through ``autopilot_commands``."""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from typing import Any

import click

from autopilot.cli.app import App
from autopilot.cli.lazy import LazyGroup
from autopilot.errors import AutopilotError

__all__ = ["add_commands", "nobody_adds"]

HOOK = "autopilot_commands"
_SETTLED_NS = 2_000_000_000


def add_commands(group: LazyGroup, app: App) -> None:
    """Add the plugins' commands to ``group``, once; what a plugin does wrong is a warning on stderr."""
    if app.plugins_asked:
        return
    app.plugins_asked = True
    faults = 0
    try:
        for answer in app.control.plugins.call(HOOK, cli=_Stand(group, app)):
            if answer.fault:
                faults += 1
                app.note(f"warning: the commands of plugin {answer.plugin} are missing: {answer.fault}")
    except AutopilotError as fault:
        faults += 1
        app.note(f"warning: the commands of plugins are missing: {fault.message}")
    _remember(app, nobody=not faults and not group.commands)


class _Stand(click.Group):
    """What a plugin sees of the command line: a group that takes new names only."""

    def __init__(self, group: LazyGroup, app: App) -> None:
        super().__init__(group.name)
        self._group = group
        self._app = app

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, unless the name is taken."""
        name = name or cmd.name
        if not isinstance(cmd, click.Command) or not name:
            raise TypeError("add_command takes a click command with a name")
        if name in self._group.entries or name in self._group.commands:
            self._app.note(f"warning: a plugin's command {name!r} is left out: the name is taken")
            return
        self._group.add_command(cmd, name)


# ``--help`` has no time to load plugins (`docs/explanation/performance.md`), and nearly always there is none that
# adds a command. So that answer is kept for as long as nothing is installed, removed or configured differently; an
# unknown command is always looked for afresh.


def nobody_adds(app: App) -> bool:
    """Whether it is known, without importing anything, that no plugin adds a command."""
    try:
        with open(_memory_path(app), encoding="utf-8") as file:
            return bool(json.load(file) == _circumstances(app))
    except (OSError, ValueError):
        return False


def _remember(app: App, *, nobody: bool) -> None:
    from autopilot.system.durable import ensure_folder, remove_file, replace_file

    path, now = _memory_path(app), _circumstances(app)
    settled = all(time.time_ns() - changed > _SETTLED_NS for _, changed in now)
    try:
        if nobody and settled:
            ensure_folder(os.path.dirname(path))
            replace_file(path, json.dumps(now).encode(), point="cache", sync=False)
        elif not nobody:
            remove_file(path)
    except (OSError, AutopilotError):
        return


def _circumstances(app: App) -> list[list[Any]]:
    """What the answer depends on: each folder of the import path and the config, with their times of change."""
    found: list[list[Any]] = []
    for path in [*sys.path, _config_path(app)]:
        try:
            found.append([path or os.getcwd(), os.stat(path or ".").st_mtime_ns])
        except (OSError, ValueError):
            continue
    return found


def _config_path(app: App) -> str:
    """Where the config would be; the rules of ``autopilot.config.root``, which costs too much to import here."""
    named = app.root_option or app.environ.get("AUTOPILOT_ROOT")
    if named:
        return os.path.join(named, "config.yaml")
    folder = os.getcwd()
    while not os.path.isdir(os.path.join(folder, ".autopilot")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return os.path.join(folder, ".autopilot", "config.yaml")


def _memory_path(app: App) -> str:
    base = app.environ.get("XDG_CACHE_HOME") or os.path.join(app.environ.get("HOME") or "~", ".cache")
    key = zlib.crc32("\0".join([*sys.path, _config_path(app)]).encode(errors="surrogateescape"))
    return os.path.join(os.path.expanduser(base), "autopilot", f"no-commands-{key:08x}.json")
