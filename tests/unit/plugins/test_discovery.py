"""Installed plugins are found without importing them, and found again when something changes."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from autopilot.models import PluginRef
from autopilot.plugins import discovery
from autopilot.plugins.discovery import GROUP, find_plugins


def install(folder: Path, name: str, points: str, version: str = "1.0", info: str = "dist-info") -> Path:
    made = folder / f"{name.replace('-', '_')}-{version}.{info}"
    made.mkdir(parents=True)
    (made / "entry_points.txt").write_text(points)
    metadata = "METADATA" if info == "dist-info" else "PKG-INFO"
    (made / metadata).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n")
    return made


def age(folder: Path) -> None:
    """Make a folder look as if nothing had been installed for a while."""
    os.utime(folder, (1_000_000_000, 1_000_000_000))


def test_finds_names_values_and_where_they_come_from(tmp_path: Path, cache_folder: str) -> None:
    install(
        tmp_path,
        "Two-Things",
        f"[console_scripts]\nx = y\n[{GROUP}]\n# comment\nzebra = zoo.zebra:plugin [extra]\nant=zoo\n\n"
        "[other]\nz = q\n",
    )
    install(tmp_path, "none", "[console_scripts]\nautopilot.plugins = x\n")
    install(tmp_path, "old-style", f"[{GROUP}]\nold = old\n", "2", info="egg-info")
    assert find_plugins([str(tmp_path)], cache_folder=cache_folder) == (
        PluginRef(name="ant", value="zoo", distribution="Two-Things", version="1.0"),
        PluginRef(name="old", value="old", distribution="old-style", version="2"),
        PluginRef(name="zebra", value="zoo.zebra:plugin [extra]", distribution="Two-Things", version="1.0"),
    )


def test_agrees_with_importlib_metadata_on_what_is_installed_here(cache_folder: str) -> None:
    expected = {
        (point.name, point.value, point.dist.name, point.dist.version)
        for point in importlib.metadata.entry_points(group=GROUP)
        if point.dist is not None
    }
    found = find_plugins(cache_folder=cache_folder)
    assert {(ref.name, ref.value, ref.distribution, ref.version) for ref in found} == expected


def test_agrees_with_importlib_metadata_for_any_group(monkeypatch: pytest.MonkeyPatch, cache_folder: str) -> None:
    monkeypatch.setattr(discovery, "GROUP", "console_scripts")
    expected = {(point.name, point.value) for point in importlib.metadata.entry_points(group="console_scripts")}
    assert expected
    found = find_plugins(cache_folder=cache_folder, cached=False)
    assert {(ref.name, ref.value) for ref in found} == expected


def test_the_first_distribution_of_a_name_counts(tmp_path: Path, cache_folder: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    install(first, "same-name", f"[{GROUP}]\nfirst = a\n")
    install(second, "Same.Name", f"[{GROUP}]\nsecond = b\n")
    found = find_plugins([str(first), str(second)], cache_folder=cache_folder)
    assert [ref.name for ref in found] == ["first"]


def test_missing_metadata_falls_back_to_the_folders_name(tmp_path: Path, cache_folder: str) -> None:
    (install(tmp_path, "bare", f"[{GROUP}]\nb = b\n", "3") / "METADATA").unlink()
    (ref,) = find_plugins([str(tmp_path)], cache_folder=cache_folder)
    assert (ref.distribution, ref.version) == ("bare", "3")


def test_odd_entries_of_the_path_are_passed_by(tmp_path: Path, cache_folder: str) -> None:
    (tmp_path / "file.zip").write_bytes(b"no archive")
    path = [str(tmp_path / "missing"), str(tmp_path / "file.zip"), "a\0b"[:1], str(tmp_path)]
    assert find_plugins(path, cache_folder=cache_folder) == ()


def test_an_archive_is_asked_through_importlib(tmp_path: Path, cache_folder: str) -> None:
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n")
        file.writestr("zipped-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nz = zipped\n")
    (ref,) = find_plugins([str(archive)], cache_folder=cache_folder)
    assert ref == PluginRef(name="z", value="zipped", distribution="zipped", version="1.0")


def test_nothing_is_imported(tmp_path: Path, cache_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap_module.py").write_text("raise SystemExit\n")
    install(tmp_path, "trap", f"[{GROUP}]\nt = trap_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [ref.name for ref in find_plugins([str(tmp_path)], cache_folder=cache_folder)] == ["t"]
    assert "trap_module" not in sys.modules


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []
    scan = discovery._scan
    monkeypatch.setattr(discovery, "_scan", lambda path: made.append(path) or scan(path))
    return made


def test_a_second_look_reads_the_cache(tmp_path: Path, cache_folder: str, scans: list[Any]) -> None:
    folder = tmp_path / "site"
    install(folder, "a", f"[{GROUP}]\na = a\n")
    age(folder)
    first = find_plugins([str(folder)], cache_folder=cache_folder)
    assert find_plugins([str(folder)], cache_folder=cache_folder) == first != ()
    assert len(scans) == 1
    assert find_plugins([str(folder)], cached=False, cache_folder=cache_folder) == first
    assert len(scans) == 2


def test_installing_and_removing_is_noticed(tmp_path: Path, cache_folder: str) -> None:
    folder = tmp_path / "site"
    made = install(folder, "a", f"[{GROUP}]\na = a\n")
    age(folder)
    assert [ref.name for ref in find_plugins([str(folder)], cache_folder=cache_folder)] == ["a"]
    install(folder, "b", f"[{GROUP}]\nb = b\n")
    assert [ref.name for ref in find_plugins([str(folder)], cache_folder=cache_folder)] == ["a", "b"]
    for file in made.iterdir():
        file.unlink()
    made.rmdir()
    assert [ref.name for ref in find_plugins([str(folder)], cache_folder=cache_folder)] == ["b"]


def test_a_folder_that_just_changed_is_not_cached(tmp_path: Path, cache_folder: str, scans: list[Any]) -> None:
    install(tmp_path / "site", "a", f"[{GROUP}]\na = a\n")
    for _ in range(2):
        find_plugins([str(tmp_path / "site")], cache_folder=cache_folder)
    assert len(scans) == 2


def test_a_cache_with_nonsense_is_ignored(tmp_path: Path, cache_folder: str) -> None:
    folder = tmp_path / "site"
    install(folder, "a", f"[{GROUP}]\na = a\n")
    age(folder)
    find_plugins([str(folder)], cache_folder=cache_folder)
    (kept,) = Path(cache_folder).iterdir()
    good = kept.read_text()
    for text in ("", "[]", good.replace('"name"', '"nom"'), good.replace('"refs"', '"rest"')):
        kept.write_text(text)
        assert [ref.name for ref in find_plugins([str(folder)], cache_folder=cache_folder)] == ["a"]
