"""Programs that do not want to end, or end in odd ways: the shapes that process supervision is judged by.

``argv_of(shape, folder, tag)`` writes the shape's script and returns how to start it. Every process of a shape has
the tag in its arguments or its environment, so that ``living(tag)`` finds what survived, by looking at all
processes and not by asking who was whose child. A shape that stays makes the file ``ready`` in its folder when its
whole tree is there.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import attrs

__all__ = ["SHAPES", "Shape", "argv_of", "end_all", "living", "new_tag", "staying", "wait_until"]


@attrs.frozen(kw_only=True)
class Shape:
    """One kind of bad manners.

    Attributes:
        stays: it does not end by itself (its program, or something that it leaves behind).
        heeds_term: SIGTERM to every process that exists when it is ready ends it.
        code: its program's exit code where that ends by itself.
    """

    name: str
    script: str
    stays: bool = True
    heeds_term: bool = True
    code: int | None = None


def new_tag() -> str:
    """A number that no other process has in its arguments: it also serves as the fraction of a sleep."""
    return f"{random.SystemRandom().randrange(10**11, 10**12)}"


def argv_of(shape: Shape, folder: Path, tag: str) -> list[str]:
    """Write the script into ``folder``; the command line that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    if shape.script.startswith("#!/bin/sh"):
        path = folder / f"{shape.name}.sh"
        path.write_text(shape.script)
        return ["/bin/sh", str(path), str(folder / "ready"), tag]
    path = folder / f"{shape.name}.py"
    path.write_text(_PRELUDE + shape.script)
    return [sys.executable, "-S", "-E", str(path), str(folder / "ready"), tag]


def staying() -> list[Shape]:
    """The shapes that must be ended."""
    return [shape for shape in SHAPES.values() if shape.stays]


def living(tag: str) -> list[int]:
    """The pids of all live processes that have the tag, but for the caller. Who appears while we look is looked
    at, too, until nobody does."""
    found: list[int] = []
    seen = {str(os.getpid())}
    while fresh := {name for name in os.listdir("/proc") if name.isdigit()} - seen:
        seen |= fresh
        found += [int(name) for name in fresh if _carries(name, tag.encode())]
    return found


def end_all(tag: str) -> None:
    """Kill all that have the tag, whatever they do about it."""

    def look() -> bool:
        pids = living(tag)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        return not pids

    wait_until(look, 30)


