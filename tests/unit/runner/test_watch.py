"""Why watching a child ends, and that whatever comes first is seen."""

from __future__ import annotations

import functools
import os

import pytest

from autopilot.runner.wakeup import Wakeup
from autopilot.runner.watch import Child, End, Watcher
from autopilot.system.clock import SystemClock
from autopilot.system.process_table import descendant_rows
from autopilot.system.readiness import wait_ready
from autopilot.system.tree import KillReport, kill_tree


class Keeper:
    cancelled_by = None

    def __init__(self) -> None:
        self.beats = 0

    def pause(self):
        return 0.02

    def beat(self):
        self.beats += 1


@pytest.fixture
def wakeup():
    made = Wakeup(heed_term=True)
    yield made
    made.close()


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def watcher(keeper, wakeup, monkeypatch):
    """One that lets live what other tests have running below this process, a server of theirs for instance."""
    strangers = {row.pid for row in descendant_rows(os.getpid())}
    monkeypatch.setattr("autopilot.runner.watch.kill_tree", functools.partial(kill_tree, exclude=strangers))
    return Watcher(keeper, wakeup, SystemClock())


@pytest.fixture
def child():
    """Forks children that do what the test says."""
    pids = []

    def fork(work):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(7)
        pids.append(pid)
        return pid

    yield fork
    for pid in pids:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def sleep():
    import time

    time.sleep(1000)


def test_the_end_of_the_child_is_seen_with_its_code(watcher, child, keeper):
    seen = Child(pid=child(lambda: None), streams=(), deadline_s=60)
    assert watcher.watch(seen) is End.EXITED
    assert seen.exit_code == 7
    assert keeper.beats > 0


def test_other_children_are_collected_on_the_way(watcher, child):
    other = child(lambda: None)
    os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    seen = Child(pid=child(lambda: None), streams=(), deadline_s=60)
    assert watcher.watch(seen) is End.EXITED
    with pytest.raises(ChildProcessError):
        os.waitpid(other, 0)


@pytest.mark.parametrize("limits", [{}, {"idle_s": 60.0}], ids=str)
def test_it_sleeps_until_the_next_beat_is_due(watcher, child, keeper, limits):
    def work():
        import time

        time.sleep(1)

    now = SystemClock().monotonic()
    watcher.watch(Child(pid=child(work), streams=(), deadline_s=60, heard=lambda: now, **limits))
    assert 3 < keeper.beats < 100


def test_a_deadline(watcher, child):
    assert watcher.watch(Child(pid=child(sleep), streams=(), deadline_s=0.05)) is End.TIMED_OUT


def test_silence(watcher, child):
    now = SystemClock().monotonic()
    quiet = Child(pid=child(sleep), streams=(), deadline_s=60, idle_s=0.05, heard=lambda: now)
    assert watcher.watch(quiet) is End.STALLED


