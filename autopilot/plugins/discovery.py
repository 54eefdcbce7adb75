"""Find the installed plugins without importing anything of theirs.

``importlib.metadata`` would do, for some 60 ms a start. Here the folders of ``sys.path`` are looked at directly,
and the answer is cached by their modification times: installing or removing a package changes those.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from autopilot.models import PluginRef
from autopilot.plugins.cache import JsonCache

__all__ = ["GROUP", "find_plugins", "install_key"]

GROUP = "autopilot.plugins"
_INFO = (".dist-info", ".egg-info")
_SETTLED_NS = 2_000_000_000


def find_plugins(
    path: Sequence[str] | None = None, *, cached: bool = True, cache_folder: str | None = None
) -> tuple[PluginRef, ...]:
    """All entry points of the group ``autopilot.plugins``, sorted by name and distribution.

    Args:
        path: where to look; ``sys.path`` by default. The first of several distributions of one name counts.
        cached: whether the cache may answer (it is written all the same).
        cache_folder: the cache's folder; the user's own by default.
    """
    path = sys.path if path is None else path
    key = install_key(path)
    cache = JsonCache("entry-points", [entry or os.getcwd() for entry in path], cache_folder)
    kept = _from_cache(cache.read(), key) if cached else None
    if kept is not None:
        return kept
    refs = _scan(path)
    # A folder that changed just now may be in the middle of an installation: judge it again next time.
    if all(time.time_ns() - changed > _SETTLED_NS for _, changed in key):
        cache.write({"key": key, "refs": [_fields(ref) for ref in refs]})
    return refs


def install_key(path: Sequence[str]) -> list[list[Any]]:
    """What changes when a package is installed or removed: each folder of ``path`` with its change time in ns."""
    found = []
    for entry in path:
        try:
            found.append([entry or os.getcwd(), os.stat(entry or ".").st_mtime_ns])
        except (OSError, ValueError):
            continue
    return found


def _fields(ref: PluginRef) -> dict[str, str]:
    return {"name": ref.name, "value": ref.value, "distribution": ref.distribution, "version": ref.version}


def _from_cache(kept: Any, key: list[list[Any]]) -> tuple[PluginRef, ...] | None:
    try:
        return tuple(PluginRef(**fields) for fields in kept["refs"]) if kept["key"] == key else None
    except (TypeError, KeyError):
        return None


def _scan(path: Sequence[str]) -> tuple[PluginRef, ...]:
    seen: set[str] = set()
    refs: dict[PluginRef, None] = {}
    for entry in path:
        for normal, found in _distributions(entry or "."):
            if normal not in seen:
                seen.add(normal)
                refs.update(dict.fromkeys(found))
    return tuple(sorted(refs, key=lambda ref: (ref.name, ref.distribution, ref.value)))


def _distributions(entry: str) -> Iterator[tuple[str, list[PluginRef]]]:
    """(normalised name, entry points of our group) of each distribution in one entry of the path."""
    try:
        names = sorted(os.listdir(entry))
    except NotADirectoryError:
        yield from _from_archive(entry)
        return
    except OSError:
        return
    for name in names:
        if name.endswith(_INFO):
            yield _normal(name.rpartition(".")[0].partition("-")[0]), _read_info(os.path.join(entry, name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_info(folder: str) -> list[PluginRef]:
    points = _read(os.path.join(folder, "entry_points.txt"))
    if GROUP not in points:
        return []
    metadata = _read(os.path.join(folder, "METADATA")) or _read(os.path.join(folder, "PKG-INFO"))
    headers = dict(re.findall(r"^(Name|Version): *(.*?) *$", metadata.partition("\n\n")[0], re.MULTILINE))
    stem, _, version = os.path.basename(folder).rpartition(".")[0].partition("-")
    distribution, version = headers.get("Name", stem), headers.get("Version", version)
    return [
        PluginRef(name=name, value=value, distribution=distribution, version=version)
        for name, value in _entries(points)
    ]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _entries(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == GROUP and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _from_archive(entry: str) -> Iterator[tuple[str, list[PluginRef]]]:
    import importlib.metadata

    for distribution in importlib.metadata.distributions(path=[entry]):
        name, version = distribution.metadata["Name"] or "", distribution.version
        points = distribution.entry_points.select(group=GROUP)
        yield (
            _normal(name),
            [PluginRef(name=at.name, value=at.value, distribution=name, version=version) for at in points],
        )
