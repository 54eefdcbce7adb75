"""The parts of the core that the scripts look at: which there are, and which are asked for."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["SCOPES", "accept_scopes", "listing", "wanted_scopes"]

SCOPES: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("scopes.toml").read_text(encoding="utf-8")
)
"""Name -> files and tests, as scopes.toml has them."""

_THERE = f"{', '.join(SCOPES)}, and all"


def accept_scopes(parser: argparse.ArgumentParser) -> None:
    """Let the arguments name scopes."""
    parser.add_argument("scopes", nargs="*", metavar="SCOPE", help=f"{_THERE}; without one, say which there are")


def wanted_scopes(parser: argparse.ArgumentParser, names: Sequence[str]) -> list[str]:
    """The scopes that ``names`` ask for; ends the program with a sentence and 2 where there is no such."""
    for name in names:
        if name not in (*SCOPES, "all"):
            parser.error(f"there is no scope {name}; there are {_THERE}")
    return list(SCOPES) if "all" in names else list(names)


def listing() -> str:
    """A line for each scope: its name, and which files it is about."""
    return "\n".join(f"{name}  {' '.join(scope['mutate'])}" for name, scope in SCOPES.items())
