"""``CommandExecutor``: what an author writes, and what the core makes of it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from autopilot.errors import ConfigError
from autopilot.executors.command import Command, CommandExecutor, Transcript, json_line
from autopilot.executors.contract import AttemptContext, Progress
from autopilot.models import Health, Limits, Outcome, OutcomeKind, Task, Usage

KINDS = OutcomeKind


class Fake(CommandExecutor):
    """Runs what it is told; succeeds with code 0."""

    name = "fake"

    def __init__(self, argv=("true",), **more):
        super().__init__()
        self.line = argv
        self.more = more
        self.seen: Transcript | None = None
        self.code: int | None = None

    def command(self, context):
        return Command(self.line, **self.more)

    def judge(self, exit_code, transcript):
        self.seen, self.code = transcript, exit_code
        kind = KINDS.SUCCEEDED if exit_code == 0 else KINDS.FAILED
        return Outcome(kind=kind, message=transcript.last_line())


class Json(Fake):
    """Understands lines such as ``{"message": "x", "final": true}``."""

    def parse(self, line, stream):
        said = json_line(line)
        if said is None:
            return None
        if "usage" in said:
            said["usage"] = Usage(**said["usage"])
        return Progress(**said)


def python(script):
    return [sys.executable, "-S", "-E", "-c", script]


@pytest.fixture
def attempt(tmp_path):
    """Runs an executor; what it reported is in ``attempt.reports``."""
    work, run = tmp_path / "work", tmp_path / "run"
    work.mkdir()
    run.mkdir()

    def do(executor, *, environment=None, prompt="", **limits):
        context = AttemptContext(
            task=Task(id="t", title="T"),
            number=1,
            prompt=prompt,
            workdir=str(work),
            run_dir=str(run),
            environment={"PATH": os.environ["PATH"], **(environment or {})},
            limits=Limits(**limits),
            report=do.reports.append,
        )
        return executor.run(context)

    do.reports = []
    do.run = run
    do.work = work
    return do


def notes(run):
    return [json.loads(line) for line in (run / "transcript.ndjson").read_text().splitlines()]


# ---------------------------------------------------------------- command


@pytest.mark.parametrize("argv", ["true", [], [""], ["a", 1], b"x", ()])
def test_an_argv_is_a_list_of_words(argv):
    with pytest.raises(ValueError, match="argv"):
        Command(argv)


def test_stdin_is_utf8():
    assert Command(["x"], stdin="grüße").stdin_bytes == "grüße".encode()
    assert Command(["x"], stdin=b"\xff").stdin_bytes == b"\xff"
    assert Command(["x"]).stdin_bytes is None
    assert Command(["x"], stdin="lone \ud800").stdin_bytes == b"lone ?"


def test_a_program_succeeds(attempt):
    fake = Fake(
        ["sh", "-c", "echo out; echo err >&2; pwd; echo $EXTRA; cat"], env={"EXTRA": "yes"}, stdin="prompt"
    )
    outcome = attempt(fake)
    assert (outcome.kind, outcome.message, outcome.exit_code) == (KINDS.SUCCEEDED, "err", 0)
    assert fake.seen.stdout == f"out\n{attempt.work}\nyes\nprompt"
    assert (attempt.run / "stdout.log").read_text() == fake.seen.stdout
    assert (attempt.run / "stderr.log").read_text() == "err\n"
    kinds = [note["kind"] for note in notes(attempt.run)]
    assert kinds == ["started", "ended"]
    assert notes(attempt.run)[0]["argv"][:2] == ["sh", "-c"]


def test_a_folder_of_its_own(attempt, tmp_path):
    fake = Fake(["pwd"], cwd=str(tmp_path))
    attempt(fake)
    assert fake.seen.stdout == f"{tmp_path}\n"


def test_only_the_given_environment_is_seen(attempt, monkeypatch):
    monkeypatch.setenv("NOT_FOR_PROGRAMS", "1")
    fake = Fake(["env"])
    attempt(fake)
    assert "NOT_FOR_PROGRAMS" not in fake.seen.stdout


def test_secrets_are_nowhere(attempt):
    secret = "correct-horse-battery"

    class Tells(Json):
        def judge(self, exit_code, transcript):
            said = {"list": [secret, 1], "stdout": transcript.stdout}
            return Outcome(kind=KINDS.FAILED, message=f"it said {secret}", hint=secret, evidence=said)

    script = "import os; s = os.environ['API_KEY']; print('{\"message\": \"' + s + '\"}'); os.write(2, s.encode())"
    tells = Tells(python(script), env={})
    outcome = attempt(tells, environment={"API_KEY": secret})
    for path in attempt.run.iterdir():
        assert secret not in path.read_text(), path.name
        assert "[redacted:API_KEY:" in path.read_text() or path.name == "transcript.ndjson"
    assert secret not in repr(outcome) and secret not in repr(attempt.reports)
    assert outcome.message.startswith("it said [redacted:API_KEY:")
    assert outcome.evidence["list"][1] == 1


# ---------------------------------------------------------------- not started


def test_a_missing_program_is_a_matter_of_configuration(attempt):
    outcome = attempt(Fake(["no-such-program-at-all"]))
    assert (outcome.kind, outcome.exit_code) == (KINDS.CONFIG_ERROR, None)
    assert "not found" in outcome.message and "PATH" in outcome.hint


def test_the_author_knows_how_to_install_it(attempt):
    class Installable(Fake):
        install_hint = "npm install -g fake"

    assert attempt(Installable(["no-such-program-at-all"])).hint == "npm install -g fake"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the whole line has a limit")
def test_too_long_a_command_line(attempt):
    assert attempt(Fake(["true", "x" * 131_071])).kind is KINDS.SUCCEEDED
    outcome = attempt(Fake(["true", "x" * 131_072]))
    assert outcome.kind is KINDS.EXECUTOR_BROKEN
    assert "too long" in outcome.message and outcome.evidence == {"errno": "E2BIG"}


def test_a_program_that_may_not_run(attempt):
    (attempt.work / "tool").write_text("#!/bin/sh\n")
    outcome = attempt(Fake(["./tool"]))
    assert outcome.kind is KINDS.EXECUTOR_BROKEN and "chmod +x" in outcome.hint


def test_a_nul_in_the_command_line(attempt):
    outcome = attempt(Fake(["true", "a\0b"]))
    assert outcome.kind is KINDS.EXECUTOR_BROKEN and "null" in outcome.message


def test_faults_of_the_author(attempt):
    class Bad(Fake):
        def command(self, context):
            raise ZeroDivisionError("oops")

    class Odd(Fake):
        def command(self, context):
            return ["true"]

    class Told(Fake):
        def command(self, context):
            raise ConfigError("no model", hint="set model:")

    bad, odd, told = attempt(Bad()), attempt(Odd()), attempt(Told())
    assert bad.kind is KINDS.EXECUTOR_BROKEN and "ZeroDivisionError: oops" in bad.message
    assert "test_command" in bad.evidence["traceback"]
    assert odd.kind is KINDS.EXECUTOR_BROKEN and "list where Command is due" in odd.message
    assert (told.kind, told.message, told.hint) == (KINDS.CONFIG_ERROR, "no model", "set model:")


# ---------------------------------------------------------------- parse


SAYS = """\
import json, sys
def say(**said): print(json.dumps(said), flush=True)
say(message="one", session_id="s1", model="m")
print("noise")
say(cost_usd=0.25, turns=2, usage={"input_tokens": 10, "output_tokens": 3})
say(cost_usd=0.5)
say(final=True)
sys.stdout.write('{"message": "no newline"}')
"""


def test_progress_is_added_up_and_reported(attempt):
    fake = Json(python(SAYS))
    outcome = attempt(fake)
    assert outcome.kind is KINDS.SUCCEEDED
    assert (outcome.cost_usd, outcome.turns, outcome.session_id, outcome.model) == (0.5, 2, "s1", "m")
    assert outcome.usage == Usage(input_tokens=10, output_tokens=3)
    assert fake.seen.final and fake.seen.totals.message == "no newline"
    assert [record.get("message") for record in fake.seen.records] == ["one", None, None, None, "no newline"]
    assert any(report.final for report in attempt.reports)
    assert {report.message for report in attempt.reports} >= {"no newline"}
    assert [note.get("message") for note in notes(attempt.run)][1] == "one"


def test_what_the_author_says_counts_more(attempt):
    class Knows(Json):
        def judge(self, exit_code, transcript):
            return Outcome(kind=KINDS.SUCCEEDED, cost_usd=9.0, session_id="mine", evidence={"own": 1})

    outcome = attempt(Knows(python(SAYS)))
    assert (outcome.cost_usd, outcome.session_id, outcome.turns) == (9.0, "mine", 2)
    assert outcome.evidence == {"own": 1}


def test_a_parser_that_fails_does_not_stop_the_program(attempt):
    class Broken(Fake):
        def parse(self, line, stream):
            if line == "bad":
                raise KeyError("type")
            return Progress(message=line)

    broken = Broken(["sh", "-c", "echo good; echo bad; echo bad; echo fine"])
    outcome = attempt(broken)
    assert outcome.kind is KINDS.EXECUTOR_BROKEN
    assert "failed 2 times" in outcome.message and "KeyError: 'type'" in outcome.message
    assert (outcome.evidence["judged"], outcome.evidence["parse_errors"]) == ("succeeded", 2)
    assert broken.seen.stdout == "good\nbad\nbad\nfine\n" and broken.seen.parse_errors == 2
    errors = [note for note in notes(attempt.run) if note["kind"] == "parse-error"]
    assert len(errors) == 1 and errors[0]["line"] == "bad" and "test_command" in errors[0]["error"]
    assert broken.seen.totals.message == "fine"


def test_a_parser_that_always_fails_is_asked_no_more(attempt):
    class Broken(Fake):
        def parse(self, line, stream):
            return line

    broken = Broken(["sh", "-c", "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done"])
    outcome = attempt(broken)
    assert outcome.kind is KINDS.EXECUTOR_BROKEN and "str where Progress or None is due" in outcome.message
    assert broken.seen.parse_errors == 100


def test_a_judge_that_fails(attempt):
    class Raises(Fake):
        def judge(self, exit_code, transcript):
            raise RuntimeError("undecided")

    class Odd(Fake):
        def judge(self, exit_code, transcript):
            return True

    outcome = attempt(Raises(["sh", "-c", "exit 3"]))
    assert (outcome.kind, outcome.exit_code) == (KINDS.EXECUTOR_BROKEN, 3)
    assert "undecided" in outcome.message
    assert "bool where Outcome is due" in attempt(Odd()).message


def test_output_is_a_sign_of_life_without_a_parser(attempt):
    fake = Fake(python("import time\nfor _ in range(13): print('x', flush=True); time.sleep(0.1)"))
    attempt(fake)
    assert len(attempt.reports) >= 2 and set(attempt.reports) == {Progress()}


def test_many_signs_of_life_become_few(attempt):
    lines = "import json\nfor n in range(20000): print(json.dumps({'turns': n, 'message': str(n)}))"
    fake = Json(python(lines))
    outcome = attempt(fake)
    assert outcome.turns == 19999
    assert len(attempt.reports) < 2000
    assert attempt.reports[-1].turns == 19999
    assert len(fake.seen.records) > 1000 and fake.seen.records[-1]["turns"] == 19999
    assert (attempt.run / "transcript.ndjson").stat().st_size < 3 * 1024 * 1024
    assert notes(attempt.run)[-1]["kind"] == "ended"


def test_what_waits_is_reported_without_another_word(attempt):
    script = (
        "import json, time\nfor n in range(5): print(json.dumps({'turns': n}), flush=True); time.sleep(0.02)\n"
    )
    fake = Json(python(script + "time.sleep(2)"))
    heard = []
    attempt.reports = heard_at = _Times(heard)
    attempt(fake)
    last = [when for when, report in zip(heard_at.times, heard, strict=True) if report.turns == 4]
    assert last and time.monotonic() - last[0] > 1, "it did not wait for the end of the program"


class _Times:
    """A list that notes when things were appended to it."""

    def __init__(self, reports):
        self.reports = reports
        self.times = []

    def append(self, report):
        self.reports.append(report)
        self.times.append(time.monotonic())


# ---------------------------------------------------------------- the end


def test_a_background_child_that_holds_stdout_keeps_nobody(attempt):
    fake = Fake(["sh", "-c", "sleep 60 & echo $!; exit 0"])
    outcome = attempt(fake)
    assert outcome.kind is KINDS.SUCCEEDED
    assert fake.seen.duration_s < 30
    os.kill(int(fake.seen.stdout), signal.SIGKILL)


def test_a_program_that_closes_its_output_is_waited_for(attempt):
    outcome = attempt(Fake(python("import os,time; os.close(1); os.close(2); time.sleep(0.5); os._exit(4)")))
    assert outcome.exit_code == 4


def test_one_that_lingers_after_its_last_word_is_ended_and_its_word_counts(attempt):
    script = 'import time; print(\'{"final": true, "cost_usd": 1.5}\', flush=True); time.sleep(600)'
    fake = Json(python(script))
    outcome = attempt(fake, linger_s=0.3, grace_s=5.0)
    assert (outcome.kind, outcome.exit_code, outcome.cost_usd) == (KINDS.SUCCEEDED, -signal.SIGTERM, 1.5)
    assert fake.code == 0 and fake.seen.lingered
    assert outcome.evidence["lingered"] is True


def test_one_that_lingers_and_does_not_listen(attempt):
    script = "import signal,time; signal.signal(15, signal.SIG_IGN); print('{\"final\": true}', flush=True)\n"
    fake = Json(python(script + "while True: time.sleep(60)"))
    outcome = attempt(fake, linger_s=0.1, grace_s=0.2)
    assert (outcome.kind, outcome.exit_code) == (KINDS.SUCCEEDED, -signal.SIGKILL)


def test_asked_to_stop_it_hears_the_last_words(attempt):
    script = "import os,signal,sys,time\n"
    script += 'def bye(*_): print(\'{"cost_usd": 2.0, "final": true}\', flush=True); sys.exit(143)\n'
    # Not by print: a handler that comes while it flushes may not print.
    script += 'signal.signal(15, bye); os.write(1, b\'{"message": "up"}\\n\'); time.sleep(600)'
    fake = Json(python(script))

    def ask_to_stop():
        while not attempt.reports:
            time.sleep(0.01)
        pid = notes(attempt.run)[0]["pid"]
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(pid, signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=ask_to_stop).start()
    outcome = attempt(fake, grace_s=60.0)
    assert signal.getsignal(signal.SIGTERM) is before
    assert (outcome.cost_usd, outcome.exit_code) == (2.0, 143)
    assert fake.seen.stopped and outcome.evidence["stopped"] is True


def test_asked_to_stop_it_does_not_wait_for_the_deaf(attempt):
    script = 'import signal,time; signal.signal(15, signal.SIG_IGN); print(\'{"message": "up"}\', flush=True)\n'
    fake = Json(python(script + "while True: print('x' * 5000); time.sleep(0.01)"))

    def ask_to_stop():
        while not attempt.reports:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask_to_stop).start()
    outcome = attempt(fake, grace_s=0.5)
    assert (outcome.kind, outcome.exit_code) == (KINDS.FAILED, -signal.SIGKILL)
    assert fake.seen.stopped and (attempt.run / "stdout.log").read_text().startswith('{"message": "up"}')


def test_outside_the_main_thread_it_runs_as_well(attempt):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(attempt(Fake(["sh", "-c", "exit 5"]))))
    thread.start()
    thread.join()
    assert outcomes[0].exit_code == 5


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM, errno.ENOSPC])
def test_no_room_for_the_program_is_the_machines_fault(attempt, monkeypatch, number):
    def refuse(*args, **more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    outcome = attempt(Fake())
    assert (outcome.kind, outcome.host_fault) == (KINDS.UNAVAILABLE, True)
    assert os.strerror(number) in outcome.message and "ulimit" in outcome.hint


def test_a_folder_that_cannot_be_entered_is_no_fault_of_the_executor(attempt, monkeypatch):
    really = os.stat

    def refuse(path, *more, **named):
        if os.fsdecode(path).endswith("closed/."):
            raise PermissionError(errno.EACCES, "no", path)
        return really(path, *more, **named)

    def closed(*args, **more):
        raise PermissionError(errno.EACCES, "no", "/closed")

    monkeypatch.setattr(subprocess, "Popen", closed)
    monkeypatch.setattr(os, "stat", refuse)
    outcome = attempt(Fake(cwd="/closed"))
    assert (outcome.kind, outcome.message) == (KINDS.CONFIG_ERROR, "the folder /closed may not be entered")


def test_without_pidfds(attempt, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    fake = Fake(["sh", "-c", "sleep 0.3; echo said; exit 6"])
    assert attempt(fake).exit_code == 6
    assert fake.seen.stdout == "said\n"


def test_a_full_disk_costs_only_the_files(attempt, monkeypatch):
    from autopilot.executors import recorder
    from autopilot.system import failpoints

    def full(*_):
        raise OSError(28, "No space left on device")

    class Disk:
        def __getattr__(self, name):
            return full if name == "write" else getattr(os, name)

    monkeypatch.setattr(failpoints, "os", Disk())
    monkeypatch.setattr(recorder, "os", Disk())
    fake = Json(["sh", "-c", 'echo \'{"message": "said"}\''])
    outcome = attempt(fake)
    assert outcome.kind is KINDS.SUCCEEDED
    assert outcome.evidence["output_incomplete"] == {"stdout": "No space left on device"}
    assert fake.seen.records == ({"message": "said"},)


def test_a_run_folder_that_is_gone(attempt):
    import shutil

    shutil.rmtree(attempt.run)
    outcome = attempt(Json(["sh", "-c", "echo said"]))
    assert outcome.kind is KINDS.SUCCEEDED and "stdout" in outcome.evidence["output_incomplete"]


# ---------------------------------------------------------------- probe


def probing(tmp_path, monkeypatch, text):
    tool = tmp_path / "tool-of-this-test"
    tool.write_text(text)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    class Probing(Fake):
        program = tool.name

    return Probing


def test_a_probe_finds_the_version(tmp_path, monkeypatch):
    executor = probing(tmp_path, monkeypatch, "#!/bin/sh\necho tool-of-this-test v1.20.3-beta '(x)'\n")()
    health = executor.probe()
    assert (health.ok, health.version, health.reason) == (True, "1.20.3-beta", "tool-of-this-test 1.20.3-beta")


def test_a_probe_of_a_program_that_fails(tmp_path, monkeypatch):
    health = probing(tmp_path, monkeypatch, "#!/bin/sh\nexit 3\n")().probe()
    assert not health.ok and "ended with exit code 3" in health.reason and health.hint


def test_a_probe_that_understands_more_than_a_version(tmp_path, monkeypatch):
    class Understands(probing(tmp_path, monkeypatch, "#!/bin/sh\necho no longer maintained\n")):
        def version_says(self, text):
            return Health(ok="no longer" not in text, reason=text, dialect="old")

    health = Understands().probe()
    assert (health.ok, health.reason, health.dialect) == (False, "no longer maintained", "old")


def test_a_probe_waits_as_long_as_the_program_may_take(tmp_path, monkeypatch):
    kind = probing(tmp_path, monkeypatch, "#!/bin/sh\nexec sleep 60\n")
    kind.version_limit_s = 0.1
    health = kind().probe()
    assert not health.ok and "within 0.1 s" in health.reason


def test_a_probe_without_a_version(tmp_path, monkeypatch):
    kind = probing(tmp_path, monkeypatch, "#!/bin/sh\nexit 3\n")
    kind.version_arguments = ()
    assert kind().probe().ok
    silent = probing(tmp_path, monkeypatch, "#!/bin/sh\n")().probe()
    assert (silent.ok, silent.version) == (True, "")


def test_a_probe_of_nothing():
    assert Fake().probe().ok

    class Missing(Fake):
        program = "no-such-program-at-all"

    health = Missing().probe()
    assert not health.ok and "was not found on PATH" in health.reason and health.hint
