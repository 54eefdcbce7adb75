"""Files are whole or not there, whatever refuses on the way."""

from __future__ import annotations

import errno
import os
import re
import stat

import pytest

from autopilot.errors import AlreadyExistsError, StorageError
from autopilot.system import durable, failpoints
from autopilot.system.durable import (
    create_file,
    ensure_folder,
    read_file,
    remove_file,
    replace_file,
    storage_error,
    sync_folder,
    write_temporary,
)

WRITING = ("opened", "write", "written", "synced")


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.disarm()


@pytest.fixture
def synced(monkeypatch) -> list[int]:
    """The kinds of what was fsynced: S_IFREG or S_IFDIR."""
    kinds: list[int] = []
    monkeypatch.setattr("os.fsync", lambda fd: kinds.append(stat.S_IFMT(os.fstat(fd).st_mode)))
    return kinds


class TestCreate:
    def test_the_file_is_whole_and_private(self, tmp_path, synced):
        create_file(f"{tmp_path}/a", b"data", point="p", sync=True)
        assert (tmp_path / "a").read_bytes() == b"data"
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
        assert synced == [stat.S_IFREG, stat.S_IFDIR]
        assert os.listdir(tmp_path) == ["a"]

    def test_without_sync_nothing_is_fsynced(self, tmp_path, synced):
        create_file(f"{tmp_path}/a", b"data", point="p", sync=False, mode=0o640)
        assert synced == []
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640

    def test_a_name_that_is_taken_is_never_touched(self, tmp_path):
        (tmp_path / "a").write_bytes(b"old")
        with pytest.raises(AlreadyExistsError, match="a exists already"):
            create_file(f"{tmp_path}/a", b"new", point="p", sync=True)
        assert (tmp_path / "a").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("step", WRITING)
    def test_a_refusal_leaves_nothing(self, tmp_path, step):
        failpoints.arm(f"p.{step}=ENOSPC")
        with pytest.raises(StorageError, match=f"cannot write {tmp_path}/a: No space left") as caught:
            create_file(f"{tmp_path}/a", b"data", point="p", sync=True)
        assert "free some space" in caught.value.hint
        assert os.listdir(tmp_path) == []

    def test_a_fault_that_is_not_the_disks_stays_what_it_is(self, tmp_path):
        failpoints.arm("p.written=EBADF")
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            create_file(f"{tmp_path}/a", b"data", point="p", sync=True)
        assert not isinstance(caught.value, StorageError)


