"""The pytest plugin of the conformance kit: nicer assertions, and fake agents. Loaded by pytest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

for _name in ("executors", "attempts", "stores", "store_kit", "store_tasks", "store_claims", "store_endings"):
    pytest.register_assert_rewrite(f"autopilot.testing.{_name}")


@pytest.fixture
def fake_agent(tmp_path: Path) -> Callable[..., str]:
    """Make fake command-line agents: ``fake_agent(mode, done=(…))`` gives the path of a program that behaves as
    ``autopilot.testing.fake_agent.MODES`` says."""
    from autopilot.testing.fake_agent import install

    return lambda mode, done=(): install(tmp_path, mode, done)
