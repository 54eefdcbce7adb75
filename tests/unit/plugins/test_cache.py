"""The cache is disposable, private, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from autopilot.plugins.cache import JsonCache, cache_folder


def test_keeps_a_value_for_its_key(cache_folder: str) -> None:
    JsonCache("kind", ["key", 1], cache_folder).write({"a": [1]})
    assert JsonCache("kind", ["key", 1], cache_folder).read() == {"a": [1]}
    assert JsonCache("kind", ["key", 2], cache_folder).read() is None
    assert JsonCache("other", ["key", 1], cache_folder).read() is None


def test_files_are_private(cache_folder: str) -> None:
    JsonCache("kind", 1, cache_folder).write(1)
    (file,) = Path(cache_folder).iterdir()
    assert os.stat(cache_folder).st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_may_write_is_not_believed(cache_folder: str) -> None:
    JsonCache("kind", 1, cache_folder).write(1)
    os.chmod(cache_folder, 0o777)
    assert JsonCache("kind", 1, cache_folder).read() is None


def test_a_damaged_file_is_no_answer(cache_folder: str) -> None:
    cache = JsonCache("kind", 1, cache_folder)
    cache.write(1)
    (file,) = Path(cache_folder).iterdir()
    for text in (b"", b"{", b"[]", b'{"key": 1}', b"\xff"):
        file.write_bytes(text)
        assert cache.read() is None


def test_a_folder_that_cannot_be_made_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = JsonCache("kind", 1, str(tmp_path / "file" / "cache"))
    cache.write(1)
    assert cache.read() is None


def test_old_files_of_the_kind_are_removed(cache_folder: str) -> None:
    for kind in ("kind", "other"):
        JsonCache(kind, "old", cache_folder).write(1)
    for file in Path(cache_folder).iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    JsonCache("kind", "new", cache_folder).write(1)
    assert JsonCache("kind", "old", cache_folder).read() is None
    assert JsonCache("kind", "new", cache_folder).read() == 1
    assert JsonCache("other", "old", cache_folder).read() == 1


@pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": "/somewhere/cache"}, {"XDG_CACHE_HOME": " "}])
def test_it_is_where_platformdirs_says(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == platformdirs.user_cache_dir("autopilot")
