"""Any fault becomes one of ours, with a sentence, a hint and an exit code."""

from __future__ import annotations

import errno

import pytest

from autopilot.errors import AutopilotError, BusyError, StorageError, UnreadableError
from autopilot.system.durable import read_error
from autopilot.system.told import UNEXPECTED, as_ours


def test_one_of_ours_stays_itself() -> None:
    busy = BusyError("held")
    assert as_ours(busy) is busy


@pytest.mark.parametrize(
    ("fault", "kind", "message", "exit_code"),
    [
        (OSError(errno.EACCES, "no", "/x"), StorageError, "cannot use /x: Permission denied", 4),
        (OSError(errno.ENOSPC, "no"), StorageError, "cannot use here: No space left on device", 4),
        (MemoryError(), StorageError, "cannot use here: Cannot allocate memory", 4),
        (KeyError("x"), AutopilotError, "unexpected fault: KeyError: 'x'", 1),
        (FileNotFoundError(errno.ENOENT, "no", "/x"), AutopilotError, "unexpected fault: FileNotFoundError", 1),
    ],
)
def test_any_other_is_put_into_words(
    fault: Exception, kind: type[AutopilotError], message: str, exit_code: int
) -> None:
    told = as_ours(fault, "here")
    assert type(told) is kind
    assert told.message.startswith(message)
    assert told.exit_code == exit_code
    assert told.hint
    assert (told.code == UNEXPECTED) is (exit_code == 1)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, UnreadableError), (errno.EIO, StorageError), (errno.EMFILE, StorageError)],
)
def test_only_a_refusal_of_one_path_is_one_tasks_own(number: int, kind: type[StorageError]) -> None:
    found = read_error(OSError(number, "no"), "runs/a")
    assert type(found) is kind
    assert str(found).startswith("cannot read runs/a: ")