class TestReplace:
    def test_the_new_file_takes_the_place_of_the_old(self, tmp_path, synced):
        (tmp_path / "a").write_bytes(b"old")
        replace_file(f"{tmp_path}/a", b"new", point="p", sync=True)
        assert (tmp_path / "a").read_bytes() == b"new"
        assert synced == [stat.S_IFREG, stat.S_IFDIR]
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("step", [*WRITING, "rename"])
    def test_a_refusal_leaves_the_old_one(self, tmp_path, step):
        (tmp_path / "a").write_bytes(b"old")
        failpoints.arm(f"p.{step}=EDQUOT")
        with pytest.raises(StorageError, match=f"cannot write {tmp_path}/a:"):
            replace_file(f"{tmp_path}/a", b"new", point="p", sync=True)
        assert (tmp_path / "a").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]

    def test_an_interrupt_leaves_no_temporary_file_either(self, tmp_path, monkeypatch):
        def interrupt(*given):
            raise KeyboardInterrupt

        monkeypatch.setattr("os.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            replace_file(f"{tmp_path}/a", b"new", point="p", sync=False)
        assert os.listdir(tmp_path) == []

    def test_a_temporary_file_that_cannot_be_removed_hides_no_fault(self, tmp_path, monkeypatch):
        failpoints.arm("p.rename=EIO")
        monkeypatch.setattr("os.unlink", lambda path: os.rmdir(path))
        with pytest.raises(StorageError, match="Input/output"):
            replace_file(f"{tmp_path}/a", b"new", point="p", sync=False)


class TestFolders:
    def test_all_of_the_path_is_made_private_and_durable(self, tmp_path, synced):
        ensure_folder(f"{tmp_path}/a/b/c", sync=True)
        for name in ("a", "a/b", "a/b/c"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
        assert synced == [stat.S_IFDIR] * 3
        ensure_folder(f"{tmp_path}/a/b/c", sync=True)
        assert len(synced) == 3

    def test_by_default_nothing_is_fsynced(self, tmp_path, synced):
        ensure_folder(f"{tmp_path}/a/b")
        assert synced == []

    def test_a_relative_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        ensure_folder("here/there", sync=True)
        assert (tmp_path / "here/there").is_dir()

    def test_somebody_else_makes_it_meanwhile(self, tmp_path, monkeypatch):
        real = os.mkdir

        def late(path, mode):
            real(path, mode)
            real(path, mode)

        monkeypatch.setattr("os.mkdir", late)
        ensure_folder(f"{tmp_path}/a/b")
        assert (tmp_path / "a/b").is_dir()

    def test_a_file_in_the_way(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(StorageError) as caught:
            ensure_folder(f"{tmp_path}/a/b")
        assert str(caught.value) == f"cannot make the folder {tmp_path}/a/b: Not a directory"
        assert "another folder" in caught.value.hint

    def test_a_full_disk(self, tmp_path, monkeypatch):
        def refuse(*given):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr("os.mkdir", refuse)
        with pytest.raises(StorageError, match=r"cannot make the folder .*/a: full") as caught:
            ensure_folder(f"{tmp_path}/a")
        assert "free some space" in caught.value.hint

    def test_a_file_is_none(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(NotADirectoryError):
            sync_folder(f"{tmp_path}/a")

    def test_syncing_gives_the_descriptor_back_when_it_fails(self, tmp_path, monkeypatch):
        opened = []

        def refuse(fd):
            opened.append(fd)
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(OSError, match="broken"):
            sync_folder(str(tmp_path))
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(opened[0])


class TestTemporary:
    def test_its_name_is_hidden_and_tells_whose_it_is(self, tmp_path):
        name = write_temporary(f"{tmp_path}/a", b"data", "p", False, 0o600)
        assert re.fullmatch(rf"{tmp_path}/\.a\.{os.getpid()}\.[0-9a-f]{{8}}\.tmp", name)

    @pytest.mark.parametrize("make", [os.mkdir, lambda name: os.symlink("elsewhere", name)])
    def test_a_name_that_is_taken_is_not_used(self, tmp_path, monkeypatch, make):
        monkeypatch.setattr("os.urandom", bytes)
        make(f"{tmp_path}/.a.{os.getpid()}.00000000.tmp")
        with pytest.raises(FileExistsError):
            write_temporary(f"{tmp_path}/a", b"data", "p", False, 0o600)
        assert len(os.listdir(tmp_path)) == 1


def test_reading_follows_no_link_and_stops_at_the_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_file(f"{tmp_path}/a") == b"0123456789"
    assert read_file(f"{tmp_path}/a", limit=4) == b"01234"
    assert read_file(f"{tmp_path}/a", limit=0) == b"0"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError) as caught:
        read_file(f"{tmp_path}/link")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(FileNotFoundError):
        read_file(f"{tmp_path}/none")


@pytest.mark.timeout(30)
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_file(f"{tmp_path}/pipe") == b""
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    assert read_file(f"{tmp_path}/pipe", limit=9) == b""
    os.close(writer)


def test_removing_tells_whether_there_was_something(tmp_path, synced):
    (tmp_path / "a").touch()
    assert remove_file(f"{tmp_path}/a", sync=True) is True
    assert synced == [stat.S_IFDIR]
    assert remove_file(f"{tmp_path}/a", sync=True) is False
    assert synced == [stat.S_IFDIR]


@pytest.mark.parametrize("number", sorted(durable._STORAGE))
def test_faults_of_the_disk_are_named_with_their_path(number):
    fault = storage_error(OSError(number, "x"), "/some/path")
    assert isinstance(fault, StorageError)
    assert str(fault) == f"cannot write /some/path: {os.strerror(number)}"
    assert (fault.hint == "") is (number in (errno.EIO, errno.EFBIG))


@pytest.mark.parametrize("number, hint", [(errno.EROFS, "--root"), (errno.EMFILE, "`ulimit -n`")])
def test_what_helps_is_said(number, hint):
    assert hint in storage_error(OSError(number, "x"), "/some/path").hint


@pytest.mark.parametrize("fault", [OSError(errno.EINTR, "x"), OSError("without a number")])
def test_other_faults_are_not(fault):
    assert storage_error(fault, "/some/path") is fault
