"""How programs are started, and what is said when they cannot be."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys

import pytest

from autopilot.executors import spawn
from autopilot.executors.spawn import NO_ROOM, describe_exit, sentence_for, start

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def read_all(fd):
    text = b""
    while select.select([fd], [], [], 30)[0] and (data := os.read(fd, 65536)):
        text += data
    return text


def answer(script, **more):
    """What a Python script printed, and its exit code."""
    options = {"cwd": "/", "environment": ENVIRONMENT, **more}
    program = start([sys.executable, "-S", "-E", "-c", script], **options)
    try:
        return read_all(program.stdout).decode(), program.wait()
    finally:
        program.close()


def test_a_session_and_group_of_its_own():
    said, code = answer("import os; print(os.getsid(0) == os.getpgrp() == os.getpid(), os.getsid(0))")
    own, session = said.split()
    assert (own, code) == ("True", 0) and int(session) != os.getsid(0)


@pytest.mark.parametrize("text", [None, b"", b"short", b"x" * 3_000_000])
def test_stdin_always_ends_and_is_no_terminal(text, tmp_path):
    script = "import sys; print(sys.stdin.isatty(), len(sys.stdin.buffer.read()))"
    assert answer(script, stdin=text, scratch=str(tmp_path)) == (f"False {len(text or b'')}\n", 0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_ours_is_inherited():
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)
        said, _ = answer("import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))")
    assert said.strip() == "[0, 1, 2, 3]", "3 is the folder that it lists"


def test_environment_and_folder_are_those_given(tmp_path):
    script = "import os; print(os.getcwd(), os.environ)"
    said, _ = answer(script, cwd=str(tmp_path), environment={**ENVIRONMENT, "GIVEN": "yes"})
    assert str(tmp_path) in said and "'GIVEN': 'yes'" in said and "HOME" not in said


def test_the_program_is_found_by_the_given_path(tmp_path):
    tool = tmp_path / "tool-of-this-test"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    program = start([tool.name], cwd="/", environment={"PATH": str(tmp_path)})
    assert read_all(program.stdout) == b"found\n"
    assert program.wait() == 0
    program.close()


def test_ended_leaves_it_to_be_waited_for():
    program = start(["sh", "-c", "exit 7"], cwd="/", environment=ENVIRONMENT)
    select.select([program.pidfd], [], [], 30)
    assert program.ended() and program.process.returncode is None
    assert program.wait() == 7
    assert program.ended()
    program.signal_group(signal.SIGKILL)
    program.close()
    program.close()


def test_somebody_else_waited_for_it():
    program = start(["true"], cwd="/", environment=ENVIRONMENT)
    os.waitpid(program.process.pid, 0)
    assert program.ended()
    program.signal_group(signal.SIGTERM)
    assert program.wait() == 0
    program.close()


def test_without_pidfds_and_waitid(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.delattr(os, "waitid")
    program = start(["sh", "-c", "exit 7"], cwd="/", environment=ENVIRONMENT)
    assert program.pidfd == -1
    read_all(program.stdout)
    while not program.ended():
        pass
    assert program.wait() == 7
    program.close()


def test_without_large_pipes(monkeypatch):
    import fcntl

    monkeypatch.delattr(fcntl, "F_SETPIPE_SZ")
    assert answer("print('said')") == ("said\n", 0)


def fault_of(argv, cwd="/"):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        start(argv, cwd=str(cwd), environment=ENVIRONMENT)
    assert len(os.listdir("/proc/self/fd")) == before, "descriptors were left open"
    return sentence_for(caught.value, argv, str(cwd))


def test_a_program_that_is_not_there():
    message, hint = fault_of(["no-such-program-at-all"])
    assert message == "the program no-such-program-at-all was not found"
    assert "PATH" in hint


def test_a_folder_that_is_not_there(tmp_path):
    assert "folder" in fault_of(["true"], cwd=tmp_path / "missing")[0]


def test_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "no", path)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "stat", refuse)
        message, hint = sentence_for(PermissionError(errno.EACCES, "no"), ["/bin/sh"], str(tmp_path))
    assert message == f"the folder {tmp_path} may not be entered"
    assert "chmod" not in hint


def test_words_need_not_fit_the_locale(tmp_path, monkeypatch):
    """As in the locale C, with Python's UTF-8 mode switched off."""
    folder = tmp_path / "fünf"
    folder.mkdir()
    monkeypatch.setattr(os, "fsencode", lambda text: text if isinstance(text, bytes) else text.encode("ascii"))
    program = start(
        ["/bin/sh", "-c", 'printf %s "$1 $ODD" > out', "sh", "größer"], cwd=str(folder), environment={"ODD": "süß"}
    )
    assert program.wait() == 0
    program.close()
    assert (folder / "out").read_bytes() == "größer süß".encode()


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
        ("#!/bin/sh\n", 0o644, "may not be executed"),
        ("\x7fELF nonsense", 0o755, "neither a program nor a script"),
    ],
)
def test_scripts_that_cannot_run(tmp_path, text, mode, words):
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(mode)
    assert words in fault_of([str(script)])[0]
    assert words in fault_of(["./script"], cwd=tmp_path)[0]


def test_a_command_line_that_is_too_long():
    message, hint = fault_of(["true", "ä" * 70_000])
    assert "140000 bytes" in message and "stdin" in hint


def test_any_other_fault():
    fault = OSError(errno.ENODEV, "whatever")
    assert sentence_for(fault, ["prog"], "/") == (f"prog could not be started: {os.strerror(errno.ENODEV)}", "")


@pytest.mark.parametrize("number", NO_ROOM)
def test_a_machine_without_room(number):
    message, hint = sentence_for(OSError(number, "whatever"), ["prog"], "/")
    assert message == f"prog could not be started: {os.strerror(number)}"
    assert "ulimit -u" in hint


def test_exits_in_words():
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-15) == "ended by SIGTERM"
    assert describe_exit(-99) == "ended by signal 99"


def test_a_group_that_is_not_ours_to_signal(monkeypatch):
    def refuse(*_):
        raise PermissionError

    program = start(["true"], cwd="/", environment=ENVIRONMENT)
    monkeypatch.setattr(spawn.os, "killpg", refuse)
    program.signal_group(signal.SIGTERM)
    program.wait()
    program.close()
