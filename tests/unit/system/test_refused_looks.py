"""A look at a process that the system refuses for reasons of its own is no sign of that process's death."""

from __future__ import annotations

import builtins
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from autopilot.system import process_table
from autopilot.system.marks import marked_processes
from autopilot.system.processes import identify, is_alive, start_time_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

NO_ANSWER = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO]
LOOKS: list[Callable[[], object]] = [
    lambda: start_time_of(os.getppid()),
    lambda: process_table.row_of(os.getppid()),
    process_table.table,
    lambda: marked_processes("a/mark/1"),
]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(builtins, "open", refused)
    monkeypatch.setattr(os, "open", refused)


@pytest.mark.parametrize("number", NO_ANSWER)
@pytest.mark.parametrize("look", LOOKS)
def test_there_is_no_answer(look: Callable[[], object], number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as meanwhile:
        refuse(meanwhile, number)
        with pytest.raises(OSError) as caught:
            look()
    assert caught.value.errno == number


@pytest.mark.parametrize("number", NO_ANSWER)
def test_a_live_owner_is_not_taken_for_dead(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    me = identify()
    with monkeypatch.context() as meanwhile:
        refuse(meanwhile, number)
        with pytest.raises(OSError):
            is_alive(me)
    assert is_alive(me)


def test_what_belongs_to_somebody_else_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    me = identify()
    with monkeypatch.context() as meanwhile:
        refuse(meanwhile, errno.EACCES)
        assert is_alive(me) is False
        assert process_table.row_of(me.pid) is None
