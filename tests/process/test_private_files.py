"""What lies below a root is this user's alone; a link that is planted there is refused and never followed."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from autopilot.cli.main import main
from tests.campaign import FULL, record

CANARY = "this was here before"


class Said(NamedTuple):
    code: int
    text: str


Use = Callable[..., Said]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def use(cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Use:
    """Run a command in this process, in a project's folder; what it said."""
    for name in [name for name in os.environ if name.startswith("AUTOPILOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOPILOT_DURABILITY", "process")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def call(project: Path, *arguments: str) -> Said:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        capfd.readouterr()
        code = main(arguments)
        told = capfd.readouterr()
        return Said(code, told.out + told.err)

    return call


def live(use: Use, project: Path) -> None:
    """Use all of it once: done, failed, cancelled, retried and invalid tasks, channels, pauses, indexes."""
    use(project, "init")
    root = project / ".autopilot"
    (root / "config.yaml").write_text("plugins: {only: [local]}\nlimits: {grace_s: 0.2}\n")
    make = ("task", "create", "--title", "t", "--id")
    use(project, *make, "good", "--command", "echo out; echo err >&2; echo made > made.txt", "--verify", "echo ok")
    use(project, *make, "bad", "--command", "echo no >&2; exit 3", "--verify", "true")
    use(project, *make, "next", "--command", "true", "--depends-on", "bad")
    (root / "tasks" / "broken.md").write_text("---\ntitle: [\n---\n")
    for arguments in (
        ("dispatch", "tick"),
        ("task", "edit", "next", "--set", "priority=high"),
        ("dispatch", "pause"),
        ("events", "publish", "c", "hello"),
        ("events", "subscribe", "c"),
        ("dispatch", "resume"),
        ("task", "cancel", "next"),
        ("dispatch", "tick"),
        ("task", "list"),
        ("doctor",),
    ):
        said = use(project, *arguments)
        assert said.code in (0, 4), (arguments, said)
    assert "done" in use(project, "task", "status", "good").text


@pytest.mark.parametrize("umask", [0, 0o022, 0o077], ids=oct)
def test_under_any_umask_of_a_person_all_is_private(use: Use, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        live(use, tmp_path)
    finally:
        os.umask(before)
    written_here = {"config.yaml", "broken.md"}  # by this test, as an editor would
    wrong, seen = [], 0
    for place in (tmp_path / ".autopilot", *(tmp_path / ".autopilot").rglob("*")):
        if place.name in written_here:
            continue
        seen += 1
        mode, wanted = stat.S_IMODE(place.lstat().st_mode), 0o700 if place.is_dir() else 0o600
        if mode != wanted:
            wrong.append(f"{place.relative_to(tmp_path)}: {mode:o}")
    assert wrong == []
    assert seen > 40, "it has looked at nothing"
    # ... while what the task made has the mode that its user's umask gives.
    assert stat.S_IMODE((tmp_path / "made.txt").stat().st_mode) == 0o666 & ~umask


# ---------------------------------------------------------------------- links

FOLDERS = (
    *("tasks", "events", "runs", "state", "worktrees", "conflicts"),
    *(f"state/{name}" for name in ("leases", "records", "locks", "index", "cache", "cursors", "corrupt")),
    *("runs/new", "runs/new/1"),
)
FILES = (
    *("config.yaml", "tasks/good.md", "tasks/new.md", ".gitignore"),
    *("events/events.ndjson", "events/events.head", "events/lock"),
    *("state/locks/claim", "state/leases/new.json", "state/leases/new.1.beat", "state/leases/new.cancel"),
    *("state/records/good.json", "state/hold.json", "state/bell", "state/launcher.log"),
    *(f"runs/new/1/{name}" for name in ("task.md", "prompt.md", "stdout.log", "stderr.log", "host.log")),
    *(f"runs/new/1/{name}" for name in ("transcript.ndjson", "result.json", "verify-1.log")),
    *(f"runs/new/1/{name}" for name in ("before.manifest", "changes.json", "reaped.json", "reclaim.json")),
)
ALWAYS = {
    "tasks",
    "events",
    "runs",
    "state/leases",
    "runs/new",
    "config.yaml",
    "tasks/new.md",
    "events/events.ndjson",
}
ALWAYS |= {"state/locks/claim", "state/leases/new.json", "runs/new/1/stdout.log", "state/launcher.log"}
COMMANDS: tuple[tuple[str, ...], ...] = (
    (
        *("task", "create", "--id", "new", "--title", "new", "--workspace", "repo"),
        *("--command", "echo hello", "--verify", "echo verified"),
    ),
    ("dispatch", "tick"),
    ("task", "edit", "good", "--set", "priority=high"),
    ("task", "retry", "good", "--force"),
    ("task", "cancel", "good"),
    ("dispatch", "pause"),
    ("dispatch", "resume"),
    ("events", "publish", "c", "hello"),
    ("events", "verify"),
    ("events", "tail"),
    ("task", "show", "new"),
    ("task", "logs", "new"),
    ("task", "list"),
    ("doctor",),
)


def places(names: tuple[str, ...]) -> list[str]:
    """All places in a full run, else those that most depends on."""
    return [name for name in names if FULL or name in ALWAYS]


@pytest.fixture(scope="module")
def lived() -> list[Path]:
    """Holds a project whose root has seen something, once there is one."""
    return []


@pytest.fixture
def project(lived: list[Path], use: Use, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a project whose root has seen something."""
    if not lived:
        lived.append(tmp_path_factory.mktemp("lived"))
        live(use, lived[0])
    return Path(shutil.copytree(lived[0], tmp_path / "project", symlinks=True))


def plant(place: Path, outside: Path) -> None:
    """Put a link into the place of what is there, which is then behind the link."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.copytree(place, outside, dirs_exist_ok=True)
        shutil.rmtree(place)
    elif place.exists():
        place.unlink()
    place.symlink_to(outside)


def use_all(use: Use, project: Path) -> list[Said]:
    """Do everything; whatever comes of it, each command ends well or says why in a sentence."""
    answers = [use(project, *arguments) for arguments in COMMANDS]
    for arguments, said in zip(COMMANDS, answers, strict=True):
        assert said.code in (0, 1, 2, 3, 4, 5, 75), (arguments, said)
        assert "Traceback" not in said.text, (arguments, said)
        assert "this is a bug" not in said.text, (arguments, said)
    return answers


@pytest.mark.parametrize("name", places(FILES))
def test_a_link_in_a_files_place_is_never_followed(project: Path, use: Use, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text(CANARY)
    plant(project / ".autopilot" / name, outside)
    answers = use_all(use, project)
    assert outside.read_text() == CANARY, "it was written through the link"
    assert not [said for said in answers if CANARY in said.text], "it was read through the link"
    record("3.10", "links in place of files", places=len(places(FILES)), commands=len(COMMANDS))


@pytest.mark.parametrize("name", places(FOLDERS))
def test_a_link_in_a_folders_place_is_never_followed(project: Path, use: Use, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    plant(project / ".autopilot" / name, outside)
    before = contents(outside)
    use_all(use, project)
    assert contents(outside) == before, "something was changed behind the link"
    record("3.10", "links in place of folders", places=len(places(FOLDERS)), commands=len(COMMANDS))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["events/events.ndjson", "state/locks", "state/leases", "runs", "tasks"])
def test_a_link_is_told_in_one_sentence(project: Path, use: Use, tmp_path: Path, name: str) -> None:
    use(project, *COMMANDS[0])
    outside = tmp_path / "outside"
    if (project / ".autopilot" / name).is_dir():
        outside.mkdir()
    plant(project / ".autopilot" / name, outside)
    said = use(project, "dispatch", "tick")
    assert said.code == 4, said
    error, hint = said.text.strip().splitlines()[-2:]
    assert name in error
    assert "link" in error + hint


def test_a_link_in_a_task_files_place_is_listed_as_what_it_is(project: Path, use: Use, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(f"---\ntitle: {CANARY}\n---\n")
    plant(project / ".autopilot" / "tasks" / "good.md", outside)
    said = use(project, "task", "list", "-o", "json")
    assert "link" in said.text
    assert CANARY not in said.text
