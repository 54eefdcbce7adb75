"""An upgrade is told once, by whoever looks first, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from autopilot.dispatcher.versions import VersionWatch
from autopilot.errors import StorageError
from autopilot.models import PluginRef


class World:
    """What is installed, and what was told."""

    def __init__(self, folder, monkeypatch):
        self.path = folder / "cache" / "plugins.json"
        self.installed = {"gate": ("zoo-gate", "1.0"), "other": ("zoo-other", "1.0")}
        self.extra = []
        self.told = []
        self.scans = 0
        monkeypatch.setattr("autopilot.dispatcher.versions.install_key", lambda _: [dict(self.installed)])
        monkeypatch.setattr("autopilot.dispatcher.versions.find_plugins", self.find)

    def find(self):
        self.scans += 1
        refs = [
            PluginRef(name=name, value="", distribution=distribution, version=version)
            for name, (distribution, version) in self.installed.items()
        ]
        return (*refs, *self.extra)

    def watch(self, tell=None):
        return VersionWatch(str(self.path), tell or self.told.extend)

    def changes(self):
        payloads = [draft.payload for draft in self.told]
        return [(told["plugin"], told["distribution"], told["was"], told["version"]) for told in payloads]


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_what_is_new_is_no_change_and_nothing_is_read_twice(world):
    watch = world.watch()
    watch.look()
    watch.look()
    assert (world.told, world.scans) == ([], 1)


def test_an_upgrade_under_a_living_dispatcher_is_told_once(world):
    first, second = world.watch(), world.watch()
    first.look()
    world.installed["gate"] = ("zoo-gate", "2.0")
    for watch in (first, first, second, world.watch()):
        watch.look()
    assert world.changes() == [("gate", "zoo-gate", "1.0", "2.0")]


def test_another_package_under_the_same_name_is_told_with_the_old_ones_name(world):
    world.watch().look()
    world.installed["gate"] = ("evil-gate", "1.0")
    world.watch().look()
    assert world.changes() == [("gate", "evil-gate", "zoo-gate 1.0", "1.0")]


def test_who_was_away_for_a_while_is_compared_with_what_it_was(world):
    world.watch().look()
    del world.installed["gate"]
    world.watch().look()
    world.installed["gate"] = ("zoo-gate", "0.9")
    world.watch().look()
    assert world.changes() == [("gate", "zoo-gate", "1.0", "0.9")]


def test_of_a_name_that_two_have_neither_runs(world):
    world.watch().look()
    world.extra = [PluginRef(name="gate", value="", distribution="twin", version="7")]
    world.installed["new"] = ("zoo-new", "1")
    world.watch().look()
    assert world.changes() == []


@pytest.mark.parametrize("text", ["", "[]", "null", '{"gate": 1}', '{"gate": ["a"]}', "{"])
def test_a_damaged_memory_is_none(world, text):
    world.path.parent.mkdir()
    world.path.write_text(text)
    world.watch().look()
    assert world.told == []
    assert '"zoo-gate"' in world.path.read_text()


def test_what_could_not_be_logged_is_told_by_the_next_look(world):
    def refuse(_):
        raise StorageError("the disk is full")

    world.watch().look()
    world.installed["gate"] = ("zoo-gate", "2.0")
    watch = world.watch(refuse)
    for _ in range(2):
        with pytest.raises(StorageError):
            watch.look()
    world.watch().look()
    assert world.changes() == [("gate", "zoo-gate", "1.0", "2.0")]
