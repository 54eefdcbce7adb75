"""What the file store does beyond the contract: crashes, damage, refusing disks, people."""

from __future__ import annotations

import errno
import json
import os
import stat

import attrs
import pytest

from autopilot.errors import (
    AlreadyExistsError,
    BusyError,
    LeaseLostError,
    StorageError,
    TaskFormatError,
    UsageError,
)
from autopilot.models import (
    NO_BEAT,
    Ending,
    EventDraft,
    InvalidTask,
    LeaseState,
    Status,
    Task,
    TaskDraft,
    TaskRecord,
)
from autopilot.store import leasefiles, projection
from autopilot.store.contract import SlotLimits
from autopilot.store.layout import Layout
from autopilot.store.leasefiles import LeaseFiles
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.store.protocol import MOST_CREATE_EVENTS
from autopilot.system import failpoints
from autopilot.system.clock import format_instant
from autopilot.system.durable import read_file
from autopilot.system.processes import identify
from autopilot.testing.stores import draft, gone_owner, result_of, text_of

LIMITS = SlotLimits(total=100)
DONE = EventDraft(event_type="task.done")


def claim(store, task_id="one", **more):
    arguments = {"executor": "local", "owner": identify(), "limits": LIMITS, "ttl_s": 30.0}
    return store.claim(task_id, **{**arguments, "events": (EventDraft(event_type="task.claimed"),), **more})


def start(store, lease):
    return store.start(lease, owner=identify(), events=(EventDraft(event_type="attempt.started"),))


def end(store, lease, status=Status.DONE, **more):
    return store.finish(lease, Ending(status=status, record=lease.record, events=(DONE,), **more))


def move(store, status, expected, task_id="one"):
    ending = Ending(status=status, record=store.record(task_id), events=(EventDraft(event_type=f"to.{status}"),))
    return store.move(task_id, ending, expected=expected)


def file_of(root, task_id="one"):
    return root / "tasks" / f"{task_id}.md"


def refused(*args, **more):
    raise OSError(errno.EROFS, "read-only")


def broken(path):
    path.write_bytes(b"---\ntitle: [half a sa")


# ---------------------------------------------------------------------- files


