"""The suite that every store must pass.

A store's author subclasses ``StoreContract`` and says how to open the store::

    from autopilot.testing.stores import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path, log, clock):
            return lambda: MyStore(str(tmp_path), publish=log.publish, clock=clock)

``open_store`` gives a new object on the same tasks each time it is called, as another process would have one. A
store that cannot be opened twice overrides the fixture ``store`` instead; the tests with two objects are then
skipped.
"""

from __future__ import annotations

from autopilot.testing.store_claims import ClaimTests
from autopilot.testing.store_endings import EndingTests
from autopilot.testing.store_kit import FakeClock, RecordingLog, bare, draft, gone_owner, result_of, text_of
from autopilot.testing.store_tasks import TaskTests

__all__ = ["FakeClock", "RecordingLog", "StoreContract", "bare", "draft", "gone_owner", "result_of", "text_of"]


class StoreContract(TaskTests, ClaimTests, EndingTests):
    """Subclass it, and override ``open_store`` (or ``store``)."""
