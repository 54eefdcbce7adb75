"""The stores that come with the core, registered like anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.hookspecs import hookimpl
from autopilot.store.contract import Store

__all__ = ["autopilot_store"]


@hookimpl
def autopilot_store(url: str, config: Mapping[str, Any]) -> Store | None:
    """``file:`` keeps everything below the root; ``memory:`` in this process only, for trials and tests."""
    if url == "file:":
        from autopilot.store.filestore import FileStore

        return FileStore(config["root"], publish=config["publish"], durability=config.get("durability", "full"))
    if url == "memory:":
        from autopilot.store.memory import MemoryStore

        return MemoryStore(publish=config["publish"])
    return None
