"""Output without end costs bounded memory and disk, and does not keep an attempt from being stopped."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from autopilot.models import OutcomeKind
from autopilot.system.process_table import descendant_rows
from tests.campaign import record, size
from tests.process.runner_support import Arena, alive, arena, pids_in, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="smaps is Linux's")

FLOOD_BYTES = size(256 << 20, 1 << 30)
MOST_MEMORY_KIB = 64 * 1024
OUTPUT_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture
def place(whole):
    return whole.fresh()


def memory_of(pid: int) -> int:
    """KiB that a process has for itself, and its share of what it shares."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


class Meter(threading.Thread):
    """Watches runner and host while they work."""

    def __init__(self, runner: int) -> None:
        super().__init__(daemon=True)
        self.runner = runner
        self.peak = 0
        self.looks = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            host = [row.pid for row in descendant_rows(self.runner) if row.parent == self.runner][:1]
            self.peak = max(self.peak, sum(memory_of(pid) for pid in (self.runner, *host)))
            self.looks += 1


def metered(place: Arena, body: str, **more):
    lease = place.start(body, limits={"output_bytes": OUTPUT_BYTES}, **more)
    meter = Meter(place.started(lease).owner.pid)
    meter.start()
    assert place.ended(lease, timeout=240).exit_code == 0
    meter.over.set()
    meter.join()
    assert meter.looks > 0
    return place.store.result(lease), meter.peak


@pytest.mark.parametrize("executor", ["shell", "python"])
def test_a_flood_costs_bounded_memory_and_disk(place: Arena, executor):
    bodies = {
        "shell": f"head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x\necho the end",
        "python": f"import os\nfor _ in range({FLOOD_BYTES >> 16}): os.write(1, b'x' * 65536)\nprint('the end')",
    }
    result, peak = metered(place, bodies[executor], executor=executor)
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert peak < MOST_MEMORY_KIB
    log = place.run / {"shell": "stdout.log", "python": "host.log"}[executor]
    assert log.stat().st_size < OUTPUT_BYTES + 128 * 1024
    assert log.read_text().endswith("the end\n")
    record(
        "T8",
        f"flood, {executor}",
        bytes=FLOOD_BYTES,
        memory_kib=peak,
        memory_most_kib=MOST_MEMORY_KIB,
        disk_bytes=log.stat().st_size,
    )


def test_messages_without_end_cost_bounded_memory(place: Arena):
    body = (
        "import os\n"
        "for _ in range(400): os.write(3, b'x' * 65536)\n"
        "os.write(3, b'\\n')\n"
        "for n in range(20000): context.report(Progress(message='m' * 100000, turns=n))\n"
    )
    result, peak = metered(place, body)
    assert (result.outcome.kind, result.outcome.turns) == (OutcomeKind.SUCCEEDED, 19999)
    assert peak < MOST_MEMORY_KIB


def test_a_deaf_double_forking_flood_is_gone_soon_after_its_deadline(place: Arena):
    """What can be asserted without a clock: nothing lives when the end is told, and the end comes long before the
    flood would end by itself (never)."""
    body = (
        "trap '' TERM INT HUP\n"
        "(setsid sh -c 'trap \"\" TERM; echo $$ >> pids; while :; do cat /dev/zero; done' &)\n"
        "echo $$ >> pids\n"
        "while :; do cat /dev/zero; done\n"
    )
    began = time.monotonic()
    lease = place.start(body, executor="shell", limits={"deadline_s": 1.0, "grace_s": 0.5})
    pids = pids_in(place.work / "pids", 2)
    until(lambda: place.store.result(lease), "the report")
    took = time.monotonic() - began
    assert place.store.result(lease).outcome.kind is OutcomeKind.TIMED_OUT
    assert not any(alive(pid) for pid in pids)
    record("T8", "a deaf double-forking flood", after_deadline_s=round(took - 1.0, 2), grace_and_2_s=2.5)
