"""Each part of the way a task file is written is needed: without it, a save is lost in the situation it is for.

The situations are exact: a person acts at a named instant of the program's write. See docs/decisions/0008.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from autopilot.errors import BusyError
from autopilot.store import markdown
from autopilot.store.layout import Layout
from autopilot.store.markdown import MarkdownFiles
from autopilot.taskfile import edit
from autopilot.testing.stores import text_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2 and leases")

MINE = text_of("one", title="Mine")
"""What a person saves at the instant in question."""


class Scene:
    """One task file, a program that writes its status, and a person with an editor."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(str(root))
        self.layout.prepare(self.layout.tasks)
        self.files = MarkdownFiles(self.layout, sync=False, kept=lambda *told: None)
        self.path = self.layout.task("one")
        self.editor = ExitStack()
        self.save(text_of("one"))

    def save(self, text: bytes) -> None:
        Path(f"{self.path}~").write_bytes(text)
        os.rename(f"{self.path}~", self.path)

    def open_and_write_later(self) -> None:
        file = self.editor.enter_context(open(self.path, "r+b"))
        self.editor.callback(lambda: (file.seek(0), file.write(MINE), file.truncate()))

    def program_writes(self, acts: dict[str, Callable[[], None]], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(markdown, "failpoint", lambda point: acts.pop(point, lambda: None)())
        try:
            self.files.rewrite("one", lambda data: edit(data, {"status": "claimed"}), point="p")
        except BusyError:
            pass
        self.editor.close()

    def titles(self) -> Iterator[bytes]:
        for folder in filter(os.path.isdir, (self.layout.tasks, self.layout.conflicts)):
            for name in os.listdir(folder):
                yield Path(folder, name).read_bytes()


Act = Callable[[Scene], dict[str, Callable[[], None]]]


@attrs.frozen
class Part:
    """A part of the write, what the file looks like without it, and when a person acts."""

    absence: Callable[[pytest.MonkeyPatch], None]
    acts: Act


def blind(one: str, other: str) -> bool:
    os.replace(one, other)
    return True


def no_exchange(m: pytest.MonkeyPatch) -> None:
    m.setattr(markdown, "exchange", lambda one, other: False)
    m.setattr(markdown, "_replace_unchanged", lambda temporary, path, expected: blind(temporary, path))


def no_look(m: pytest.MonkeyPatch) -> None:
    m.setattr(markdown, "_holds", lambda path, data: True)


def no_look_without_an_exchange(m: pytest.MonkeyPatch) -> None:
    m.setattr(markdown, "exchange", lambda one, other: False)
    no_look(m)


def no_lease(m: pytest.MonkeyPatch) -> None:
    m.setattr(markdown, "being_written", lambda fd: False)


def no_conflict_copies(m: pytest.MonkeyPatch) -> None:
    m.setattr(MarkdownFiles, "keep", lambda self, task_id, path: os.unlink(path))


def save_before_the_exchange(scene: Scene) -> dict[str, Callable[[], None]]:
    return {"p.swap": lambda: scene.save(MINE)}


def two_saves_around_it(scene: Scene) -> dict[str, Callable[[], None]]:
    return {"p.swap": lambda: scene.save(text_of("one", title="First")), "p.swapped": lambda: scene.save(MINE)}


def editor_opened_before_it(scene: Scene) -> dict[str, Callable[[], None]]:
    return {"p.swap": scene.open_and_write_later}


def deleted_after_a_save(scene: Scene) -> dict[str, Callable[[], None]]:
    return {"p.swap": lambda: scene.save(MINE), "p.swapped": lambda: os.unlink(scene.path)}


PARTS = {
    "exchange": Part(no_exchange, save_before_the_exchange),
    "look at what was displaced": Part(no_look, save_before_the_exchange),
    "hash check where there is no exchange": Part(no_look_without_an_exchange, save_before_the_exchange),
    "lease on a file that is open for writing": Part(no_lease, editor_opened_before_it),
    "conflict copy of the later of two saves": Part(no_conflict_copies, two_saves_around_it),
    "conflict copy of a save whose place is gone": Part(no_conflict_copies, deleted_after_a_save),
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / ".autopilot")
    yield made
    made.editor.close()


def survives(scene: Scene, part: Part, monkeypatch: pytest.MonkeyPatch) -> bool:
    try:
        scene.program_writes(part.acts(scene), monkeypatch)
    except FileNotFoundError:
        pass
    return any(b"title: Mine" in text for text in scene.titles())


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_with_it_the_save_survives(part: Part, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert survives(scene, part, monkeypatch)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_without_it_the_save_is_lost(part: Part, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    part.absence(monkeypatch)
    assert not survives(scene, part, monkeypatch)
