"""Read the config: one YAML file, strictly, with the origin of every value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.config.settings import Settings
from autopilot.config.template import default_config_text
from autopilot.errors import ConfigError, SetupError
from autopilot.system.durable import read_file

if TYPE_CHECKING:
    from autopilot.config.node import Node

__all__ = ["VARIABLES", "default_config_text", "load_settings", "origins"]

_LIMIT = 1024 * 1024

VARIABLES: Mapping[str, str] = {
    "AUTOPILOT_DURABILITY": "durability",
    "AUTOPILOT_MAX_ACTIVE": "dispatcher.max_active",
}
"""Environment variables that override the file, and the keys that they set."""


def load_settings(path: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of one root; a missing file gives the defaults.

    Args:
        path: the file ``config.yaml``.
        environ: where the overrides of ``VARIABLES`` are looked up; the process's own environment by default.

    Raises:
        ConfigError: no YAML, an unknown key, a wrong type or a value out of range; names file, line and key.
        SetupError: the file cannot be read.
    """
    return _load(path, os.environ if environ is None else environ, {})


def origins(path: str, environ: Mapping[str, str] | None = None) -> list[tuple[str, Any, str]]:
    """Every setting as (dotted key, value, origin); the origin is ``default``, ``<path>:<line>`` or
    ``environment <NAME>``. In the order of the classes.

    Raises:
        ConfigError, SetupError: as ``load_settings``.
    """
    places: dict[str, str] = {}
    settings = _load(path, os.environ if environ is None else environ, places)
    return [(key, value, _origin(key, places)) for key, value in _flatten(settings, "")]


def _load(path: str, environ: Mapping[str, str], places: dict[str, str]) -> Settings:
    tree = _tree(path)
    settings = Settings()
    if tree is not None:
        from autopilot.config.convert import Converter

        settings = Converter(path, lambda key, line: places.update({key: f"{path}:{line}"})).build(
            Settings, tree, ""
        )
    return _override(settings, environ, places)


def _tree(path: str) -> Node | None:
    text = _text(path)
    # The file that `init` writes is all comments: then YAML (30 ms to import) is not needed.
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return None
    from autopilot.config.tree import read_tree

    return read_tree(text, path)


def _text(path: str) -> str:
    try:
        data = read_file(path, limit=_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as fault:
        raise SetupError(
            f"cannot read {path}: {os.strerror(fault.errno or 0)}",
            hint="check its owner and mode; symbolic links inside the root are refused",
        ) from fault
    if len(data) > _LIMIT:
        raise ConfigError(
            f"{path} is larger than 1 MiB", hint="settings are short; is this the right file?", path=path
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8", hint="save the file as UTF-8", path=path) from None


def _override(settings: Settings, environ: Mapping[str, str], places: dict[str, str]) -> Settings:
    for variable, key in VARIABLES.items():
        if environ.get(variable):
            settings = _set(settings, key, environ[variable], f"environment {variable}")
            places[key] = f"environment {variable}"
    return settings


def _set(settings: Settings, key: str, text: str, origin: str) -> Settings:
    from autopilot.config.convert import Converter
    from autopilot.config.node import Node

    section, _, name = key.rpartition(".")
    owner: Any = getattr(settings, section) if section else settings
    value = Converter(origin).field(type(owner), name, Node(value=text, line=0), key)
    changed: Any = attrs.evolve(owner, **{name: value})
    values: dict[str, Any] = {section: changed}
    return attrs.evolve(settings, **values) if section else changed


def _flatten(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            item = getattr(value, field.name)
            if not field.metadata.get("rest"):
                yield from _flatten(item, f"{key}.{field.name}".lstrip("."))
            elif item:
                yield from _flatten(item, key)
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flatten(item, f"{key}.{name}")
    else:
        yield key, value


def _origin(key: str, places: Mapping[str, str]) -> str:
    while key:
        if key in places:
            return places[key]
        key = key.rpartition(".")[0]
    return "default"
