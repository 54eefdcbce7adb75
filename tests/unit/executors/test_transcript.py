"""What is left to judge by."""

from __future__ import annotations

import json

import pytest

from autopilot.executors.contract import Progress
from autopilot.executors.transcript import Records, Transcript, json_line, merge_progress
from autopilot.models import Usage


@pytest.mark.parametrize(
    "line", ["", "plain", "[1, 2]", '"text"', "{broken", "{" * 100_000, "null", '{"a":' * 5000]
)
def test_what_is_no_json_object(line):
    assert json_line(line) is None


def test_json_objects():
    assert json_line(' {"a": [1]} ') == {"a": [1]}


def test_progress_adds_up():
    first = Progress(message="one", cost_usd=0.1, session_id="s", final=True)
    second = Progress(message=None, cost_usd=0.3, usage=Usage(input_tokens=5))
    assert merge_progress(first, second) == Progress(
        message="one", cost_usd=0.3, session_id="s", usage=Usage(input_tokens=5), final=True
    )
    assert merge_progress(second, first).message == "one"


def test_zero_is_a_word():
    assert merge_progress(Progress(cost_usd=0.5, turns=3), Progress(cost_usd=0.0, turns=0)) == Progress(
        cost_usd=0.0, turns=0
    )


def test_the_last_fitting_record():
    transcript = Transcript(records=({"type": "a", "n": 1}, {"type": "b"}, {"type": "a", "n": 2}))
    assert transcript.last(type="a") == {"type": "a", "n": 2}
    assert transcript.last(type="a", n=1) == {"type": "a", "n": 1}
    assert transcript.last(type="c") is None
    assert transcript.last() == {"type": "a", "n": 2}
    assert Transcript().last() is None


def test_the_last_line():
    transcript = Transcript(stdout="one\ntwo\n\n  \n", stderr="")
    assert transcript.last_line("stdout") == "two"
    assert transcript.last_line() == ""
    assert Transcript(stderr="only").last_line() == "only"


def test_records_keep_the_first_and_the_latest():
    records = Records(limit_bytes=1000)
    lines = [json.dumps({"n": number, "fill": "x" * 30}) for number in range(200)]
    for line in lines:
        records.add(line)
    records.add("no json")
    kept = [record["n"] for record in records.all()]
    assert kept[0] == 0 and kept[-1] == 199
    assert kept == sorted(set(kept))
    assert sum(len(lines[number]) for number in kept) <= 1000
    assert len(kept) > 10


def test_a_huge_last_record_is_kept():
    records = Records(limit_bytes=100)
    records.add('{"first": 1}')
    records.add(json.dumps({"result": "x" * 5000}))
    assert [list(record) for record in records.all()] == [["first"], ["result"]]
    records.add('{"later": 1}')
    assert [list(record) for record in records.all()] == [["first"], ["later"]]