def test_everything_is_private_to_the_user(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    files.request_cancel("one", by="me")
    files.report(lease, result_of(lease))
    for folder, _, names in os.walk(root):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in names:
            assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600, name
    end(files, files.lease("one"))
    assert os.listdir(root / "state/leases") == []
    assert os.listdir(root / "state/records") == ["one.json"]


def test_reading_makes_nothing(open_file_store, root):
    files = open_file_store()
    files.changes()
    files.project()
    files.leases()
    list(files.tasks())
    files.record("one")
    assert not root.exists()


def test_a_whole_life_changes_only_owned_lines(files, root):
    lines = [
        "\ufeff---",
        "id: one",
        "# mine",
        "title: 'x'  # so",
        "zz:  [1,  2]",
        "---",
        "",
        "Body.  ",
        "no newline",
    ]
    text = "\r\n".join(lines).encode()
    file_of(root).parent.mkdir(parents=True)
    file_of(root).write_bytes(text)
    lease = start(files, claim(files))
    end(files, lease, result={"outcome": "succeeded"})
    move(files, Status.PENDING, Status.DONE)
    lease = claim(files)
    end(files, lease, Status.PENDING)
    after = file_of(root).read_bytes()
    owned = (b"status:", b"updated_at:", b"created_at:", b"attempt:", b"result:", b"  outcome:")
    kept = b"".join(line for line in after.splitlines(keepends=True) if not line.startswith(owned))
    assert kept == text
    assert b"\r\nattempt: 2\r\n" in after


def test_a_dropped_file_learns_when_it_was_seen_first(files, root):
    file_of(root).parent.mkdir(parents=True)
    file_of(root).write_bytes(text_of("one"))
    os.utime(file_of(root), (1_700_000_000, 1_700_000_000))
    claim(files)
    assert files.get("one").created_at.timestamp() == 1_700_000_000


def test_a_file_that_knows_its_time_keeps_it(files, clock):
    made = files.create(draft("one", created_at="2026-11-20T09:00:00Z"))
    claim(files)
    assert files.get("one").created_at == made.created_at


def test_symbolic_links_in_the_way_are_refused(open_file_store, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    root.mkdir()
    os.symlink(tmp_path / "elsewhere", root / "tasks")
    files = open_file_store()
    with pytest.raises(StorageError):
        files.create(draft("one"))
    with pytest.raises(StorageError):
        files.changes()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_in_place_of_a_run_folder_is_refused(files, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    files.create(draft("one"))
    lease = start(files, claim(files))
    (root / "runs").mkdir()
    os.symlink(tmp_path / "elsewhere", root / "runs/one")
    with pytest.raises(StorageError):
        files.report(lease, result_of(lease))
    assert os.listdir(tmp_path / "elsewhere") == []


def test_ids_that_end_like_our_files(files):
    for task_id in ("a", "a.1", "a.1.beat", "a.cancel", "a.json", "a.1.beat.cancel"):
        files.create(draft(task_id))
        lease = start(files, claim(files, task_id))
        files.renew(lease)
        files.request_cancel(task_id, by="me")
    assert [lease.task_id for lease in files.leases()] == files.ids()
    assert all(lease.cancel == "me" for lease in files.leases())
    assert files.project() == 0
    for lease in files.leases():
        end(files, lease)
    assert files.leases() == []


def test_a_request_that_cannot_be_written_is_told(files, root):
    files.create(draft("one"))
    claim(files)
    failpoints.arm("cancel.rename=ENOSPC")
    with pytest.raises(StorageError):
        files.request_cancel("one", by="me")
    assert files.lease("one").cancel is None


def test_a_cancel_is_shown_before_the_first_beat(files):
    files.create(draft("one"))
    claim(files)
    assert files.lease("one").cancel is None
    files.request_cancel("one", by="me")
    assert files.lease("one").cancel == "me"


def test_hidden_files_are_no_leases(files, root):
    files.create(draft("one"))
    claim(files)
    (root / "state/leases/.two.json").write_bytes(b"half a save")
    assert [lease.task_id for lease in files.leases()] == ["one"]
    assert files.faults() == []


def test_nobody_is_asked_to_stop_what_has_ended(files, root, log):
    files.create(draft("one"))
    lease = claim(files)
    log.fault = StorageError("the log is full")
    end(files, lease, Status.PENDING)
    assert files.lease("one").state is LeaseState.ENDED
    assert files.request_cancel("one", by="me") is False
    assert not (root / "state/leases/one.cancel").exists()


def test_files_beside_a_lease_belong_to_the_whole_id(files, root):
    files.create(draft("a.b"))
    lease = start(files, claim(files, "a.b"))
    files.request_cancel("a.b", by="me")
    assert files.project() == 0
    assert "a.b.1.beat" in os.listdir(root / "state/leases")
    assert files.renew(lease).cancel == "me"
    assert sorted(os.listdir(root / "state/leases")) == ["a.b.1.beat", "a.b.cancel", "a.b.json"]


# ---------------------------------------------------------------------- creation


def test_a_dangling_link_is_a_taken_name(files, root):
    file_of(root).parent.mkdir(parents=True)
    os.symlink("/nowhere", file_of(root))
    with pytest.raises(AlreadyExistsError):
        files.create(draft("one"))


def test_created_again_after_it_was_deleted(files, root, log):
    created = (EventDraft(event_type="task.created"),)
    files.create(draft("one"), created)
    lease = claim(files)
    end(files, lease, Status.PENDING)
    os.unlink(file_of(root))
    files.create(draft("one"), created)
    assert claim(files).token == 2
    assert len(log.distinct()) == len(log.events) == 5


def test_an_id_is_taken_as_long_as_an_attempt_of_a_deleted_task_runs(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    file_of(root).unlink()
    with pytest.raises(AlreadyExistsError) as taken:
        files.create(draft("one", title="Something else"))
    assert "attempt 1 of an earlier task" in taken.value.message
    assert "choose another id, or wait" in taken.value.hint
    assert files.ids() == []
    end(files, lease)
    assert files.create(draft("one")).status is Status.PENDING


def test_a_creation_raced_by_a_file_that_a_person_drops(files, root, monkeypatch):
    def raced(path, data, **more):
        with open(path, "wb") as file:
            file.write(b"a person's")
        raise AlreadyExistsError("taken")

    monkeypatch.setattr("autopilot.store.markdown.create_file", raced)
    with pytest.raises(AlreadyExistsError, match="'one' already; nothing was changed"):
        files.create(draft("one"))
    assert file_of(root).read_bytes() == b"a person's"


@pytest.mark.parametrize("point", ["opened", "write", "written", "synced", "linked", "done"])
@pytest.mark.parametrize("fault", ["ENOSPC", "EROFS", "EIO"])
def test_a_refused_creation_leaves_nothing(files, root, point, fault):
    files.create(draft("other"))
    failpoints.arm(f"create.{point}={fault}")
    with pytest.raises((StorageError, OSError)):
        files.create(draft("one"))
    failpoints.disarm()
    assert os.listdir(root / "tasks") == ["other.md"]
    files.create(draft("one"))


def test_a_refused_record_leaves_no_task(files, root):
    files.create(draft("one"))
    end(files, claim(files), Status.PENDING)
    os.unlink(file_of(root))
    failpoints.arm("record.rename=ENOSPC")
    with pytest.raises(StorageError):
        files.create(draft("one"))
    assert files.ids() == []


def test_a_fresh_record_takes_the_files_word(files, root):
    files.create(draft("one", status="done"))
    assert files.record("one") == TaskRecord(task_id="one", seq=MOST_CREATE_EVENTS, projected=Status.DONE)
    files.create(draft("two", status="blocked", attempt="3"))
    assert files.record("two").token == 3
    assert files.record("two").seq > MOST_CREATE_EVENTS
    assert files.record("none").projected is Status.PENDING


def test_as_many_events_as_a_creation_may_have(files, log):
    files.create(draft("one"), [DONE] * MOST_CREATE_EVENTS)
    end(files, claim(files), Status.PENDING)
    assert len(log.distinct()) == len(log.events) == MOST_CREATE_EVENTS + 2


def test_too_many_events_at_a_creation(files):
    with pytest.raises(ValueError, match="at most 15"):
        files.create(draft("one"), [DONE] * 16)
    assert files.ids() == []


# ---------------------------------------------------------------------- claims


@pytest.mark.parametrize("step", ["opened", "write", "written", "synced", "rename", "renamed", "done"])
def test_a_refused_claim_is_undone(files, log, step):
    made = files.create(draft("one"))
    failpoints.arm(f"claim.lease.{step}=ENOSPC")
    with pytest.raises((StorageError, OSError)):
        claim(files)
    failpoints.disarm()
    assert files.leases() == []
    assert files.get("one") == made
    assert log.events == []
    assert claim(files).token == 1


@pytest.mark.parametrize("step", ["opened", "write", "written", "synced", "swap", "swapped"])
def test_a_claim_whose_file_cannot_be_written_holds_all_the_same(files, root, step):
    files.create(draft("one"))
    failpoints.arm(f"claim.md.{step}=ENOSPC")
    lease = claim(files)
    failpoints.disarm()
    assert (files.get("one").status, files.get("one").attempt) == (Status.CLAIMED, 1)
    assert any("could not be written" in fault for fault in files.faults()) or step == "swapped"
    end(files, lease, Status.PENDING)
    assert b"status: pending" in file_of(root).read_bytes()


def test_a_file_open_in_an_editor_is_not_claimed(files, root):
    files.create(draft("one"))
    with open(file_of(root), "ab"), pytest.raises(BusyError, match="of task one is open") as refusal:
        claim(files)
    assert refusal.value.code == "busy"
    assert claim(files).token == 1


def test_an_unreadable_file_is_not_claimed(files, root):
    files.create(draft("one"))
    for text in (b"---\ntitle: [half a sa", text_of("two")):
        file_of(root).write_bytes(text)
        with pytest.raises(TaskFormatError) as refusal:
            claim(files)
        assert refusal.value.path == str(file_of(root))
    os.unlink(file_of(root))
    os.symlink("/etc/passwd", file_of(root))
    with pytest.raises(StorageError, match=r"tasks/one\.md"):
        claim(files)
    assert files.leases() == []


def test_tokens_grow_when_records_are_lost(open_file_store, root, log):
    files = open_file_store()
    files.create(draft("one"))
    for _ in range(3):
        end(files, claim(files), Status.PENDING)
    os.unlink(root / "state/records/one.json")
    assert claim(files).token == 4
    end(files, files.leases()[0], Status.PENDING)
    os.unlink(root / "state/records/one.json")
    text = file_of(root).read_bytes().replace(b"attempt: 4\n", b"")
    file_of(root).write_bytes(text)
    (root / "runs/one/7").mkdir(parents=True)
    (root / "runs/one/not-a-number").mkdir()
    assert files.record("one").token == 7
    assert claim(files).token == 8
    assert len(log.distinct()) == len(log.events)


@pytest.mark.parametrize("witness", ["folder", "file"])
def test_an_old_record_brings_no_old_token_back(files, root, witness):
    files.create(draft("one"))
    end(files, claim(files), Status.PENDING)
    if witness == "folder":
        (root / "runs/one/7").mkdir(parents=True)
    else:
        files.edit("one", {"attempt": 7})
    assert claim(files).token == 8


def test_an_empty_folder_of_runs_is_no_attempt(files, root):
    files.create(draft("one"))
    (root / "runs/one").mkdir(parents=True)
    assert files.record("one").token == 0
    assert claim(files).token == 1


# ---------------------------------------------------------------------- damage


def test_a_corrupt_lease_is_set_aside_and_told(files, root, log, clock):
    files.create(draft("one"))
    files.create(draft("two"))
    lease = start(files, claim(files))
    (root / "state/leases/one.json").write_bytes(b'{"record": ')
    assert files.leases() == []
    assert files.get("one").status is Status.CLAIMED
    assert any("one.json cannot be read" in fault for fault in files.faults())
    with pytest.raises(LeaseLostError):
        files.renew(lease)
    clock.tick_s = 0.0
    assert files.project() == 1
    assert files.project() == 0
    (kept,) = os.listdir(root / "state/corrupt")
    assert kept.startswith("one.")
    assert any("moved to" in fault for fault in files.faults())
    (told,) = (event for event in log.events if event.event_type == "file.kept")
    assert told.payload["path"].endswith(kept)
    assert told.id.startswith("evt-")
    assert told.trace_id == "one"
    assert told.timestamp == format_instant(clock.wall)
    move(files, Status.PENDING, Status.CLAIMED)
    assert claim(files).token == 2
    claim(files, "two")


@pytest.mark.parametrize("fault", [StorageError("the log is full"), OSError(errno.EIO, "broken")])
def test_what_is_set_aside_need_not_be_told(files, root, log, fault):
    files.create(draft("one"))
    claim(files)
    (root / "state/leases/one.json").write_bytes(b"")
    log.fault = fault
    assert files.project() == 1
    assert len(os.listdir(root / "state/corrupt")) == 1


def test_a_corrupt_lease_that_cannot_be_set_aside_is_told(files, root, monkeypatch):
    files.create(draft("one"))
    claim(files)
    (root / "state/leases/one.json").write_bytes(b"")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(StorageError, match="state/corrupt/one"):
        files.project()


def test_a_lease_that_is_gone_is_not_set_aside(files, monkeypatch):
    files.create(draft("one"))
    monkeypatch.setattr(LeaseFiles, "ids", lambda self: ["one"])
    assert files.project() == 0
    assert files.faults() == []


def test_a_report_with_what_json_does_not_know(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    result = result_of(lease)
    odd = attrs.evolve(result, outcome=attrs.evolve(result.outcome, evidence={"at": root}))
    files.report(lease, odd)
    assert files.result(lease).outcome.evidence == {"at": str(root)}


def test_a_corrupt_lease_does_not_stop_a_claim(files, root):
    files.create(draft("one"))
    (root / "state/leases").mkdir(parents=True, exist_ok=True)
    (root / "state/leases/one.json").write_bytes(b"")
    assert claim(files).token == 1


def test_a_corrupt_record_is_told_and_outlived(files, root):
    files.create(draft("one"))
    end(files, claim(files), Status.PENDING)
    (root / "state/records/one.json").write_bytes(b"[]")
    assert files.record("one").token == 1
    assert files.faults()
    lease = claim(files)
    assert lease.token == 2
    end(files, lease, Status.PENDING)
    assert files.record("one").token == 2


@pytest.mark.parametrize("hindrance", ["no folder", "no rename"])
def test_a_corrupt_report_that_cannot_be_moved_counts_as_none(files, root, monkeypatch, hindrance):
    files.create(draft("one"))
    lease = start(files, claim(files))
    files.report(lease, result_of(lease))
    path = root / "runs/one/1/result.json"
    path.write_bytes(b"")
    if hindrance == "no folder":
        (root / "state/corrupt").write_bytes(b"in the way")
    else:
        (root / "state/corrupt").mkdir()
        monkeypatch.setattr("autopilot.store.results.os.replace", refused)
    assert files.result(lease) is None
    assert path.exists()


def test_a_corrupt_report_counts_as_none_and_is_kept(files, root, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    files.report(lease, result_of(lease))
    path = root / "runs/one/1/result.json"
    path.write_bytes(path.read_bytes()[:20])
    assert files.result(lease) is None
    (why,) = files.faults()
    assert "so it is lost" in why
    (kept,) = (root / "state/corrupt").iterdir()
    assert kept.name.startswith("one.1.result.")
    assert (log.events[-1].trace_id, log.events[-1].payload) == ("one", {"path": str(kept), "why": why})
    assert files.result(lease) is None
    files.report(lease, result_of(lease))
    assert files.result(lease) == result_of(lease)


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff\xfe", b"a b c", b"1 2 3 4 5"])
def test_a_damaged_beat_is_none(files, root, damage):
    files.create(draft("one"))
    lease = start(files, claim(files))
    (root / "state/leases/one.1.beat").write_bytes(damage)
    assert files.lease("one").beat == NO_BEAT
    files.renew(lease)
    assert files.lease("one").beat >= lease.beat


def test_a_beat_of_another_boot_is_none_of_ours(files, root, clock):
    files.create(draft("one"))
    lease = start(files, claim(files))
    clock.advance(100)
    path = root / "state/leases/one.1.beat"
    files.renew(lease)
    assert files.lease("one").beat > lease.beat
    words = path.read_bytes().split()
    path.write_bytes(b" ".join([b"another-boot", *words[1:]]))
    assert files.lease("one").beat == NO_BEAT


def test_a_beat_that_was_deleted_does_not_make_a_long_attempt_old(files, root, clock):
    files.create(draft("one"))
    lease = start(files, claim(files))
    clock.advance(100)
    (root / "state/leases/one.1.beat").unlink()
    watch = BeatWatch()
    assert verdict(files.lease("one"), clock, watch, alive=lambda owner: True) is Liveness.ALIVE
    for _ in range(3):
        clock.advance(lease.ttl_s / 2)
        seen = verdict(files.lease("one"), clock, watch, alive=lambda owner: True)
    assert seen is Liveness.EXPIRED


@pytest.mark.parametrize("what", ["beat", "cancel"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO])
def test_who_cannot_look_knows_nothing(files, monkeypatch, what, number):
    files.create(draft("one"))
    start(files, claim(files))
    files.request_cancel("one", by="me")

    def refuse(path, *, limit=-1):
        if what in path:
            raise OSError(number, os.strerror(number), path)
        return read_file(path, limit=limit)

    monkeypatch.setattr(leasefiles, "read_file", refuse)
    with pytest.raises(StorageError, match="cannot read"):
        files.lease("one")


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"token": 1}', b'{"token": 7, "by": "x"}', b'{"by": "me"}', b"\xff"]
)
def test_a_damaged_cancel_request_is_none(files, root, damage):
    files.create(draft("one"))
    lease = start(files, claim(files))
    (root / "state/leases/one.cancel").write_bytes(damage)
    assert files.renew(lease).cancel is None
    assert files.request_cancel("one", by="me") is True
    assert files.renew(lease).cancel == "me"


def test_beats_need_no_new_blocks_and_no_events(files, root, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    path = root / "state/leases/one.1.beat"
    before = os.stat(path)
    for _ in range(3):
        files.renew(lease)
    after = os.stat(path)
    assert len(log.events) == 2
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_a_beat_that_cannot_be_written(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    failpoints.arm("beat.write=EIO")
    with pytest.raises(StorageError, match=r"state/leases/one\.1\.beat"):
        files.renew(lease)
    files.renew(lease)


def test_a_link_in_place_of_a_beat_is_refused(files, root, tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    files.create(draft("one"))
    lease = start(files, claim(files))
    (root / "state/leases/one.1.beat").unlink()
    os.symlink(tmp_path / "precious", root / "state/leases/one.1.beat")
    with pytest.raises(StorageError):
        files.renew(lease)
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_a_late_beat_does_not_speak_for_its_successor(files, root, clock):
    files.create(draft("one"))
    old = start(files, claim(files))
    end(files, old, Status.PENDING)
    new = start(files, claim(files))
    LeaseFiles(Layout(str(root)), sync=False, faults=print, kept=print).write_beat(old, 9e9, 0)
    assert files.lease("one").beat == pytest.approx(new.beat, abs=1)
    end(files, new)
    assert files.project() == 0
    assert os.listdir(root / "state/leases") == []


def test_leases_are_read_again_only_when_they_change(files, root, monkeypatch):
    files.create(draft("one"))
    claim(files)
    monkeypatch.setattr("autopilot.store.leasefiles._RACY_NS", -1)
    first = files.leases()
    monkeypatch.setattr("autopilot.store.leasefiles.decode_lease", lambda data: pytest.fail("read again"))
    assert files.leases() == files.leases() == first
    os.unlink(root / "state/leases/one.json")
    assert files.leases() == []


def test_a_lease_that_changed_is_read_again(files, monkeypatch):
    files.create(draft("one"))
    lease = claim(files)
    monkeypatch.setattr("autopilot.store.leasefiles._RACY_NS", -1)
    assert [held.state for held in files.leases()] == [LeaseState.CLAIMED]
    start(files, lease)
    assert [held.state for held in files.leases()] == [LeaseState.STARTED]


def test_leases_that_were_just_written_are_read_each_time(files, monkeypatch):
    files.create(draft("one"))
    claim(files)
    monkeypatch.setattr("autopilot.store.leasefiles._RACY_NS", 10**18)
    files.leases()
    seen = []
    monkeypatch.setattr("autopilot.store.leasefiles.decode_lease", seen.append)
    files.leases()
    assert len(seen) == 1


def test_a_lease_that_vanishes_while_they_are_listed(files, root, monkeypatch):
    files.create(draft("one"))
    claim(files)
    monkeypatch.setattr(LeaseFiles, "ids", lambda self: ["gone", "one"])
    assert [lease.task_id for lease in files.leases()] == ["one"]


def test_a_lease_that_may_not_be_read_is_no_corrupt_one(files, monkeypatch):
    files.create(draft("one"))
    claim(files)

    def refuse(path):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("autopilot.store.leasefiles.read_file", refuse)
    with pytest.raises(StorageError, match=r"state/leases/one\.json"):
        files.leases()

    def strange(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("autopilot.store.leasefiles.read_file", strange)
    with pytest.raises(OSError, match="Stale"):
        files.lease("one")


# ---------------------------------------------------------------------- projections


def test_a_half_saved_file_waits_for_its_status(files, root, log):
    files.create(draft("one"))
    files.create(draft("two"))
    lease = start(files, claim(files))
    whole = file_of(root).read_bytes()
    broken(file_of(root))
    shown = end(files, lease)
    assert isinstance(shown, InvalidTask)
    assert files.project() == 0
    assert files.project() == 0
    assert file_of(root).read_bytes() == b"---\ntitle: [half a sa"
    assert [held.state for held in files.leases()] == [LeaseState.ENDED]
    assert len(log.events) == len(log.distinct()) == 3
    end(files, start(files, claim(files, "two")))
    file_of(root).write_bytes(whole)
    assert files.project() == 1
    assert files.get("one").status is Status.DONE
    assert files.leases() == []
    assert len(log.events) == len(log.distinct())


def test_a_file_open_in_an_editor_waits_for_its_status(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    with open(file_of(root), "ab") as editor:
        shown = end(files, lease)
        assert shown.status is Status.DONE
        assert files.get("one").status is Status.DONE
        assert files.project() == 0
        editor.write(b"typed meanwhile\n")
    assert files.project() == 1
    assert b"typed meanwhile\n" in file_of(root).read_bytes()
    assert b"status: done" in file_of(root).read_bytes()


def test_a_deleted_file_ends_its_lease_all_the_same(files, root, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    os.unlink(file_of(root))
    assert end(files, lease) is None
    assert files.leases() == []
    assert log.types()[-1] == "task.done"
    assert files.record("one").token == 1


def test_a_start_that_could_not_be_told_is_told_with_the_end(files, log):
    files.create(draft("one"))
    lease = claim(files)
    log.fault = StorageError("full")
    lease = start(files, lease)
    assert lease.outbox == ()
    assert files.faults() == ["events of one wait in its lease: full"]
    log.fault = None
    end(files, lease)
    assert [event.event_type for event in log.events] == ["task.claimed", "attempt.started", "task.done"]


def test_an_end_waits_for_the_folder_of_records(files, root):
    files.create(draft("one"))
    lease = claim(files)
    (root / "state/records").write_bytes(b"in the way")
    assert end(files, lease, Status.CANCELLED).status is Status.CANCELLED
    assert files.project() == 0
    os.unlink(root / "state/records")
    assert files.project() == 1
    assert files.leases() == []


def test_a_file_that_became_another_task_gets_no_status(files, root):
    files.create(draft("one"))
    lease = claim(files)
    file_of(root).write_bytes(text_of("two"))
    assert isinstance(end(files, lease, Status.PENDING), InvalidTask)
    assert file_of(root).read_bytes() == text_of("two")
    assert files.project() == 0


def test_a_move_is_nobodys_attempt(files, log):
    files.create(draft("one"))
    log.fault = StorageError("full")
    move(files, Status.CANCELLED, Status.PENDING)
    (lease,) = files.leases()
    assert (lease.executor, lease.token, lease.state, lease.ttl_s) == ("", 0, LeaseState.ENDED, 0.0)


def test_no_record_is_read_of_who_cannot_be_parked(files, monkeypatch):
    for task_id in ("done", "held", "new"):
        files.create(draft(task_id))
    end(files, start(files, claim(files, "done")))
    assert claim(files, "held").outbox == ()
    monkeypatch.setattr(files._leases, "record", lambda task_id: pytest.fail(f"asked for {task_id}"))
    assert [task.status for task in files.tasks()] == [Status.DONE, Status.CLAIMED, Status.PENDING]
    assert files.get("new").status is Status.PENDING


def test_all_tasks_are_shown_as_each_is(files):
    for task_id in ("one", "two"):
        files.create(draft(task_id))
    start(files, claim(files))
    assert list(files.tasks()) == [files.get("one"), files.get("two")]
    assert files.get("one").status is Status.IN_PROGRESS


def test_a_deleted_file_that_cannot_even_be_looked_at(files, root, monkeypatch):
    files.create(draft("one"))
    lease = start(files, claim(files))

    def rewrite(*args, **more):
        os.unlink(file_of(root))
        raise BusyError("saved again and again")

    monkeypatch.setattr(projection.MarkdownFiles, "rewrite", rewrite)
    assert end(files, lease) is None


def test_a_persons_status_after_the_projection_is_not_undone(files, root, log):
    """A crash after the projection, a person's edit, and then the recovery."""
    files.create(draft("one"))
    lease = start(files, claim(files))
    failpoints.arm("retire.rename=EIO")
    end(files, lease)
    failpoints.disarm()
    assert files.leases()
    text = file_of(root).read_bytes()
    file_of(root).write_bytes(text.replace(b"status: done", b"status: pending"))
    assert files.project() == 1
    assert b"status: pending" in file_of(root).read_bytes()
    assert files.get("one").status is Status.PENDING
    assert claim(files).token == 2


def test_a_dead_claimers_steps_are_told_by_whoever_comes(open_file_store, log, root):
    one, two = open_file_store(), open_file_store()
    one.create(draft("one"))
    failpoints.arm("claim.md.opened=EIO")
    claim(one, owner=gone_owner())
    failpoints.disarm()
    log.events.clear()
    assert b"status: pending" not in file_of(root).read_bytes()
    assert two.project() == 1
    assert two.project() == 0
    assert log.types() == ["task.claimed"]
    assert b"status: claimed" in file_of(root).read_bytes()
    assert two.lease("one") is not None


def test_every_dead_claimers_steps_are_told(open_file_store, log):
    one, two = open_file_store(), open_file_store()
    for task_id in ("one", "two"):
        one.create(draft(task_id))
        claim(one, task_id, owner=gone_owner())
    log.events.clear()
    assert two.project() == 2
    assert [event.trace_id for event in log.events] == ["one", "two"]


def test_a_dead_claimers_steps_wait_for_the_log(open_file_store, log):
    files = open_file_store()
    files.create(draft("one"))
    claim(files, owner=gone_owner())
    log.fault = StorageError("full")
    assert files.project() == 0
    assert files.faults() == ["events of one wait in its lease: full"]
    log.fault = None
    assert files.project() == 1


@pytest.mark.parametrize("fault", [None, StorageError("full")])
def test_a_dead_runners_start_is_told_if_it_was_not(files, log, fault):
    files.create(draft("one"))
    lease = claim(files)
    log.fault = fault
    files.start(lease, owner=gone_owner(), events=(EventDraft(event_type="attempt.started"),))
    log.fault = None
    assert files.project() == 1
    assert [event.event_type for event in log.events] == ["task.claimed", "attempt.started"]


def test_a_persons_status_after_a_dead_claimers_is_not_undone(files, root):
    files.create(draft("one"))
    claim(files, owner=gone_owner())
    text = file_of(root).read_bytes().replace(b"status: claimed", b"status: cancelled")
    file_of(root).write_bytes(text)
    assert files.project() == 1
    assert file_of(root).read_bytes() == text


@pytest.mark.parametrize("beat", [None, b""])
def test_a_start_that_could_not_be_told_is_told_with_the_next_beat(files, root, log, beat):
    files.create(draft("one"))
    lease = claim(files, events=())
    log.fault = StorageError("full")
    lease = start(files, lease)
    if beat is not None:
        (root / "state/leases/one.1.beat").write_bytes(beat)
    log.fault = None
    for _ in range(2):
        files.renew(lease)
    assert [event.event_type for event in log.events] == ["attempt.started"]


def test_a_live_owners_steps_are_its_own_business(files, log):
    files.create(draft("one"))
    claim(files)
    log.events.clear()
    assert files.project() == 0
    assert log.events == []


def test_events_that_the_log_will_never_take_block_nothing(files, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    log.fault = UsageError("no such event type")
    end(files, lease)
    assert files.leases() == []
    assert any("refused by the log" in fault for fault in files.faults())


def test_project_counts_what_it_finished(files, log):
    for task_id in ("a", "b", "c"):
        files.create(draft(task_id))
    log.fault = StorageError("the log is full")
    for task_id in ("a", "b"):
        move(files, Status.CANCELLED, Status.PENDING, task_id)
    assert files.project() == 0
    log.fault = None
    claim(files, "c")
    assert files.project() == 2


def test_somebody_else_at_work_is_not_waited_for(open_file_store, log):
    one, two = open_file_store(), open_file_store()
    one.create(draft("one"))
    lease = start(one, claim(one))
    log.fault = StorageError("full")
    end(one, lease)
    log.fault = None
    with two._locks.task("one"):
        assert one.project() == 0
    assert one.project() == 1


def test_loose_files_beside_leases_are_swept(files, root):
    files.create(draft("one"))
    start(files, claim(files))
    files.request_cancel("one", by="me")
    for name in ("gone.1.beat", "gone.cancel", "other.12.beat"):
        (root / "state/leases" / name).write_bytes(b"x")
    files.project()
    assert sorted(os.listdir(root / "state/leases")) == ["one.1.beat", "one.cancel", "one.json"]
    end(files, files.lease("one"), Status.CANCELLED)
    assert os.listdir(root / "state/leases") == []


def test_a_file_that_is_loose_no_more_is_not_swept(files, root, monkeypatch):
    files.create(draft("one"))
    claim(files)
    files.request_cancel("one", by="me")
    monkeypatch.setattr(LeaseFiles, "leftovers", lambda self: {"one.cancel": "one"})
    files.project()
    assert files.lease("one").cancel == "me"


def test_a_result_that_no_file_can_hold_does_not_stop_the_end(files, root):
    files.create(draft("one"))
    end(files, claim(files), Status.PENDING, result={"outcome": "failed"})
    end(files, claim(files), Status.PENDING, result={"cost": float("nan")})
    assert files.leases() == []
    assert b"status: pending" in file_of(root).read_bytes()
    assert b"result" not in file_of(root).read_bytes(), "that of the attempt before would be taken for this one's"
    (told,) = files.faults()
    assert "the result of one" in told
    assert claim(files).token == 3


def test_a_task_whose_end_waits_for_its_file_says_so(files, root):
    files.create(draft("one"))
    lease = claim(files)
    with open(file_of(root), "ab"):
        end(files, lease, Status.PENDING)
        with pytest.raises(BusyError, match="the end of attempt 1 of task one is not written") as refusal:
            move(files, Status.CANCELLED, Status.PENDING)
        assert "doctor" in refusal.value.hint
        assert refusal.value.code == "busy"
        with pytest.raises(BusyError, match="open for writing"):
            files.check_file("one")
    files.check_file("one")
    assert claim(files).token == 2


def test_a_persons_text_that_a_dead_writer_left_is_kept_and_told(files, root, log):
    files.create(draft("one"))
    left = root / "tasks/.one.md.4194304.0a1b2c3d.swap"
    left.write_bytes(text_of("one", title="Mine"))
    os.utime(left, (1, 1))
    files.changes()
    files.project()
    (kept,) = (root / "conflicts").iterdir()
    assert kept.read_bytes() == text_of("one", title="Mine")
    assert [event.payload["path"] for event in log.events] == [str(kept)]
    assert not left.exists()


def test_a_loose_file_of_a_task_that_is_being_changed_is_left_alone(open_file_store, root):
    one, two = open_file_store(), open_file_store()
    one.create(draft("one"))
    (root / "state/leases").mkdir(parents=True)
    loose = root / "state/leases/one.1.beat"
    loose.write_text("x")
    with two._locks.task("one"):
        one.project()
        assert loose.exists()
    one.project()
    assert not loose.exists()


def test_an_unprojected_end_is_finished_before_the_next_step(files, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    log.fault = StorageError("full")
    end(files, lease, Status.PENDING)
    log.fault = None
    assert claim(files).token == 2
    assert log.types() == ["task.claimed", "attempt.started", "task.done", "task.claimed"]


def test_while_an_end_cannot_be_told_the_task_waits(files, log):
    files.create(draft("one"))
    lease = start(files, claim(files))
    log.fault = StorageError("full")
    end(files, lease, Status.PENDING)
    assert files.faults() == ["events of one wait in its lease: full"]
    with pytest.raises(BusyError):
        claim(files)
    with pytest.raises(BusyError):
        move(files, Status.CANCELLED, Status.PENDING)


def test_a_newer_format_is_never_rewritten(files, root):
    files.create(draft("one"))
    lease = start(files, claim(files))
    newer = text_of("one", schema="9")
    file_of(root).write_bytes(newer)
    end(files, lease)
    assert file_of(root).read_bytes() == newer
    assert files.leases() == []


# ---------------------------------------------------------------------- moves, edits, views


def test_a_malformed_file_is_not_moved(files, root):
    files.create(draft("one"))
    ending = Ending(status=Status.CANCELLED, record=files.record("one"))
    broken(file_of(root))
    with pytest.raises(TaskFormatError) as refusal:
        files.move("one", ending, expected=Status.PENDING)
    fault, shown = refusal.value, files.get("one")
    assert (fault.message, fault.hint, fault.path) == (shown.message, shown.hint, shown.path)
    assert (fault.line, fault.column) == (shown.line, shown.column)
    assert shown.line


def test_an_edit_of_a_held_task_shows_the_leases_view(files):
    files.create(draft("one"))
    start(files, claim(files))
    edited = files.edit("one", {"priority": "low"})
    assert edited.status is Status.IN_PROGRESS
    assert edited == files.get("one")


def test_an_edit_must_leave_a_task(files, root):
    files.create(draft("one"))
    before = file_of(root).read_bytes()
    with pytest.raises(TaskFormatError) as refusal:
        files.edit("one", {"id": "two"})
    assert refusal.value.path == str(file_of(root))
    assert file_of(root).read_bytes() == before


def test_a_claim_between_two_reads_is_seen(files, monkeypatch):
    """The lease is looked for before and, if the file says that somebody holds it, after the file is read."""
    files.create(draft("one"))
    real = files._leases.read
    answers = [None]

    def late(task_id):
        return answers.pop() if answers else real(task_id)

    claim(files)
    start(files, files.lease("one"))
    monkeypatch.setattr(files._leases, "read", late)
    assert files.get("one").status is Status.IN_PROGRESS


def test_a_file_that_vanishes_while_all_are_listed(files, root, monkeypatch):
    files.create(draft("one"))
    monkeypatch.setattr(files._files, "ids", lambda: ["gone", "one"])
    assert [task.id for task in files.tasks()] == ["one"]


def test_invalid_files_are_listed(files, root):
    files.create(draft("one"))
    broken(file_of(root, "two"))
    kinds = [type(task) for task in files.tasks()]
    assert kinds == [Task, InvalidTask]
    assert isinstance(files.get("two"), InvalidTask)
    assert files.record("two").token == 0


def test_a_fault_is_told_once(files, root):
    files.create(draft("one"))
    (root / "state/leases").mkdir(parents=True, exist_ok=True)
    (root / "state/leases/one.json").write_bytes(b"")
    files.leases()
    files.leases()
    assert len(files.faults()) == 1
    assert files.faults() == []


def test_the_last_hundred_faults_are_kept(files, root):
    (root / "state/leases").mkdir(parents=True)
    for number in range(101):
        (root / f"state/leases/{number:03}.json").write_bytes(b"")
    files.leases()
    faults = files.faults()
    assert len(faults) == 100
    assert "001.json" in faults[0]
    assert "100.json" in faults[-1]


@pytest.mark.parametrize("hindrance", ["state", "state/bell"])
def test_a_bell_that_cannot_be_rung_is_silent(files, root, tmp_path, hindrance):
    (root / hindrance).parent.mkdir(parents=True)
    os.symlink(tmp_path, root / hindrance)
    files.notify()


def test_the_bell_is_never_a_link(files, root, tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    (root / "state").mkdir(parents=True)
    os.symlink(tmp_path / "precious", root / "state/bell")
    files.notify()
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_a_forked_child_is_a_process_of_its_own(files):
    files.create(draft("one"))
    mine = files._identity()
    assert mine == identify()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with files._locks.task("one"):
                os.write(writer, b"locked " if files._identity() != mine else b"the parent ")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 20) == b"locked "
    with files._locks.task("one"):
        pass


def test_a_lock_that_is_held_for_too_long_is_busy(open_file_store):
    one, two = open_file_store(), open_file_store()
    one.create(draft("one"))
    two._locks._patience_s = 0.05
    with one._locks.task("one"), pytest.raises(BusyError):
        claim(two)
    with one._locks.claims(), pytest.raises(BusyError):
        claim(two)
    assert claim(two).token == 1


def test_lock_files_are_never_deleted(files, root):
    files.create(draft("one"))
    end(files, start(files, claim(files)))
    names = os.listdir(root / "state/locks")
    files.close()
    assert os.listdir(root / "state/locks") == names
    assert "claim" in names


def test_the_lease_file_is_json_that_people_can_read(files, root):
    files.create(draft("one"))
    claim(files)
    data = json.loads((root / "state/leases/one.json").read_text())
    assert data["version"] == 1
    assert data["state"] == "claimed"
    assert data["record"]["token"] == 1
    assert data["outbox"][0]["event_type"] == "task.claimed"


def test_the_draft_is_stored_as_it_is(files, root):
    text = text_of("one").replace(b"\n", b"\r\n") + b"no newline"
    files.create(TaskDraft(id="one", text=text))
    assert file_of(root).read_bytes() == text


def test_record_keeps_what_the_ending_says(files):
    files.create(draft("one"))
    lease = start(files, claim(files))
    kept = attrs.evolve(lease.record, token=99, seq=99, task_id="other", used=5)
    files.finish(lease, Ending(status=Status.PENDING, record=kept))
    record = files.record("one")
    assert (record.task_id, record.token, record.used) == ("one", 1, 5)
    assert record.seq < 99
