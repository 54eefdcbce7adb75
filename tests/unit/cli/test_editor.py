"""``task create`` and ``task edit`` in an editor: what a person wrote there is never lost."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.taskfile import edit, parse

Cli = Callable[..., Any]
Editor = Callable[[str], None]


def only_task(project: Path) -> Path:
    (path,) = (project / ".autopilot" / "tasks").glob("*.md")
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kept texts are."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def editor(project: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """Make an editor that runs Python on ``text``; stdin and stdout pass for terminals."""
    program = project / "editor.py"
    monkeypatch.setenv("VISUAL", f"{sys.executable} {program}")
    monkeypatch.setattr("autopilot.cli.task.text.on_terminal", lambda: True)
    monkeypatch.setattr("autopilot.cli.task.edit.on_terminal", lambda: True)

    def make(script: str) -> None:
        program.write_text(
            "import sys\nfrom pathlib import Path\nfile = Path(sys.argv[1])\ntext = file.read_text()\n"
            f"{script}\nfile.write_text(text)\n"
        )

    return make


def meanwhile(path: Path, line: str) -> str:
    """A line of an editor's script: somebody else writes the task's file, too."""
    return f"other = Path({str(path)!r}); data = other.read_text(); {line}; other.write_text(data)\n"


def kept(folder: Path, hint: str) -> str:
    """The one text that was kept, which the hint names."""
    (path,) = folder.iterdir()
    assert str(path) in hint
    return path.read_text()


def test_in_the_editor(cli: Cli, project: Path, editor: Editor, temporary: Path) -> None:
    editor("text = text.replace('…', 'From the editor')")
    said = cli("task", "create", "--priority", "high")
    assert said.code == 0
    task = parse(only_task(project).read_bytes(), expected_id=said.out.strip())
    assert (task.title, task.priority) == ("From the editor", "high")
    assert os.listdir(temporary) == []


def test_nothing_is_made_of_an_untouched_text(cli: Cli, project: Path, editor: Editor, temporary: Path) -> None:
    editor("pass")
    assert cli("task", "create").code == 2
    assert not (project / ".autopilot").exists()
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        ("text = text.replace('medium', 'hgh')", 5, "hgh"),
        ("text = text.replace('…', '[')", 5, "title: ["),
        ("text = text.replace('title:', 'id: a\\ntitle:')", 2, "id: a"),
        ("text += 'half of it'; file.write_text(text); sys.exit(1)", 4, "half of it"),
    ],
)
def test_a_refused_new_task_is_kept(
    cli: Cli, editor: Editor, temporary: Path, script: str, code: int, word: str
) -> None:
    cli("task", "create", "--id", "a", "--title", "taken")
    editor(script)
    said = cli("task", "create", "-o", "json")
    assert said.code == code
    assert word in kept(temporary, said.error["hint"])
    if code == 5:
        (path,) = temporary.iterdir()
        assert said.error["message"].startswith(f"{path}:")


def test_a_kept_text_does_not_get_its_id_from_the_file_that_keeps_it(
    cli: Cli, project: Path, editor: Editor, temporary: Path
) -> None:
    editor("text = text.replace('medium', 'hgh')")
    cli("task", "create")
    (path,) = temporary.iterdir()
    path.write_text(path.read_text().replace("hgh", "high"))
    assert cli("task", "create", "-F", str(path)).out.startswith("req-")


def test_editing_in_the_editor(cli: Cli, project: Path, editor: Editor, temporary: Path) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    editor("text = text.replace('title: T', 'title: U # mine')")
    assert cli("task", "edit", "a", "-o", "json").data[0]["title"] == "U"
    assert b"title: U # mine\n" in only_task(project).read_bytes()
    assert os.listdir(temporary) == []


def test_what_autopilot_wrote_while_the_editor_was_open_is_kept_as_well(
    cli: Cli, project: Path, editor: Editor
) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    path = only_task(project)
    claimed = edit(path.read_bytes(), {"status": "claimed", "attempt": 1})
    editor(meanwhile(path, f"data = {claimed.decode()!r}") + "text = text.replace('title: T', 'title: U')")
    assert cli("task", "edit", "a").code == 0
    task = parse(path.read_bytes())
    assert (task.title, task.status, task.attempt) == ("U", "claimed", 1)


def test_two_edits_of_one_task_lose_neither(cli: Cli, project: Path, editor: Editor, temporary: Path) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    path = only_task(project)
    editor(meanwhile(path, "data += 'theirs'") + "text += 'mine'")
    said = cli("task", "edit", "a", "-o", "json")
    assert (said.code, said.error["code"]) == (75, "changed")
    assert kept(temporary, said.error["hint"]).endswith("mine")
    assert path.read_text().endswith("theirs")


def test_a_refused_edit_is_kept(cli: Cli, editor: Editor, temporary: Path, project: Path) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    editor("text = text.replace('title: T', 'title: [')")
    said = cli("task", "edit", "a", "-o", "json")
    assert said.code == 5
    assert "title: [" in kept(temporary, said.error["hint"])


def test_a_text_is_kept_whatever_breaks(
    cli: Cli, editor: Editor, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    cli("task", "create", "--id", "a", "--title", "T")
    editor("text += 'mine'")
    monkeypatch.setattr("autopilot.store.filestore.FileStore.replace_text", broken)
    said = cli("task", "edit", "a")
    assert said.code == 130
    assert kept(temporary, said.err).endswith("mine")


@pytest.mark.parametrize(
    ("command", "words"), [("vi -x 'unb", "cannot be read"), ("rm", "removed the file"), ("false", "failed")]
)
def test_an_editor_that_cannot_be_used(
    cli: Cli, editor: Editor, temporary: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    monkeypatch.setenv("VISUAL", command)
    said = cli("task", "edit", "a", "-o", "json")
    assert said.code == 4
    assert words in said.error["message"]
    assert "EDITOR" in said.error["hint"]
    assert os.listdir(temporary) == []
