"""A verify command's end, in words."""

from __future__ import annotations

import pytest

from autopilot.verification.commands import shell_argv, verdict_of


def test_the_command_is_one_argument_of_a_shell():
    assert shell_argv("a && b; rm -- '$x'") == ("/bin/sh", "-c", "a && b; rm -- '$x'")


@pytest.mark.parametrize(
    ("exit_code", "stopped", "output", "ok", "detail"),
    [
        (0, "", "all good", True, ""),
        (2, "", "", False, "exit code 2"),
        (-9, "", "", False, "ended by signal 9"),
        (1, "", "one\n\n  \ntwo\n", False, "exit code 1: one\ntwo"),
        (1, "", "\n".join("abcdefg"), False, "exit code 1: c\nd\ne\nf\ng"),
        (None, "the folder is not there", "", False, "the folder is not there"),
        (0, "stopped at its limit of 5 s", "half", False, "stopped at its limit of 5 s: half"),
    ],
)
def test_a_verdict(exit_code, stopped, output, ok, detail):
    verdict = verdict_of("make test", exit_code=exit_code, stopped=stopped, output=output, duration_s=1.23456)
    assert (verdict.name, verdict.ok, verdict.detail) == ("make test", ok, detail)
    assert (verdict.exit_code, verdict.duration_s) == (exit_code, 1.235)


def test_what_programs_print_cannot_move_a_cursor():
    verdict = verdict_of("x", exit_code=1, stopped="", output="\x1b[2Jgone", duration_s=0)
    assert "\x1b" not in verdict.detail


def test_a_long_command_has_a_short_name():
    assert len(verdict_of("x" * 1000, exit_code=0, stopped="", output="", duration_s=0).name) == 200
