"""Fixtures for the tests of routing."""

from __future__ import annotations

import pytest

from tests.unit.routing.world import World


@pytest.fixture
def world() -> World:
    """A router over an empty history."""
    return World()
