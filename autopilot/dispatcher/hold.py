"""Pause and drain: a person's word to all dispatchers of a root, kept in one small file."""

from __future__ import annotations

import json
import os
from enum import StrEnum

import attrs

from autopilot.system.durable import ensure_folder, read_file, remove_file, replace_file

__all__ = ["Hold", "HoldMode", "clear_hold", "read_hold", "write_hold"]


class HoldMode(StrEnum):
    """``PAUSED``: nothing new starts until a resume. ``DRAINING``: and ``dispatch run`` ends when idle."""

    PAUSED = "paused"
    DRAINING = "draining"


@attrs.frozen(kw_only=True)
class Hold:
    """Who asked for it, and when (ISO 8601)."""

    mode: HoldMode
    by: str
    at: str

    def __str__(self) -> str:
        return f"{self.mode} by {self.by} since {self.at}"


def read_hold(state_folder: str) -> Hold | None:
    """The hold in force; None when dispatching is free. A file that cannot be read counts as paused, because
    going on against somebody's wish is the worse mistake."""
    try:
        data = read_file(os.path.join(state_folder, "hold.json"))
    except FileNotFoundError:
        return None
    try:
        told = json.loads(data)
        return Hold(mode=HoldMode(told["mode"]), by=str(told["by"]), at=str(told["at"]))
    except (ValueError, KeyError, TypeError):
        return Hold(mode=HoldMode.PAUSED, by="a damaged state/hold.json", at="")


def write_hold(state_folder: str, hold: Hold) -> None:
    """Put a hold in force, durably.

    Raises:
        StorageError: the disk refuses.
    """
    ensure_folder(state_folder)
    data = json.dumps(attrs.asdict(hold)).encode()
    replace_file(os.path.join(state_folder, "hold.json"), data, point="hold", sync=True)


def clear_hold(state_folder: str) -> bool:
    """Lift the hold; whether there was one."""
    return remove_file(os.path.join(state_folder, "hold.json"), sync=True)
