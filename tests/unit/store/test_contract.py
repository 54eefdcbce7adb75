"""Every store of the core passes the suite that a stranger's store must pass."""

from __future__ import annotations

import pytest

from autopilot.store.filestore import FileStore
from autopilot.store.memory import MemoryRoot, MemoryStore
from autopilot.testing.stores import StoreContract


class TestFileStore(StoreContract):
    durability = "process"
    watch = True

    @pytest.fixture
    def open_store(self, tmp_path, log, clock):
        return lambda: FileStore(
            str(tmp_path / ".autopilot"),
            publish=log.publish,
            clock=clock,
            durability=self.durability,
            watch=self.watch,
        )


class TestFileStoreWithFsync(TestFileStore):
    durability = "full"


class TestFileStoreWithoutInotify(TestFileStore):
    watch = False


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def open_store(self, log, clock):
        root = MemoryRoot()
        return lambda: MemoryStore(publish=log.publish, clock=clock, root=root)
