"""The two programs of that name: Kimi Code (``kimi -p``), and the older kimi-cli (``kimi --print``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from autopilot import ConfigError, json_line

__all__ = [
    "CURRENT",
    "DIALECTS",
    "INSTALL",
    "PRINT",
    "Dialect",
    "by_its_head",
    "by_its_version",
    "is_gone",
    "loop_limits",
    "packaged_version",
    "whole_number",
]

INSTALL = "npm install -g @moonshot-ai/kimi-code (it needs Node.js 22.19 or newer)"

_GONE = ("no longer maintained", "已停止维护")

_OFFLINE = {"KIMI_DISABLE_TELEMETRY": "1", "KIMI_CLI_NO_AUTO_UPDATE": "1"}


@attrs.frozen(kw_only=True)
class Dialect:
    """How one of the programs is spoken to.

    Attributes:
        home: the variable that names its folder of settings and sessions, and that folder's usual name.
        key: the variable with the API key.
        quiet: variables that keep it off the network but for its API, and from waiting for anything but its work.
    """

    name: str
    home: tuple[str, str]
    key: str
    quiet: Mapping[str, str]


CURRENT = Dialect(
    name="current",
    home=("KIMI_CODE_HOME", ".kimi-code"),
    key="KIMI_MODEL_API_KEY",
    quiet={
        **_OFFLINE,
        "KIMI_CODE_NO_AUTO_UPDATE": "1",
        "KIMI_CODE_MODEL_CATALOG_REFRESH_ON_START": "0",
        "KIMI_DISABLE_CRON": "1",
        "KIMI_CODE_INFINITE_RETRY": "0",
    },
)
PRINT = Dialect(
    name="print",
    home=("KIMI_SHARE_DIR", ".kimi"),
    key="KIMI_API_KEY",
    quiet={**_OFFLINE, "COLUMNS": "1000"},  # else it breaks its errors into lines in the middle of words
)
DIALECTS: Mapping[str, Dialect] = {one.name: one for one in (CURRENT, PRINT)}


def is_gone(text: str) -> bool:
    """Whether this is what the last release of kimi-cli says to every command line, with exit code 0."""
    return any(words in text for words in _GONE)


def by_its_head(path: str) -> Dialect | None:
    """The dialect of the program at ``path`` if its first lines give it away, which saves a start of it."""
    try:
        with open(path, "rb") as file:
            head = file.read(2048)
    except OSError:
        return None
    first = head.partition(b"\n")[0]
    if first.startswith(b"#!") and b"node" in first:
        return CURRENT
    return PRINT if b"kimi_cli" in head else None


def packaged_version(path: str) -> str:
    """The version of a Kimi Code that npm installed, from the package around the program; empty for any other."""
    try:
        with open(os.path.join(os.path.dirname(os.path.realpath(path)), "..", "package.json"), "rb") as file:
            told = json_line(file.read(256 * 1024).decode("utf-8", "replace")) or {}
    except OSError:
        return ""
    version = told.get("version")
    return version if told.get("name") == "@moonshot-ai/kimi-code" and isinstance(version, str) else ""


def by_its_version(text: str) -> Dialect:
    """The dialect of a program that answers ``--version`` like this: ``2.1.0``, or ``kimi, version 1.40.0``."""
    return PRINT if "version" in text.lower() else CURRENT


def whole_number(options: Mapping[str, Any], key: str) -> int | None:
    """An option that is a number of things, None where it is not given.

    Raises:
        ConfigError: it is something else.
    """
    value = options.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ConfigError(f"executors.kimi.{key}: {value!r} is no number", hint="a whole number from 0")


def loop_limits(dialect: Dialect, options: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The options ``max_retries`` and ``max_steps``, as arguments and as variables.

    The older program's flags came one by one with its releases, so they are used only where they are asked for.
    Its "retries" count the first attempt too.
    """
    steps, retries = whole_number(options, "max_steps"), whole_number(options, "max_retries")
    if dialect is CURRENT:
        attempts = (2 if retries is None else retries) + 1
        names = {"KIMI_LOOP_MAX_STEPS_PER_TURN": steps, "KIMI_LOOP_MAX_ATTEMPTS_PER_STEP": attempts}
        return [], {name: str(value) for name, value in names.items() if value}
    flags = {"--max-steps-per-turn": steps, "--max-retries-per-step": None if retries is None else retries + 1}
    return [word for flag, value in flags.items() if value for word in (flag, str(value))], {}