class Frozen(SystemClock):
    """The machine's clock, of which everybody missed an hour during the wait."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic(self):
        self.looks += 1
        return super().monotonic() + (3600 if self.looks > 2 else 0)


@pytest.mark.parametrize("limits", [{"deadline_s": 60.0}, {"deadline_s": 7200.0, "idle_s": 60.0}], ids=str)
def test_time_in_which_we_were_stopped_is_not_charged(keeper, wakeup, child, limits):
    def work():
        import time

        time.sleep(0.3)

    now = SystemClock().monotonic()
    seen = Child(pid=child(work), streams=(), heard=lambda: now, **limits)
    assert Watcher(keeper, wakeup, Frozen()).watch(seen) is End.EXITED
    late = Child(pid=child(sleep), streams=(), deadline_s=0.5)
    assert Watcher(keeper, wakeup, Frozen()).watch(late) is End.TIMED_OUT


class Waits:
    """A clock that goes on only while somebody waits, and may go on for too long the first time."""

    def __init__(self, late=0.0) -> None:
        self.time = 100.0
        self.late = late
        self.seconds = []

    def monotonic(self):
        return self.time

    def wait_ready(self, fds, *, timeout):
        self.seconds.append(timeout)
        assert len(self.seconds) < 20
        self.time += timeout + self.late
        self.late = 0.0


@pytest.mark.parametrize(
    ("late", "limits", "end", "seconds"),
    [
        (0.0, {"deadline_s": 2.5}, End.TIMED_OUT, [1.0, 1.0, 0.5]),
        (0.0, {"deadline_s": 60, "idle_s": 1.5}, End.STALLED, [1.0, 0.5]),
        (
            0.0,
            {"deadline_s": 1, "idle_s": 0.5, "linger_s": 2.0, "settled": lambda: 100.0},
            End.LINGERED,
            [1.0, 1.0],
        ),
        (4.5, {"deadline_s": 8}, End.TIMED_OUT, [1.0] * 3 + [0.5]),
        (5.0, {"deadline_s": 8}, End.TIMED_OUT, [1.0] * 3),
        (5.5, {"deadline_s": 8}, End.TIMED_OUT, [1.0] * 8),
    ],
)
def test_it_waits_no_longer_than_it_may(keeper, wakeup, child, monkeypatch, late, limits, end, seconds):
    waits = Waits(late)
    monkeypatch.setattr("autopilot.runner.watch.wait_ready", waits.wait_ready)
    monkeypatch.setattr(keeper, "pause", lambda: 10.0)
    watcher = Watcher(keeper, wakeup, waits)
    assert watcher.watch(Child(pid=child(sleep), streams=(), heard=lambda: 100.0, **limits)) is end
    assert waits.seconds == seconds


def test_a_last_word_before_the_stop_does_not_make_it_linger(keeper, wakeup, child):
    def work():
        import time

        time.sleep(0.3)

    now = SystemClock().monotonic()
    seen = Child(pid=child(work), streams=(), deadline_s=60, linger_s=30.0, settled=lambda: now)
    assert Watcher(keeper, wakeup, Frozen()).watch(seen) is End.EXITED


def test_lingering_wins_over_silence_and_deadline(watcher, child):
    now = SystemClock().monotonic()
    seen = Child(
        pid=child(sleep),
        streams=(),
        deadline_s=0.01,
        idle_s=0.01,
        linger_s=0.1,
        heard=lambda: now,
        settled=lambda: now,
    )
    assert watcher.watch(seen) is End.LINGERED


def test_a_cancel(watcher, child, keeper):
    keeper.cancelled_by = "ada"
    assert watcher.watch(Child(pid=child(sleep), streams=(), deadline_s=60)) is End.CANCELLED


def test_a_signal_to_end(watcher, child, wakeup):
    me = os.getpid()

    def call():
        os.kill(me, 15)
        sleep()

    assert watcher.watch(Child(pid=child(call), streams=(), deadline_s=60)) is End.TERMINATED


class Pipe:
    """A stream that the child writes into."""

    def __init__(self) -> None:
        self.fd, self.writing = os.pipe()
        os.set_blocking(self.fd, False)
        self.data = b""

    def pump(self):
        try:
            data = os.read(self.fd, 10)
        except BlockingIOError:
            return True
        self.data += data
        return bool(data)

    def close(self):
        os.close(self.fd)
        os.close(self.writing)


def test_what_the_child_says_is_taken_in_to_the_last_byte(watcher, child, monkeypatch):
    pipe = Pipe()
    text = b"x" * 1000
    seen = Child(pid=child(lambda: os.write(pipe.writing, text)), streams=(pipe,), deadline_s=60)
    assert watcher.watch(seen) is End.EXITED
    # The writing end is still open here, as a survivor's would be: that must not make it wait.
    waits = []
    monkeypatch.setattr(
        "autopilot.runner.watch.wait_ready",
        lambda fds, timeout: waits.append(timeout) or wait_ready(fds, timeout=0),
    )
    assert watcher.clear(seen, 0.0) == 0
    assert pipe.data == text
    assert set(waits) == {0}
    assert seen.exit_code == 7
    pipe.close()


def test_clear_ends_the_child_and_tells_its_code(watcher, child):
    seen = Child(pid=child(sleep), streams=(), deadline_s=0.01)
    assert watcher.watch(seen) is End.TIMED_OUT
    assert watcher.clear(seen, 0.0) == 1
    assert seen.exit_code == -9


def test_clear_goes_on_until_nobody_is_left(watcher, monkeypatch, capsys):
    reports = [KillReport(killed=2, survivors=[5]), KillReport(killed=0, survivors=[5]), KillReport(killed=1)]
    graces = []

    def end_them(*, grace_s, clock, while_waiting):
        graces.append(grace_s)
        return reports.pop(0)

    monkeypatch.setattr("autopilot.runner.watch.kill_tree", end_them)
    assert watcher.clear(Child(pid=1, streams=(), deadline_s=1), 3.0) == 3
    assert graces == [3.0, 0.0, 0.0]
    assert capsys.readouterr().err == "not dead after SIGKILL, so the report waits: [5]\n"


def test_the_lease_is_kept_while_processes_are_ended(watcher, child, keeper):
    def deaf():
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleep()

    seen = Child(pid=child(deaf), streams=(), deadline_s=0.2)
    watcher.watch(seen)
    before = keeper.beats
    watcher.clear(seen, 0.2)
    assert keeper.beats > before