def _carries(pid: str, tag: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X") and int(fields[17]) <= 1:
            return False
        # A process whose first thread has ended tells its arguments only through the others.
        paths = [f"/proc/{pid}/task/{thread}" for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return False
    return any(tag in _text(f"{path}/{source}") for path in paths for source in ("cmdline", "environ"))


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def wait_until(condition, timeout: float = 60.0) -> bool:
    """Poll until the condition holds; whether it ever did."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


_PRELUDE = """\
import ctypes, os, signal, subprocess, sys, time
READY, TAG = sys.argv[1:3]
def ready(): open(READY, "w").close()
def deaf():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
LAST = time.monotonic() + 600  # whatever becomes of the test, the machine is not left to a bomb
def rest(seconds):
    time.sleep(seconds)
    if time.monotonic() > LAST: os._exit(0)
def for_ever():
    while True: rest(60)
def sleeper(**more): return subprocess.Popen(["sleep", "1000." + TAG], **more)
"""

_SHAPES = [
    Shape(
        name="plain",
        script="""\
ready()
for_ever()
""",
    ),
    Shape(
        name="ignores_term",
        heeds_term=False,
        script="""\
deaf()
ready()
for_ever()
""",
    ),
    Shape(
        name="background_jobs",
        script="""\
#!/bin/sh
for i in 1 2 3 4 5; do sleep 1000.$2 & done
(sleep 1000.$2 & : > "$1"; exec sleep 1000.$2) &
wait
""",
    ),
    Shape(
        name="own_sessions",
        script="""\
for _ in range(5): sleeper(start_new_session=True)
ready()
for_ever()
""",
    ),
    Shape(
        name="daemon",
        heeds_term=False,
        script="""\
# Leaves at once; what stays forked twice, has a session of its own and an empty environment.
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        deaf()
        if os.fork() == 0:
            ready()
            os.execve("/bin/sleep", ["sleep", "1000." + TAG], {})
        for_ever()
    os._exit(0)
while not os.path.exists(READY): time.sleep(0.01)
""",
        code=0,
    ),
    Shape(
        name="holds_stdout",
        code=0,
        script="""\
#!/bin/sh
echo started
sleep 1000.$2 &
: > "$1"
""",
    ),
    Shape(
        name="deaf_daemon_flood",
        heeds_term=False,
        script="""\
# Ignores TERM, forks twice and floods stdout, at a pace that leaves something of the machine to others.
deaf()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: ready()
    block = b"x" * 65536
    while True:
        try: os.write(1, block)
        except OSError: rest(60)
        rest(0.005)
while not os.path.exists(READY): time.sleep(0.01)
block = b"y" * 65536
while True:
    try: os.write(1, block)
    except OSError: rest(60)
    rest(0.005)
""",
    ),
    Shape(
        name="stopped",
        script="""\
parent = os.getpid()
child = os.fork()
if child and os.fork() == 0:
    for pid in (parent, child):
        while ") T " not in open("/proc/%d/stat" % pid).read(): time.sleep(0.01)
    ready()
    os._exit(0)
os.kill(os.getpid(), signal.SIGSTOP)
for_ever()
""",
    ),
    Shape(
        name="closes_stdout",
        script="""\
for fd in (0, 1, 2): os.close(fd)
ready()
for_ever()
""",
    ),
    Shape(
        name="result_then_hang",
        heeds_term=False,
        script="""\
deaf()
print('{"type": "result", "text": "done", "final": true}', flush=True)
ready()
for_ever()
""",
    ),
    Shape(
        name="zombie_maker",
        script="""\
for _ in range(20):
    if os.fork() == 0: os._exit(0)
ready()
for_ever()
""",
    ),
    Shape(
        name="fork_bomb",
        heeds_term=False,
        script="""\
# As many as 120 or the limit allows, and a new one for each that is killed.
deaf()
tokens, back = os.pipe()
os.set_blocking(tokens, False)
os.write(back, b"x" * 120)
def grow(level):
    while True:
        try:
            os.read(tokens, 1)
            try: child = os.fork()
            except OSError: os.write(back, b"x"); raise
            if child == 0: level += 1
        except BlockingIOError:
            if level == 0 and not os.path.exists(READY): ready()
            rest(0.05)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]: os.write(back, b"x")
        except ChildProcessError: pass
grow(0)
""",
    ),
    Shape(
        name="respawner",
        heeds_term=False,
        script="""\
# Two that start each other again.
def watch():
    while True:
        child = os.fork()
        if child == 0:
            os.setsid()
            parent = os.getppid()
            deaf()
            ready()
            while os.getppid() == parent: rest(0.002)
            continue
        try: os.waitpid(child, 0)
        except ChildProcessError: pass
deaf()
watch()
""",
    ),
    Shape(
        name="flees_on_term",
        heeds_term=False,
        script="""\
# Asked to end, it does, and leaves a fresh copy of itself in another session.
def flee(number, frame):
    if os.fork() == 0:
        os.setsid()
        return
    os._exit(0)
signal.signal(signal.SIGTERM, flee)
ready()
for_ever()
""",
    ),
    Shape(
        name="big_environment",
        script="""\
# The biggest that execve takes, 6 MiB with a stack without limit, and the entry that says whose it is at its end.
import resource
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
most = 6 << 20 if hard < 0 else min(6 << 20, hard // 4)
big = {"BIG_%d" % i: "x" * 131000 for i in range((most - (128 << 10)) // 131072)}
child = subprocess.Popen(["sleep", "1000." + TAG], env={**big, **os.environ}, start_new_session=True)
ready()
for_ever()
""",
    ),
    Shape(
        name="always_young",
        heeds_term=False,
        script="""\
# Nothing that it was given is left: environment, session, descriptors, folder, parent. Ten times a second it is
# another process, so that whoever notes it is late.
if "again" not in sys.argv:
    if os.fork():
        while not os.path.exists(READY): time.sleep(0.01)
        os._exit(0)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"], {})
os.closerange(0, 1024)
os.chdir("/")
deaf()
generation = 0
while True:
    rest(0.1)
    if os.fork():
        time.sleep(0.1)
        os._exit(0)
    os.setsid()
    generation += 1
    if generation == 3: ready()
""",
        code=0,
    ),
    Shape(
        name="not_dumpable",
        script="""\
# As ssh-agent does it: only root may look into /proc/<pid> then.
if "again" not in sys.argv:
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"], {})
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if os.fork(): os._exit(0)
os.setsid()
ready()
for_ever()
""",
        code=0,
    ),
    Shape(
        name="first_thread_ended",
        heeds_term=False,
        script="""\
# Shows as a zombie, and works on.
import threading
deaf()
libc = ctypes.CDLL(None)
threading.Thread(target=lambda: (time.sleep(0.2), ready(), for_ever())).start()
libc.pthread_exit(None)
""",
    ),
    Shape(
        name="odd_name",
        script="""\
# A name that tears a parser of /proc/<pid>/stat apart.
open("/proc/self/comm", "wb").write(b"a) Z 1 (b) ")
ready()
for_ever()
""",
    ),
    Shape(
        name="deep_chain",
        script="""\
for level in range(30):
    if os.fork(): break
    if level % 3 == 0: os.setsid()
else: ready()
for_ever()
""",
    ),
    Shape(
        name="orphans",
        code=0,
        script="""\
# Each child leaves grandchildren that belong to nobody.
for _ in range(10):
    if os.fork() == 0:
        for _ in range(3): sleeper(start_new_session=True)
        os._exit(0)
while True:
    try: os.wait()
    except ChildProcessError: break
ready()
""",
    ),
    Shape(
        name="exits_with_nothing",
        stays=False,
        code=0,
        script="""\
#!/bin/sh
exit 0
""",
    ),
    Shape(
        name="reads_stdin",
        stays=False,
        code=0,
        script="""\
text = sys.stdin.read()
print(len(text), sys.stdin.isatty())
""",
    ),
    Shape(
        name="floods_a_gigabyte",
        stays=False,
        code=0,
        script="""\
block = b"0123456789abcdef" * 16384
for _ in range(4096): os.write(1, block)
""",
    ),
    Shape(
        name="long_line",
        stays=False,
        code=0,
        script="""\
sys.stdout.write("x" * 5000000)
""",
    ),
    Shape(
        name="floods_stderr",
        stays=False,
        code=3,
        script="""\
block = b"warning: nothing\\n" * 4096
for _ in range(400): os.write(2, block)
sys.exit(3)
""",
    ),
    Shape(
        name="kills_itself",
        stays=False,
        code=-9,
        script="""\
os.kill(os.getpid(), signal.SIGKILL)
""",
    ),
]

SHAPES: dict[str, Shape] = {shape.name: shape for shape in _SHAPES}
