"""The zoo under a ``CommandExecutor``: what it prints, how it ends, and what that costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autopilot
from tests.campaign import record
from tests.process.zoo import SHAPES, argv_of, living, new_tag, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the zoo is Linux")

GIB = 1 << 30
HOST = Path(__file__).with_name("executor_host.py")
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(autopilot.__file__).parent.parent)}


@pytest.fixture
def zoo(tmp_path):
    """Starts a shape under an executor in a process of its own; whatever lives at the end is killed."""
    tags = []

    class Zoo:
        folder = tmp_path
        run = tmp_path / "run"

        def start(self, name, parse="none", **limits):
            self.tag = new_tag()
            tags.append(self.tag)
            self.run.mkdir()
            argv = argv_of(SHAPES[name], tmp_path, self.tag)
            command = [sys.executable, str(HOST), str(self.run), json.dumps(limits), parse, *argv]
            return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

        def end(self, host):
            said, _ = host.communicate(timeout=240)
            assert host.returncode == 0
            return json.loads(said)

        def ready(self):
            assert wait_until((tmp_path / "ready").exists)

    yield Zoo()
    for tag in tags:
        for pid in living(tag):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("parse", ["none", "lines"])
def test_a_gigabyte_costs_little_memory_and_disk(zoo, parse):
    told = zoo.end(zoo.start("floods_a_gigabyte", parse))
    assert (told["kind"], told["evidence"]["bytes"][0]) == ("succeeded", GIB)
    assert told["rss_mib"] < 48, "runner and host together have 64"
    assert (zoo.run / "stdout.log").stat().st_size < 9 << 20
    assert told["evidence"]["kept"][0] < 1 << 20
    disk = sum(path.stat().st_size for path in zoo.run.iterdir())
    record("T8", f"a gigabyte, parse {parse}", bytes=GIB, memory_mib=told["rss_mib"], disk_bytes=disk)


@pytest.mark.parametrize(
    ("name", "code", "out", "err"),
    [
        ("exits_with_nothing", 0, 0, 0),
        ("reads_stdin", 0, 8, 0),
        ("long_line", 0, 5_000_000, 0),
        ("floods_stderr", 3, 0, 17 * 4096 * 400),
        ("kills_itself", -9, 0, 0),
        ("holds_stdout", 0, 8, 0),
        ("daemon", 0, 0, 0),
        ("orphans", 0, 0, 0),
    ],
)
def test_those_that_end(zoo, name, code, out, err):
    told = zoo.end(zoo.start(name, "lines"))
    assert told["code"] == code
    assert told["evidence"]["bytes"] == [out, err]
    assert told["took"] < 60, "it waited for somebody who was left behind"


def test_a_hang_after_the_result_is_ended_and_the_result_counts(zoo):
    told = zoo.end(zoo.start("result_then_hang", "lines", linger_s=0.2, grace_s=0.3))
    assert (told["kind"], told["code"]) == ("succeeded", -9)
    assert told["evidence"]["final"] and told["evidence"]["lingered"]
    assert living(zoo.tag) == []


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("deaf_daemon_flood", signal.SIGTERM),
        ("ignores_term", signal.SIGINT),
        ("closes_stdout", signal.SIGTERM),
        ("plain", signal.SIGINT),
    ],
)
def test_asked_to_stop_it_is_back_before_the_grace_is_over(zoo, name, number):
    host = zoo.start(name, grace_s=1.0)
    zoo.ready()
    time.sleep(0.2)
    began = time.monotonic()
    host.send_signal(number)
    told = zoo.end(host)
    assert told["evidence"]["stopped"] and told["code"] == -9
    assert told["rss_mib"] < 48
    assert time.monotonic() - began < 60
    assert (zoo.run / "transcript.ndjson").read_text().count('"kind": "ended"') == 1


def test_the_last_words_before_a_stop_are_kept(zoo):
    host = zoo.start("deaf_daemon_flood", grace_s=1.0, output_bytes=1 << 20)
    zoo.ready()
    time.sleep(1.0)
    host.send_signal(signal.SIGTERM)
    told = zoo.end(host)
    assert told["evidence"]["bytes"][0] > 2 << 20
    log = (zoo.run / "stdout.log").read_bytes()
    assert "bytes left out" in log.decode() and len(log) < 2 << 20
