"""A command-line agent that misbehaves in documented ways. Standard library only: it runs as a program of its own.

``install`` writes a small program that runs this file in one of the ``MODES``. All modes read their standard input
to its end first, unless they say otherwise, and note in ``told.json`` in their working folder what they were
given.
The lines of ``done`` are what the agent prints when it has succeeded, in the dialect of the executor under test.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["MARK", "MODES", "TOLD", "WORK", "install", "install_replay"]

TOLD = "told.json"
WORK = "fake-agent-was-here.txt"
MARK = "a9f3-mark"
"""Prompts of the contract hold this word, so that it can be looked for."""

MEBIBYTE = 1024 * 1024
FLOOD_MIB = 32
FOR_EVER_S = 600


def install(folder: Path, mode: str, done: Sequence[str] = ()) -> str:
    """Write the program for one mode; its path. ``done``: the lines that say success."""
    if mode not in MODES:
        raise ValueError(f"no mode {mode!r}; there are: {', '.join(MODES)}")
    place = folder / f"fake-agent-{mode}"
    place.mkdir(parents=True, exist_ok=True)
    says = place / "done.txt"
    says.write_text("".join(f"{line}\n" for line in done))
    program = place / "agent"
    words = [sys.executable, "-S", "-E", __file__, mode, str(says)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    program.chmod(0o755)
    return str(program)


def install_replay(folder: Path, stdout: Path, stderr: Path, exit_code: int) -> str:
    """Write a program that repeats a recorded run with its end (negative: a signal); its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    end = f"kill -{-exit_code} $$; sleep 5" if exit_code < 0 else f"exit {exit_code}"
    words = [shlex.quote(str(path)) for path in (stdout, stderr)]
    program.write_text(f"#!/bin/sh\ncat >/dev/null\ncat {words[0]}\ncat {words[1]} >&2\n{end}\n")
    program.chmod(0o755)
    return str(program)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Agent:
    """One run of the fake agent."""

    def __init__(self, says: str, argv: list[str]) -> None:
        self._done = Path(says).read_text()
        self._argv = argv

    def take(self) -> None:
        """Read what was given, and note it."""
        given = sys.stdin.buffer.read()
        told = {
            "argv": self._argv,
            "stdin": given.decode("utf-8", "replace"),
            "environ": dict(os.environ),
            "cwd": os.getcwd(),
            "stdin_is_terminal": sys.stdin.isatty(),
        }
        Path(TOLD).write_text(json.dumps(told))

    def work(self) -> None:
        """Leave a trace of work."""
        Path(WORK).write_text("work\n")

    def finish(self, code: int = 0) -> int:
        """Say success in the executor's dialect."""
        sys.stdout.write(self._done)
        sys.stdout.flush()
        return code

    # ---------------------------------------------------------------- modes

    def works(self) -> int:
        """Does some work, says so, and exits with 0."""
        self.take()
        self.work()
        return self.finish()

    def slow(self) -> int:
        """Works, with a line every tenth of a second for a second."""
        self.take()
        for step in range(10):
            _say(f"step {step}")
            time.sleep(0.1)
        self.work()
        return self.finish()

    def silent(self) -> int:
        """Exits with 0 and has neither said nor done anything."""
        return 0

    def chatty(self) -> int:
        """Talks, does nothing, exits with 0 without a closing word."""
        self.take()
        _say("I am thinking about it.")
        _say("It is a fine day.")
        return 0

    def cut(self) -> int:
        """Exits with 0 in the middle of its closing word: the stream was cut."""
        self.take()
        sys.stdout.write(self._done.rstrip("\n")[: max(1, len(self._done) // 2)])
        sys.stdout.flush()
        return 0

    def fails(self) -> int:
        """Says on stderr what went wrong and exits with 1."""
        self.take()
        sys.stderr.write("error: the disk of the model is on fire\n")
        return 1

    def fails_after_done(self) -> int:
        """Says success, then exits with 3."""
        self.take()
        return self.finish(3)

    def killed(self) -> int:
        """Is killed by SIGKILL in the middle of its work."""
        self.take()
        _say("working")
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def terminated(self) -> int:
        """Is ended by SIGTERM in the middle of its work."""
        self.take()
        _say("working")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(FOR_EVER_S)
        return 0

    def aborts(self) -> int:
        """Crashes with SIGABRT and a stack trace on stderr."""
        self.take()
        sys.stderr.write("fatal error: unexpected signal\n  at main.go:17\n")
        sys.stderr.flush()
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGABRT)
        return 0

    def lingers(self) -> int:
        """Works, says success, and never exits."""
        self.take()
        self.work()
        self.finish()
        time.sleep(FOR_EVER_S)
        return 0

    def hangs(self) -> int:
        """Says nothing and never exits; ignores SIGTERM and SIGINT."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.take()
        time.sleep(FOR_EVER_S)
        return 0

    def leaves_child(self) -> int:
        """Works and exits with 0, while a child in the background holds its stdout and stderr."""
        self.take()
        self.work()
        subprocess.Popen(["sleep", str(FOR_EVER_S)], stdin=subprocess.DEVNULL)
        return self.finish()

    def forks_away(self) -> int:
        """Works and exits with 0, and leaves a daemon in a session of its own, with an empty environment."""
        self.take()
        self.work()
        subprocess.Popen(
            ["sh", "-c", f"(exec env -i sleep {FOR_EVER_S}) & exit 0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).wait()
        return self.finish()

    def floods(self) -> int:
        """Prints 32 MiB of lines, then works and says success."""
        self.take()
        line = b"all work and no play makes the log a dull file\n" * 1024
        for _ in range(FLOOD_MIB * MEBIBYTE // len(line)):
            sys.stdout.buffer.write(line)
        self.work()
        return self.finish()

    def floods_stderr(self) -> int:
        """Prints 32 MiB on stderr, then works and says success."""
        self.take()
        line = b"warning: something is deprecated\n" * 1024
        for _ in range(FLOOD_MIB * MEBIBYTE // len(line)):
            sys.stderr.buffer.write(line)
        self.work()
        return self.finish()

    def long_line(self) -> int:
        """Prints one line of 8 MiB, then works and says success."""
        self.take()
        sys.stdout.write("x" * (8 * MEBIBYTE) + "\n")
        self.work()
        return self.finish()

    def binary(self) -> int:
        """Prints bytes that are no text, then works and says success."""
        self.take()
        sys.stdout.buffer.write(bytes(range(256)) * 16 + b"\n\xff\xfe\x00\xc3\x28\xed\xa0\x80\n")
        self.work()
        return self.finish()

    def escapes(self) -> int:
        """Prints terminal escapes: colours, a window title, a clipboard write, reversed text."""
        self.take()
        _say("\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;aGVsbG8=\x07 \u202etxet\u202c \u2028 \r\x1b[2K")
        self.work()
        return self.finish()

    def odd_json(self) -> int:
        """Prints JSON that nobody expects, then works and says success."""
        self.take()
        odd = [
            "{}",
            "null",
            "[]",
            "123",
            '"text"',
            "true",
            '{"type": null}',
            '{"type": {"a": [1, {}]}}',
            '{"type": 7}',
        ]
        odd += ["[" * 5000, "{" * 5000, '{"type":"result"', '{"usage": "many", "message": 5, "content": {"x": 1}}']
        odd += ['{"type": "result", "result": {"deep": [[[[]]]]}, "usage": null}'] * ("result" not in self._done)
        for line in odd:
            _say(line)
        self.work()
        return self.finish()

    def tells_secrets(self) -> int:
        """Prints every variable that looks like a secret by its name, and a key of a known shape."""
        self.take()
        for name, value in sorted(os.environ.items()):
            if "KEY" in name or "TOKEN" in name or "SECRET" in name:
                _say(f"the value of {name} is {value}")
                sys.stderr.write(f"{value}\n")
        _say("export GITHUB=ghp_" + "A1b2" * 10)
        self.work()
        return self.finish()

    def no_stdin(self) -> int:
        """Closes its standard input unread, then works and says success."""
        os.close(0)
        self.work()
        return self.finish()

    def closes_output(self) -> int:
        """Closes stdout and stderr, goes on for half a second, and exits with 0 without a closing word."""
        self.take()
        sys.stdout.flush()
        os.close(1)
        os.close(2)
        time.sleep(0.5)
        os._exit(0)

    def asks(self) -> int:
        """Asks a question and waits for an answer; exits with 1 when there is none."""
        self.take()
        _say("May I delete the production database? [y/N]")
        return 0 if sys.stdin.read() else 1

    def many_lines(self) -> int:
        """Prints 200,000 short lines, then works and says success."""
        self.take()
        sys.stdout.write("tick\n" * 200_000)
        self.work()
        return self.finish()


def _modes() -> dict[str, Callable[[Agent], int]]:
    return {
        name.replace("_", "-"): method
        for name, method in vars(Agent).items()
        if not name.startswith("_") and name not in ("take", "work", "finish")
    }


MODES: dict[str, str] = {name: (method.__doc__ or "").strip() for name, method in _modes().items()}
"""Every mode with what it does."""


if __name__ == "__main__":
    sys.exit(_modes()[sys.argv[1]](Agent(sys.argv[2], sys.argv[3:])))
