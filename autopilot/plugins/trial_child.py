"""The child of a trial: import one plugin, look at it, say what was found, end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from autopilot.models import PluginRef
from autopilot.plugins.guards import PluginFault, Snapshot, no_second_self, sentence
from autopilot.plugins.inspection import examine
from autopilot.plugins.load import load_ref

__all__ = ["main"]

_MOST_FILES = 64


def main(setup: Mapping[str, Any]) -> None:
    """Report on the plugin of ``setup`` as one line of JSON on what is standard output now; never returns."""
    channel = _take_output()
    report = try_plugin(PluginRef(name=setup["name"], value=setup["value"]))
    os.write(channel, json.dumps(report).encode() + b"\n")
    os._exit(0)


def try_plugin(ref: PluginRef) -> dict[str, Any]:
    """Import and examine; ``hooks`` and ``files`` where all is well, else ``error``."""
    snapshot = Snapshot(load=True)
    report: dict[str, Any] = {}
    try:
        report["hooks"] = no_second_self(lambda: list(examine(load_ref(ref)).hooks))
    except BaseException as fault:
        report["error"] = sentence(fault)
    replaced = snapshot.restore()
    if replaced:
        report["error"] = sentence(
            PluginFault(f"its import replaces {', '.join(replaced)}, which all others rely on")
        )
    report["files"] = _files(ref.value.partition(":")[0].partition(".")[0].strip())
    return report


def _take_output() -> int:
    channel = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    return channel


def _files(package: str) -> dict[str, list[int]]:
    """Path -> [change time in ns, size] of the package's modules that are loaded now."""
    files: dict[str, list[int]] = {}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name.partition(".")[0] == package and isinstance(path, str) and len(files) < _MOST_FILES:
            try:
                facts = os.stat(path)
            except OSError:
                continue
            files[path] = [facts.st_mtime_ns, facts.st_size]
    return files
