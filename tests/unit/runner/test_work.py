"""What the parts of an attempt share."""

from __future__ import annotations

import types

import pytest

from autopilot.models import Limits
from autopilot.runner.work import Work
from autopilot.system.clock import SystemClock
from autopilot.system.redact import Redactor


def work_in(folder, *, cancelled_by=None, terminated=False) -> Work:
    return Work(
        spec=types.SimpleNamespace(run_dir=str(folder), limits=Limits(output_bytes=100_000)),
        keeper=types.SimpleNamespace(cancelled_by=cancelled_by),
        watcher=None,
        wakeup=types.SimpleNamespace(terminated=terminated),
        clock=SystemClock(),
        redactor=Redactor({"API_TOKEN": "abcdefgh12345678"}),
        environment={},
    )


@pytest.mark.parametrize("cancelled_by", [None, "ada"])
@pytest.mark.parametrize("terminated", [False, True])
def test_a_cancel_and_a_signal_interrupt_it(tmp_path, cancelled_by, terminated):
    work = work_in(tmp_path, cancelled_by=cancelled_by, terminated=terminated)
    assert work.interrupted() is (cancelled_by is not None or terminated)


def test_what_is_printed_goes_into_the_run_folder_without_secrets_and_within_bounds(tmp_path):
    sink = work_in(tmp_path).sink("verify-1.log")
    sink.write(b"abcdefgh12345678\n" + b"flood " * 50_000)
    sink.close()
    assert (tmp_path / "verify-1.log").read_text().startswith("[redacted:API_TOKEN:")
    assert (tmp_path / "verify-1.log").stat().st_size < 110_000
