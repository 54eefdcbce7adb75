"""Code under ``staying`` cannot end the process; everybody else can."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import os, threading
from autopilot.system.exits import ExitRefused, refuse_exits, staying

refuse_exits()
refuse_exits()
from os import _exit

def refused(work):
    try:
        staying(work)
    except ExitRefused as fault:
        return str(fault)

assert refused(lambda: _exit(3)) == refused(lambda: os._exit(3)) == "it called os._exit(3)"
assert staying(lambda: 7) == 7

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert staying(fork) == 5

# A thread beside is not held back, and neither is this one afterwards.
entered, leave = threading.Event(), threading.Event()
guarded = threading.Thread(target=lambda: staying(lambda: (entered.set(), leave.wait())), daemon=True)
guarded.start()
entered.wait()
os._exit(11)
"""


def test_only_guarded_code_is_kept_from_ending_the_process():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stderr) == (11, "")
