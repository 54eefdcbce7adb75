"""Accidents of plugins do not reach the process around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from autopilot.plugins.guards import PluginFault, Snapshot, no_second_self, quiet, sentence


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "it called sys.exit(3)"),
        (PluginFault("did what it may not"), "did what it may not"),
        (Unreadable(), "Unreadable: (its text cannot be read)"),
    ],
)
def test_a_fault_is_one_sentence(fault: BaseException, text: str) -> None:
    assert sentence(fault) == text


def test_a_long_text_is_cut() -> None:
    assert len(sentence(ValueError("x" * 10_000))) < 400


def test_what_a_plugin_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    print("ours before")
    with quiet():
        print("theirs, printed")
        sys.__stdout__.write("theirs, kept stream\n") if sys.__stdout__ else None
        os.write(1, b"theirs, raw\n")
        subprocess.run(["echo", "theirs, child"], check=True)
    print("ours after")
    out, err = capfd.readouterr()
    assert out == "ours before\nours after\n"
    assert sorted(err.splitlines()) == sorted(
        ["theirs, printed", "theirs, raw", "theirs, child", "theirs, kept stream"]
    )


def test_a_plugin_reads_nothing_from_our_input() -> None:
    code = (
        "import os, sys\nfrom autopilot.plugins.guards import quiet\n"
        "with quiet():\n    stolen = os.read(0, 100)\n"
        "print([stolen, sys.stdin.read()])"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"ours", capture_output=True, env=environ, check=True
    )
    assert done.stdout.decode().strip() == "[b'', 'ours']"


def test_closed_descriptors_are_no_fault() -> None:
    code = (
        "import os, sys\nfrom autopilot.plugins.guards import quiet\n"
        "os.close(0); os.close(1)\n"
        "with quiet():\n    print('x')\n"
        "sys.stderr.write('fine')\nos._exit(0)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, check=True)
    assert done.stderr.decode().endswith("fine")


def test_a_fork_does_not_go_on_as_a_second_self(tmp_path: pytest.TempPathFactory) -> None:
    read, write = os.pipe()
    child = no_second_self(lambda: os.fork())
    os.write(write, b"one")
    os.waitpid(child, 0)
    os.close(write)
    assert os.read(read, 100) == b"one"
    os.close(read)


def test_a_snapshot_notices_and_undoes_replacements() -> None:
    dumps, default = json.dumps, json.JSONEncoder.default
    snapshot = Snapshot()
    json.dumps = None  # type: ignore[assignment]
    json.JSONEncoder.default = lambda self, o: "x"  # type: ignore[method-assign]
    del os.getcwd
    assert sorted(snapshot.restore()) == ["json.JSONEncoder.default", "json.dumps", "os.getcwd"]
    assert json.dumps is dumps
    assert json.JSONEncoder.default is default
    assert os.getcwd()
    assert snapshot.restore() == []


def test_additions_are_nobodys_business() -> None:
    snapshot = Snapshot()
    json.extra = 1  # type: ignore[attr-defined]
    try:
        assert snapshot.restore() == []
        assert json.extra == 1  # type: ignore[attr-defined]
    finally:
        del json.extra  # type: ignore[attr-defined]
