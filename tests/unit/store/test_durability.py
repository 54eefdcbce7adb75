"""What a step puts on the disk before it returns: with ``full`` all that it promises, with ``process`` nothing."""

from __future__ import annotations

import os
import re
import sys

import pytest

from autopilot.errors import StorageError
from autopilot.models import Ending, EventDraft, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.system import failpoints
from autopilot.system.processes import identify
from autopilot.testing.stores import draft, gone_owner, result_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors get their names from /proc")

LEASE = {"state/leases/one.json", "state/leases"}
TASK = {"tasks/one.md", "tasks"}
REPORT = {"runs/one/1/result.json", "runs/one/1", "runs/one", "runs", "."}
CANCEL = {"state/leases/one.cancel", "state/leases"}
EVENT = (EventDraft(event_type="x.y"),)


def created(store):
    return store.create(draft("one"))


def claimed(store):
    return claim(store, created(store))


def started(store):
    return start(store, claimed(store))


def released_and_deleted(store):
    end(store, claimed(store), Status.PENDING)
    os.unlink(f"{store._layout.tasks}/one.md")


def corrupt(store):
    claimed(store)
    with open(f"{store._layout.leases}/one.json", "wb"):
        pass


def corrupt_report(store):
    lease = started(store)
    store.report(lease, result_of(lease))
    with open(f"{store._layout.run('one', 1)}/result.json", "wb"):
        pass
    return lease


def persons_leftover(store):
    name = ".one.md.99999.0a1b2c3d.swap"
    created(store)
    with open(f"{store._layout.tasks}/{name}", "wb") as file:
        file.write(b"a person's")
    return name


def broken_and_untold(store):
    """An attempt whose end is in its lease only: the file is half a save, the log was full."""
    lease = started(store)
    publish = store._publish
    set_log(store, full)
    with open(f"{store._layout.tasks}/one.md", "wb"):
        pass
    store.finish(lease, Ending(status=Status.DONE, record=lease.record, events=EVENT))
    set_log(store, publish)


def claimed_and_unwritten(store):
    """A claim that died before it wrote its status."""
    created(store)
    failpoints.arm("claim.md.opened=EIO")
    claim(store, None, owner=gone_owner())
    failpoints.disarm()


def set_log(store, publish):
    store._publish = store._projector._publish = publish


def full(events):
    raise StorageError("the log is full")


def create(store, _=None):
    return store.create(draft("one"))


def claim(store, _, owner=None):
    limits, owner = SlotLimits(total=9), owner or identify()
    return store.claim("one", executor="local", owner=owner, limits=limits, ttl_s=30.0, events=EVENT)


def start(store, lease):
    return store.start(lease, owner=identify())


def end(store, lease, status=Status.DONE):
    store.finish(lease, Ending(status=status, record=lease.record))


def move(store, _):
    ending = Ending(status=Status.CANCELLED, record=store.record("one"))
    store.move("one", ending, expected=Status.PENDING)


def refused(step):
    """The step, while the log takes no events."""

    def do(store, given):
        set_log(store, full)
        with pytest.raises(StorageError):
            step(store, given)

    return do


STEPS = {
    "create": (lambda store: None, create, TASK),
    "edit": (created, lambda store, _: store.edit("one", {"title": "x"}), TASK),
    # A status that a power cut takes back is written again, so a claim leaves the file's name to itself.
    "claim": (created, claim, LEASE | {"tasks/one.md"}),
    "start": (claimed, start, LEASE),
    "cancel": (claimed, lambda store, _: store.request_cancel("one", by="me"), CANCEL),
    "report": (started, lambda store, lease: store.report(lease, result_of(lease)), REPORT),
    "finish": (started, end, LEASE | TASK),
    "move": (created, move, LEASE | TASK),
    "create again": (released_and_deleted, create, TASK | {"state/records/one.json", "state/records"}),
    "set a corrupt lease aside": (corrupt, lambda store, _: store.project(), {"state/leases"}),
    "set a corrupt report aside": (corrupt_report, lambda store, lease: store.result(lease), {"state/corrupt"}),
    "keep a person's text": (
        persons_leftover,
        lambda store, name: store._files.clear_leftover(name),
        {"conflicts"},
    ),
    # A power cut may bring the untold lease or the old status back: it is told or written again.
    "tell what waited": (broken_and_untold, lambda store, _: store.project(), {"state/leases/one.json"}),
    "write what was not written": (claimed_and_unwritten, lambda store, _: store.project(), {"tasks/one.md"}),
    "take a creation back": (lambda store: None, refused(create), TASK),
    "take a claim back": (created, refused(claim), LEASE),
}


@pytest.fixture
def synced(monkeypatch, root):
    """Names of what was fsynced, below the root; a temporary file counts as the one that it becomes."""
    names = []
    real = os.fsync

    def fsync(fd):
        name = os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), root)
        names.append(re.sub(r"\.([^/]+)\.\d+\.[0-9a-f]{8}\.tmp$", r"\1", name))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


@pytest.fixture
def make(root, log, clock):
    """A store of the given durability whose folders are all there."""

    def make_store(durability):
        store = FileStore(str(root), publish=log.publish, clock=clock, durability=durability, watch=False)
        layout = store._layout
        layout.prepare(layout.tasks, layout.leases, layout.records, layout.locks, layout.corrupt, layout.runs)
        layout.prepare(layout.conflicts)
        return store

    return make_store


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_on_the_disk_when_it_returns(make, synced, step):
    before, do, names = STEPS[step]
    store = make("full")
    given = before(store)
    synced.clear()
    do(store, given)
    assert set(synced) == names


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_fsynced_for_the_death_of_processes_only(make, synced, step):
    before, do, _ = STEPS[step]
    store = make("process")
    do(store, before(store))
    assert synced == []


@pytest.mark.parametrize(
    "step, folder", [("take a creation back", "tasks"), ("take a claim back", "state/leases")]
)
def test_what_is_taken_back_is_not_brought_back_by_a_power_cut(make, synced, step, folder):
    before, do, _ = STEPS[step]
    store = make("full")
    given = before(store)
    synced.clear()
    do(store, given)
    assert synced[1:] == [folder, folder]


def test_a_new_folder_is_on_the_disk_before_what_is_put_into_it(root, log, clock, synced):
    FileStore(str(root), publish=log.publish, clock=clock, watch=False).create(draft("one"))
    assert synced.index(".") < synced.index("tasks/one.md") < synced.index("tasks")
