"""What all tests need of their process."""

from __future__ import annotations

import signal

import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that: programs under test could not be
# interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who asks for no limit of time means tests with limits of their own, too: a campaign takes what it takes."""
    if config.getoption("timeout", None) == 0:
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)
