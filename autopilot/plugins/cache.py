"""Small JSON files in the user's cache folder: losing one costs some milliseconds and nothing else."""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["JsonCache", "cache_folder"]

_FORMAT = 1
_KEPT_S = 30 * 86_400.0
_PLATFORM: str = sys.platform  # a name of its own, so that type checkers follow both branches


def cache_folder(environ: Mapping[str, str] | None = None) -> str:
    """The folder for this user's caches, as platformdirs names it."""
    if _PLATFORM == "linux":
        # What platformdirs answers here; importing it costs more than what this cache saves.
        environ = os.environ if environ is None else environ
        base = environ.get("XDG_CACHE_HOME", "").strip() or os.path.join(environ.get("HOME") or "~", ".cache")
        return os.path.join(os.path.expanduser(base), "autopilot")
    import platformdirs

    return platformdirs.user_cache_dir("autopilot")


class JsonCache:
    """One JSON value for one key; nothing in here ever raises.

    A file that nobody has written for 30 days is removed when another of its kind is written.

    Args:
        kind: what is kept; the beginning of the file's name.
        key: what it is kept for (any JSON value); kept with the value and compared when it is read.
        folder: where; the user's cache folder by default.
    """

    def __init__(self, kind: str, key: Any, folder: str | None = None) -> None:
        self._kind = kind
        self._key = key
        self._folder = cache_folder() if folder is None else folder
        digest = zlib.crc32(json.dumps(key).encode())
        self._path = os.path.join(self._folder, f"{kind}-{digest:08x}.json")

    def read(self) -> Any:
        """The value, or None: there is none, it is of another key, or it is not ours alone."""
        try:
            facts = os.stat(self._folder)
            if hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or facts.st_mode & 0o022):
                return None
            with open(self._path, "rb") as file:
                content = json.load(file)
            return content["value"] if content["key"] == [_FORMAT, self._key] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, value: Any) -> None:
        """Keep ``value``, if the disk lets us."""
        from autopilot.system.durable import ensure_folder, replace_file

        try:
            ensure_folder(self._folder)
            data = json.dumps({"key": [_FORMAT, self._key], "value": value}).encode()
            replace_file(self._path, data, point="cache", sync=False)
            self._remove_old()
        except Exception:  # a cache that cannot be written is no fault
            return

    def _remove_old(self) -> None:
        for entry in os.scandir(self._folder):
            if entry.name.startswith(f"{self._kind}-") and entry.stat().st_mtime < time.time() - _KEPT_S:
                os.unlink(entry.path)
