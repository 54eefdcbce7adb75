from __future__ import annotations

import pytest

from autopilot.errors import AutopilotError
from autopilot.store.filestore import FileStore
from autopilot.system import failpoints
from autopilot.testing.stores import FakeClock, RecordingLog


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def log():
    return RecordingLog()


@pytest.fixture
def root(tmp_path):
    return tmp_path / ".autopilot"


@pytest.fixture
def open_file_store(root, log, clock):
    """Opens the file store again and again, as other processes would."""
    opened = []

    def open_store(**more):
        opened.append(FileStore(str(root), publish=log.publish, clock=clock, durability="process", **more))
        return opened[-1]

    yield open_store
    for store in opened:
        try:
            store.close()
        except AutopilotError:
            pass


@pytest.fixture
def files(open_file_store):
    """The file store."""
    return open_file_store()


@pytest.fixture(autouse=True)
def no_failpoints():
    yield
    failpoints.disarm()
