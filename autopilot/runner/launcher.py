"""The dispatcher's end of the launcher: hands over attempts, learns when their runners have ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import attrs

from autopilot.models import AttemptSpec, Lease

__all__ = ["Ended", "Launcher"]


@attrs.frozen(kw_only=True)
class Ended:
    """A runner that this launcher forked is gone, and nothing that it left behind is alive.

    Attributes:
        exit_code: 0: it reported a result; 97: its start was refused and it started nothing; 98: it lost its
            lease and stopped everything; another positive number: it failed; negative: the signal that killed it.
    """

    task_id: str
    token: int
    exit_code: int


class Launcher:
    """A small warm process that forks a runner per attempt, started on the first attempt.

    It lives in a session of its own and outlives the dispatcher until its last runner has ended. Made in the
    dispatcher, used by one thread.

    Args:
        root: the ``.autopilot`` folder; must exist when ``start`` is called first.
        environ: what the launcher (and so executors, after the allow-list) may see; this process's own by default.
    """

    def __init__(self, root: str, *, environ: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._environ = environ

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        """Fork a runner for a claimed attempt; returns when the launcher has done so.

        The runner registers itself as the lease's owner; whether that worked shows in the lease, later.

        Raises:
            SetupError: no launcher could be started, also after one restart, or it could not fork; no
                runner exists, and the caller still owns the claim.
        """
        raise NotImplementedError

    def poll(self) -> list[Ended]:
        """The runners that ended since the last call, in order; never blocks. A launcher that died is noticed
        here: its runners go on, but their ends are seen only in the store."""
        raise NotImplementedError

    def fileno(self) -> int:
        """A descriptor for ``select`` that is readable when ``poll`` has something; -1 while there is no launcher."""
        raise NotImplementedError

    def running(self) -> int:
        """How many runners were started by this object and have not been reported as ended."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the launcher: it ends when its last runner has ended. Repeats are harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
