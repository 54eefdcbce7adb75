"""What several crash campaigns share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scenarios import warm_templates


@pytest.fixture(scope="session")
def templates() -> Iterator[dict[str, Path]]:
    """The prepared root of every scenario, by name."""
    with warm_templates() as made:
        yield made
