"""Waiting for descriptors, also for high ones."""

from __future__ import annotations

import os
import resource

import pytest

from autopilot.system.readiness import wait_ready


def test_what_can_be_read_or_written_is_told() -> None:
    read, write = os.pipe()
    assert wait_ready([read], timeout=0) == (frozenset(), frozenset())
    assert wait_ready([read], [write]) == (frozenset(), {write})
    os.write(write, b"x")
    assert wait_ready([read], [write]) == ({read}, {write})
    os.close(write)
    os.read(read, 1)
    assert wait_ready([read]) == ({read}, frozenset()), "an end of file can be read"
    os.close(read)


def test_descriptors_beyond_1023_are_no_fault() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"this user may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    read, write = os.pipe()
    try:
        os.dup2(read, 2000)
        os.write(write, b"x")
        assert wait_ready([2000], timeout=0) == ({2000}, frozenset())
    finally:
        for fd in (read, write, 2000):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
