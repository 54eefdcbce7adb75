"""Limits of disks and processes, to be put on a dispatcher and lifted again."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.process.bench import Bench
from tests.process.zoo import wait_until

__all__ = ["LIMITS", "Limit"]


class Limit:
    """One limit of one bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    kills = False
    """Whether runners may die of it again and again, which makes poison of a task by design."""

    def unusable(self) -> str:
        """Why it cannot be tried here; empty where it can."""
        return ""

    def quiet(self) -> contextlib.AbstractContextManager[None]:
        """The dispatcher does nothing meanwhile."""
        return self.bench.stopped()

    def impose(self) -> None:
        raise NotImplementedError

    def lift(self) -> None:
        raise NotImplementedError


class OfDisk(Limit):
    """A limit of a disk that nobody else needs."""

    def unusable(self) -> str:
        return "" if self.bench.small else "needs root and the right to mount a tmpfs"


class Full(OfDisk):
    """No block is free any more."""

    def impose(self) -> None:
        with open(self.bench.project / "filler", "wb", buffering=0) as file:
            for piece in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(piece)) == piece:
                        pass

    def lift(self) -> None:
        (self.bench.project / "filler").unlink()


class NoInodes(OfDisk):
    """No file can be made any more."""

    def impose(self) -> None:
        (self.bench.project / "fillers").mkdir()
        with contextlib.suppress(OSError):
            for number in range(100_000):
                (self.bench.project / "fillers" / str(number)).touch()

    def lift(self) -> None:
        shutil.rmtree(self.bench.project / "fillers")


class ReadOnly(OfDisk):
    """The disk is mounted for reading only, and the dispatcher begins on it so: descriptors that are open for
    writing keep a disk from becoming read-only."""

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        self.bench.kill()
        yield
        self.bench.start()

    def impose(self) -> None:
        self._remount("ro")

    def lift(self) -> None:
        self._remount("rw")

    def _remount(self, how: str) -> None:
        command = ["mount", "-o", f"remount,{how}", str(self.bench.project)]
        # Whoever is just ending still has a file open.
        assert wait_until(lambda: subprocess.run(command, check=False).returncode == 0), f"it is not {how}"


class NoAccess(Limit):
    """Somebody changed the modes of the folders."""

    def impose(self) -> None:
        self._set(0o500)

    def lift(self) -> None:
        self._set(0o700)

    def _set(self, mode: int) -> None:
        root = Path(self.bench.root.folder)
        for folder in (root, *(root / name for name in ("tasks", "state", "state/leases", "events", "runs"))):
            if folder.is_dir():
                folder.chmod(mode)


class Rlimit(Limit):
    """A limit of dispatcher and launcher (and of attempts that they begin under it), as low as what each needs at
    this moment."""

    which: int

    def least(self, pid: int) -> int:
        raise NotImplementedError

    def impose(self) -> None:
        for pid in self.bench.servants():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                self._set(pid, self.least(pid))

    def lift(self) -> None:
        for pid in self.bench.pids():
            with contextlib.suppress(ProcessLookupError):
                self._set(pid, None)

    def _set(self, pid: int, soft: int | None) -> None:
        hard = resource.prlimit(pid, self.which)[1]
        resource.prlimit(pid, self.which, (hard if soft is None else soft, hard))


class FileSize(Rlimit):
    """No file may grow beyond what the log has."""

    which = resource.RLIMIT_FSIZE

    def least(self, pid: int) -> int:
        return os.path.getsize(f"{self.bench.root.events}/events.ndjson")


class Descriptors(Rlimit):
    which = resource.RLIMIT_NOFILE

    def least(self, pid: int) -> int:
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        return next(number for number in range(len(used) + 1) if number not in used)


class AddressSpace(Rlimit):
    which = resource.RLIMIT_AS
    kills = True

    def least(self, pid: int) -> int:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        return (pages + 32) * resource.getpagesize()


class UserProcesses(Rlimit):
    """For an ordinary user; the kernel lets root have as many as it likes."""

    which = resource.RLIMIT_NPROC

    def unusable(self) -> str:
        return "root is under no such limit" if os.geteuid() == 0 else ""

    def least(self, pid: int) -> int:
        return 1


class ControlGroup(Limit):
    """A limit on dispatcher and launcher and all that they begin, by a control group of either version."""

    controller: str
    names = ("",)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        old = Path("/sys/fs/cgroup", self.controller)
        self._folder = (old if old.is_dir() else old.parent) / f"autopilot-test-{os.getpid()}"

    def most(self) -> int:
        raise NotImplementedError

    def unusable(self) -> str:
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as fault:
            return f"no control group can be made here: {fault}"
        return "" if self._limit else f"the controller {self.controller} is not there"

    @property
    def _limit(self) -> Path | None:
        return next((self._folder / name for name in self.names if (self._folder / name).exists()), None)

    def impose(self) -> None:
        for pid in self.bench.servants():
            with contextlib.suppress(ProcessLookupError):
                (self._folder / "cgroup.procs").write_text(str(pid))
        self._set(str(self.most()))

    def lift(self) -> None:
        assert self._limit is not None
        self._set("-1" if self._limit.name == "memory.limit_in_bytes" else "max")

    def _set(self, value: str) -> None:
        assert self._limit is not None
        self._limit.write_text(value)


class Processes(ControlGroup):
    """No process can be begun any more."""

    controller = "pids"
    names = ("pids.max",)

    def most(self) -> int:
        return 1


class Memory(ControlGroup):
    """All together may have so much; who has most is killed."""

    controller = "memory"
    names = ("memory.max", "memory.limit_in_bytes")
    bytes = 256 * 1024 * 1024

    def most(self) -> int:
        return self.bytes


LIMITS: dict[str, Callable[[Bench], Limit]] = {
    "full": Full,
    "no inodes": NoInodes,
    "read-only": ReadOnly,
    "no access": NoAccess,
    "file size": FileSize,
    "descriptors": Descriptors,
    "address space": AddressSpace,
    "processes": Processes,
    "user's processes": UserProcesses,
}
