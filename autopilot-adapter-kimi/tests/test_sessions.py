"""Sessions on disk: found again by a retry, and counted."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopilot import Task, Usage
from autopilot.testing.attempts import run_attempt
from autopilot.testing.executors import context_for
from autopilot.testing.strategies import output_lines
from autopilot_adapter_kimi import KimiExecutor, sessions

USED = {"inputOther": 800, "output": 50, "inputCacheRead": 150, "inputCacheCreation": 50}
RECORD = {"type": "usage.record", "agentId": "main", "model": "__kimi_env_model__", "usage": USED}
REQUEST = {"type": "llm.request", "model": "kimi-k2"}
OLDER = {
    "timestamp": 1.0,
    "message": {
        "type": "StatusUpdate",
        "payload": {"token_usage": {"input_other": 800, "output": 50, "input_cache_read": 200}},
    },
}
KEY = {"KIMI_MODEL_API_KEY": "sk-0123456789", "KIMI_MODEL_NAME": "k2"}


def begin(home: Path, workdir: Path, name: str = "session_1", *records: Any) -> Path:
    """A session as the current program leaves it; the file with its records."""
    folder = home / "sessions" / "wd_project_0123" / name
    log = folder / "agents" / "main" / "wire.jsonl"
    log.parent.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"id": name, "cwd": str(workdir)}))
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    return log


def test_a_session_is_found_in_its_own_folder_only(tmp_path: Path) -> None:
    begin(tmp_path, tmp_path / "here")
    assert sessions.find(tmp_path, "session_1", str(tmp_path / "here"))
    assert sessions.find(tmp_path, "session_1", str(tmp_path / "there")) is None
    assert sessions.find(tmp_path, "session_2", str(tmp_path / "here")) is None


@pytest.mark.parametrize("name", ["", "../wd_project_0123/session_1", "*", "a/b", ".", "x\0"])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    begin(tmp_path, tmp_path)
    assert sessions.find(tmp_path, name, str(tmp_path)) is None


def test_a_session_of_the_older_program_is_found_by_its_folders_name(tmp_path: Path) -> None:
    workdir = str(tmp_path / "here")
    folder = tmp_path / "sessions" / hashlib.md5(workdir.encode()).hexdigest() / "182b9f03"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"version": 1}')
    (folder / "wire.jsonl").write_text(json.dumps(OLDER) + "\n" + json.dumps(OLDER) + "\n")
    session = sessions.find(tmp_path, "182b9f03", workdir)
    assert session is not None
    assert sessions.find(tmp_path, "182b9f03", str(tmp_path)) is None
    assert sessions.spent(session, {}) == sessions.Spent(
        usage=Usage(input_tokens=2000, output_tokens=100, cached_tokens=400), calls=2
    )


def test_only_what_came_after_is_counted_with_the_subagents(tmp_path: Path) -> None:
    log = begin(tmp_path, tmp_path, "session_1", RECORD, RECORD)
    session = sessions.find(tmp_path, "session_1", str(tmp_path))
    assert session is not None
    before = sessions.offsets(session)
    with log.open("a") as file:
        file.write(json.dumps(REQUEST) + "\n" + json.dumps({"text": "x" * 200_000, **RECORD}) + "\n")
        file.write(json.dumps(RECORD) + "\n" + '{"type":"usage.record","usage":{"inp')
    helper = log.parent.parent / "helper" / "wire.jsonl"
    helper.parent.mkdir()
    helper.write_text(json.dumps(RECORD) + "\n")
    spent = sessions.spent(session, before)
    assert spent == sessions.Spent(
        usage=Usage(input_tokens=2000, output_tokens=100, cached_tokens=400), calls=2, model="kimi-k2"
    )


def test_the_newest_is_the_only_one_begun_since(tmp_path: Path) -> None:
    now = time.time()
    old = begin(tmp_path, tmp_path, "session_old").parents[2]
    for path in (old, old / "state.json"):
        os.utime(path, (now - 1000, now - 1000))
    assert sessions.newest(tmp_path, str(tmp_path), now) is None
    begin(tmp_path, tmp_path, "session_new")
    begin(tmp_path, tmp_path / "elsewhere", "session_other")
    found = sessions.newest(tmp_path, str(tmp_path), now)
    assert found is not None
    assert found.id == "session_new"
    begin(tmp_path, tmp_path, "session_rival")
    assert sessions.newest(tmp_path, str(tmp_path), now) is None


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    log = begin(tmp_path, tmp_path, "session_1", RECORD)
    (tmp_path / "other").write_text(json.dumps(RECORD) + "\n")
    pipe, link = log.parent.parent / "pipe" / "wire.jsonl", log.parent.parent / "link" / "wire.jsonl"
    for path in (pipe, link):
        path.parent.mkdir()
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "other")
    session = sessions.find(tmp_path, "session_1", str(tmp_path))
    assert session is not None
    assert sessions.spent(session, {}).calls == 1


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(output_lines(RECORD, REQUEST, OLDER), max_size=6))
def test_no_record_breaks_the_count(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    home = tmp_path_factory.mktemp("home")
    log = begin(home, home)
    log.write_text("\n".join(lines), "utf-8", "replace")
    session = sessions.find(home, "session_1", str(home))
    assert session is not None
    spent = sessions.spent(session, {})
    assert (spent.usage is None) is (spent.calls is None)


# ---------------------------------------------------------------------- in an attempt


FAILS = """#!/bin/sh
folder=$KIMI_CODE_HOME/sessions/wd/session_7
mkdir -p $folder/agents/main
printf '{"cwd":"%s"}' "$(pwd)" > $folder/state.json
echo '{"type":"usage.record","usage":{"inputOther":10,"output":5}}' >> $folder/agents/main/wire.jsonl
echo 'error: failed to run prompt: something broke' >&2
echo "$*" > argv
exit 1
"""


def attempt(tmp_path: Path, number: int, session_id: str | None, **options: Any) -> Any:
    program = tmp_path / "kimi"
    program.write_text(FAILS)
    program.chmod(0o755)
    work, run = tmp_path / "work", tmp_path / "runs" / str(number)
    work.mkdir(exist_ok=True)
    run.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **KEY}
    context = context_for(
        tmp_path / f"unused-{number}",
        Task(id="t", title="T"),
        number=number,
        workdir=str(work),
        run_dir=str(run),
        session_id=session_id,
        environment=environment,
    )
    done = run_attempt(KimiExecutor({"program": str(program), "dialect": "current", **options}), context)
    assert done.outcome is not None, done.fault
    return done.outcome, (work / "argv").read_text()


def test_a_failed_run_has_its_session_and_a_retry_goes_on_with_it(tmp_path: Path) -> None:
    first, words = attempt(tmp_path, 1, None)
    assert (first.session_id, first.turns, first.usage.input_tokens) == ("session_7", 1, 10)
    assert "--session" not in words
    third, words = attempt(tmp_path, 3, first.session_id)
    assert "--session session_7" in words
    assert (third.session_id, third.turns, third.usage.input_tokens) == ("session_7", 1, 10)
    assert not (tmp_path / "runs" / "3" / "kimi-home").exists(), "it lives where it was begun"


@pytest.mark.parametrize("why", ["unknown", "off", "gone"])
def test_a_retry_starts_afresh_where_it_must(tmp_path: Path, why: str) -> None:
    if why != "gone":
        attempt(tmp_path, 1, None)
    asked = "session_8" if why == "unknown" else "session_7"
    _, words = attempt(tmp_path, 2, asked, resume=why != "off")
    assert "--session" not in words
    assert (tmp_path / "runs" / "2" / "kimi-home").exists()
