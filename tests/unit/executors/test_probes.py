"""Probes never raise, never hang, and are remembered as long as they count."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from autopilot.errors import SetupError
from autopilot.executors import probes
from autopilot.executors.probes import ProbeCache, probe, probe_all
from autopilot.models import Health


class Clock:
    def __init__(self):
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        return self.wall

    def monotonic(self):
        return 0.0


class Fake:
    program = ""

    def __init__(self, answer, name="fake", options=None):
        self.name = name
        self.options = options or {}
        self.answer = answer
        self.asked = 0

    def probe(self):
        self.asked += 1
        return self.answer() if callable(self.answer) else self.answer


GOOD = Health(ok=True, reason="fake 1.2", version="1.2")
BAD = Health(ok=False, reason="gone", hint="install it")


def raise_(fault):
    raise fault


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(tmp_path, clock):
    return ProbeCache(str(tmp_path / "cache" / "probes.json"), clock=clock)


def test_what_probes_say():
    assert probe(Fake(GOOD)) == GOOD
    assert probe(Fake(lambda: raise_(ValueError("odd")))).reason == "the probe of fake failed: ValueError: odd"
    assert not probe(Fake(lambda: sys.exit(3))).ok
    told = probe(Fake(lambda: raise_(SetupError("not logged in", hint="log in"))))
    assert (told.ok, told.reason, told.hint) == (False, "not logged in", "log in")
    assert probe(Fake("fine")).reason == "the probe of fake returned str, not Health"


def test_a_probe_that_hangs_costs_its_limit_once():
    release = threading.Event()
    fakes = [Fake(release.wait, name=f"f{number}") for number in range(3)] + [Fake(GOOD, name="quick")]
    try:
        healths = probe_all(fakes, limit_s=0.2)
    finally:
        release.set()
    assert healths["quick"] == GOOD
    assert all(not healths[f"f{number}"].ok for number in range(3))
    assert "did not answer within 0.2 s" in healths["f0"].reason


def test_no_thread_left(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda _: raise_(RuntimeError("can't start new thread")))
    assert "could not be probed" in probe(Fake(GOOD)).reason


def test_answers_are_remembered(cache, clock, tmp_path):
    fake = Fake(GOOD)
    first = cache.get(fake)
    assert (first.ok, first.version, first.checked_at) == (True, "1.2", clock.wall)
    assert cache.get(fake) == first and fake.asked == 1
    another = ProbeCache(str(tmp_path / "cache" / "probes.json"), clock=clock)
    assert another.get(fake) == first and fake.asked == 1
    assert cache.get(fake, fresh=True) == first and fake.asked == 2


@pytest.mark.parametrize(("answer", "stays", "over"), [(GOOD, 500, 700), (BAD, 20, 40)])
def test_they_age(cache, clock, answer, stays, over):
    fake = Fake(answer)
    begun = clock.wall
    cache.get(fake)
    clock.wall = begun + timedelta(seconds=stays)
    cache.get(fake)
    assert fake.asked == 1
    clock.wall = begun + timedelta(seconds=over)
    cache.get(fake)
    assert fake.asked == 2


def test_a_clock_that_was_set_back_makes_them_worthless(cache, clock):
    fake = Fake(GOOD)
    cache.get(fake)
    clock.wall -= timedelta(days=3)
    cache.get(fake)
    assert fake.asked == 2


def test_another_program_options_or_path_is_another_question(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    fake = Fake(GOOD)
    fake.program = "agent-of-this-test"
    cache.get(fake)
    cache.get(fake)
    assert fake.asked == 1
    agent = tmp_path / "agent-of-this-test"
    agent.write_text("#!/bin/sh\n")
    agent.chmod(0o755)
    cache.get(fake)
    assert fake.asked == 2
    os.utime(agent, (1, 1))
    cache.get(fake)
    assert fake.asked == 3
    fake.options = {"model": "x"}
    cache.get(fake)
    assert fake.asked == 4
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    cache.get(fake)
    assert fake.asked == 5
    fake.set_env = {"AGENT_HOME": "/elsewhere"}
    cache.get(fake)
    assert fake.asked == 6


def test_forgetting_one(cache):
    one, two = Fake(GOOD, "one"), Fake(GOOD, "two")
    assert cache.get_all([one, two]).keys() == {"one", "two"}
    cache.forget("one")
    cache.forget("never seen")
    cache.get_all([one, two])
    assert (one.asked, two.asked) == (2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{broken",
        "{" * 9999,
        '{"fake": null}',
        '{"fake": {"stamp": 1}}',
        '{"fake": {"health": {"ok": 1}}}',
    ],
)
def test_a_damaged_file_is_no_file(cache, tmp_path, text):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "probes.json").write_text(text)
    fake = Fake(GOOD)
    assert cache.get(fake).ok and fake.asked == 1
    assert json.loads((tmp_path / "cache" / "probes.json").read_text())["fake"]["health"]["ok"]


def test_a_disk_that_refuses_is_no_trouble(clock, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    cache = ProbeCache(str(tmp_path / "file" / "probes.json"), clock=clock)
    fake = Fake(GOOD)
    assert cache.get(fake).ok and cache.get(fake).ok
    assert fake.asked == 2


def test_an_executor_of_no_file(cache, monkeypatch):
    monkeypatch.setattr(probes.os, "stat", lambda _: raise_(FileNotFoundError()))
    assert cache.get(Fake(GOOD)).ok
