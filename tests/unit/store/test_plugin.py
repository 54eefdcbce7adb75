from __future__ import annotations

import pluggy
import pytest

from autopilot import hookspecs
from autopilot.store import plugin
from autopilot.store.filestore import FileStore
from autopilot.store.memory import MemoryStore


@pytest.fixture
def hook():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    return manager.hook.autopilot_store


@pytest.mark.parametrize(("url", "kind"), [("file:", FileStore), ("memory:", MemoryStore)])
def test_stores_of_the_core(hook, tmp_path, url, kind):
    config = {"root": str(tmp_path), "durability": "process", "publish": lambda events: None}
    store = hook(url=url, config=config)
    assert type(store) is kind
    assert store.ids() == []
    store.close()


def test_other_urls_are_for_others(hook):
    assert hook(url="postgresql://x", config={}) is None
