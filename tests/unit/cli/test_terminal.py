"""What differs on a terminal: drawn tables, colours, and a progress line that moves."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]
DEADLINE_S = 60


def on_terminal(project: Path, *arguments: str, width: int = 100, **environ: str) -> str:
    """All that a terminal of this width shows of one run."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "autopilot.cli", *arguments],
        cwd=project,
        env={**kept, "TERM": "xterm-256color", **environ},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 65536):
            shown += data
    except OSError:  # the last one has closed the terminal
        pass
    finally:
        os.close(master)
        child.wait(timeout=DEADLINE_S)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def queue(write_task: Write) -> None:
    write_task("a", '---\ntitle: "[bold]A[/bold] \\e[2J :smile:"\n---\n')
    write_task("b", "---\ntitle: B\nstatus: done\n---\n")


@pytest.mark.usefixtures("queue")
def test_a_table_is_drawn_with_colours(project: Path) -> None:
    out = on_terminal(project, "task", "list")
    assert "─" in out
    assert re.search(r"\x1b\[32m *done", out)


@pytest.mark.usefixtures("queue")
def test_texts_are_taken_literally(project: Path) -> None:
    out = on_terminal(project, "task", "list")
    assert "[bold]A[/bold] \\x1b[2J :smile:" in out
    assert "\x1b[2J" not in out


@pytest.mark.usefixtures("queue")
def test_no_color_is_honoured(project: Path) -> None:
    assert "\x1b[3" not in on_terminal(project, "task", "list", NO_COLOR="1")


@pytest.mark.usefixtures("queue")
def test_a_narrow_terminal_keeps_the_ids(project: Path, write_task: Write) -> None:
    write_task("a-rather-long-id-of-a-task", f"---\ntitle: {'many words ' * 20}\n---\n")
    assert "a-rather-long-id-of-a-task" in on_terminal(project, "task", "list", width=80)


@pytest.mark.usefixtures("queue")
def test_waiting_moves_one_line_and_takes_it_away(project: Path) -> None:
    out = on_terminal(project, "task", "wait", "a", "--timeout", "1.5")
    assert "\r\x1b[Kwaiting for a: pending" in out
    assert "waiting for a: pending\n" not in out
    assert "error: 1 of 1 tasks had not ended" in out


@pytest.mark.usefixtures("queue")
def test_data_forms_stay_plain(project: Path) -> None:
    assert on_terminal(project, "task", "list", "-o", "name") == "a\nb\n"
    assert "\x1b" not in on_terminal(project, "task", "list", "-o", "json")


@pytest.mark.usefixtures("queue")
def test_raw_logs_are_not_for_a_terminal(project: Path) -> None:
    run = project / ".autopilot" / "runs" / "a" / "1"
    run.mkdir(parents=True)
    (run / "stdout.log").write_bytes(b"\x1b]52;c;eA==\x07")
    out = on_terminal(project, "task", "logs", "a", "--raw")
    assert "error: --raw would hand this terminal over" in out
    assert "\x1b]52" not in out
    assert "\\x1b]52;c;eA==" in on_terminal(project, "task", "logs", "a")


@pytest.mark.usefixtures("queue")
def test_lines_of_the_log_are_escaped_on_a_terminal(project: Path) -> None:
    events = project / ".autopilot" / "events"
    events.mkdir()
    forged = {"id": "evt-x", "event_type": "a.b", "timestamp": "2026-11-22T09:00:00Z", "source": "\x9b2J\u202e"}
    line = json.dumps({**forged, "payload": {}, "prev": "0" * 64}, ensure_ascii=False)
    (events / "events.ndjson").write_text(line + "\n")
    out = on_terminal(project, "events", "tail", "-o", "ndjson")
    assert "\\u009b2J\\u202e" in out
    assert not {"\x9b", "\u202e"} & set(out)


def test_listing_imports_nothing_heavy(project: Path, write_task: Write) -> None:
    write_task("a", "---\ntitle: A\n---\n")
    heavy = ("rich", "asyncio", "importlib.metadata", "yaml", "pluggy", "cattrs")
    code = (
        "import sys\nfrom autopilot.cli.main import main\nmain(['task', 'list'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["a   pending  medium    general                 A", "[]"]
