from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

import pytest

from autopilot.events.ids import task_event_id, task_of, unique_event_id


def test_ids_differ_at_any_rate():
    ids = [unique_event_id(1.0) for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("evt-") and task_of(one) is None for one in ids)


def test_ids_differ_between_threads():
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend([unique_event_id(1.0) for _ in range(2000)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8000


def test_ids_differ_after_forks_and_forks_of_forks():
    unique_event_id(1.0)
    reading, writing = os.pipe()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            os.write(writing, "".join(unique_event_id(1.0) + "\n" for _ in range(50)).encode())
            if grandchild:
                os.waitpid(grandchild, 0)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    os.close(writing)
    with os.fdopen(reading) as file:
        ids = file.read().split() + [unique_event_id(1.0) for _ in range(50)]
    assert len(ids) == len(set(ids)) == 350
    assert all(re.fullmatch(r"evt-0000000003e8-[0-9a-f]+-[0-9a-f]{16}-[0-9a-f]+", one) for one in ids)


@pytest.mark.parametrize("task", ["a", "a.1", "1.2", "req-20261122-abcdef01", "x.y-z_1", "a.1.2"])
def test_the_id_of_a_tasks_event_names_the_task(task):
    assert task_of(task_event_id(task, 3, 14)) == task


@pytest.mark.parametrize(
    "text", ["", "evt-", "evt-a.1", "evt-invalid-a-0123456789abcdef", "msg-a.1.2", "evt-a.1.x"]
)
def test_other_ids_name_no_task(text):
    assert task_of(text) is None


def test_a_clock_before_1970_does_no_harm():
    assert unique_event_id(-5.0).startswith("evt-000000000000-")


def test_a_system_without_fork_hooks_can_import_it():
    code = (
        "import os, sys; del os.register_at_fork; from autopilot.events.ids import unique_event_id as new; new(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
