"""Short questions to programs."""

from __future__ import annotations

import os

from autopilot.executors.quick import quick_run
from tests.process.zoo import living, new_tag, wait_until

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def ask(script, **more):
    return quick_run(["sh", "-c", script], environment=ENVIRONMENT, **more)


def test_answers():
    done = ask("echo 1.2.3; echo noise >&2")
    assert (done.code, done.text) == (0, "1.2.3")
    done = ask("echo only this >&2; exit 4")
    assert (done.code, done.text, done.sentence) == (4, "only this", "ended with exit code 4")
    assert ask("cat", stdin=b"given").text == "given"


def test_no_such_program():
    done = quick_run(["no-such-program-at-all"], environment=ENVIRONMENT)
    assert (done.code, done.sentence) == (None, "the program no-such-program-at-all was not found")


def test_a_flood_is_cut():
    assert len(ask("head -c 5000000 /dev/zero | tr '\\0' x").text) == 65536


def test_what_hangs_is_ended_with_all_of_its_group():
    tag = new_tag()
    done = ask(f"trap '' TERM; echo begun; sleep 1000.{tag} & sleep 1000.{tag}; sleep 1000.{tag}", limit_s=0.3)
    assert (done.code, done.text, done.sentence) == (None, "begun", "did not answer within 0.3 s")
    assert wait_until(lambda: living(tag) == [])


def test_what_it_leaves_in_its_group_goes_with_it():
    tag = new_tag()
    assert ask(f"sleep 1000.{tag} & echo answer").text == "answer"
    assert wait_until(lambda: living(tag) == [])
