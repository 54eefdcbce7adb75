"""What git can be told to overlook, the manifest sees; and looking runs nothing that a repository names."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.config.settings import TaskSettings
from autopilot.models import AttemptSpec, PluginRef
from autopilot.runner.evidence import Evidence

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(repo: Path, *words: str) -> str:
    line = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(line, cwd=repo, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A clean repository with the files that agents like to change."""
    folder = tmp_path / "repo"
    for name, text in {
        "AGENTS.md": "be good\n",
        ".github/workflows/ci.yml": "on: push\n",
        ".claude/settings.json": "{}\n",
        "src/main.py": "print()\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def look(repo: Path) -> Evidence:
    (repo.parent / "run").mkdir()
    spec = AttemptSpec(
        root=str(repo.parent / "root"), store_url="file:", task_id="t", token=1, task_text="", executor="x",
        executor_plugin=PluginRef(name="x", value="x"), workdir=str(repo), run_dir=str(repo.parent / "run"),
        workspace="repo", protected=TaskSettings().protected,
    )  # fmt: skip
    return Evidence(spec, tick=lambda: None)


def assume_unchanged(repo: Path) -> None:
    git(repo, "update-index", "--assume-unchanged", "AGENTS.md")
    (repo / "AGENTS.md").write_text("be bad\n")


def skip_worktree(repo: Path) -> None:
    git(repo, "update-index", "--skip-worktree", "AGENTS.md")
    (repo / "AGENTS.md").write_text("be bad\n")


def ignored(repo: Path) -> None:
    (repo / "src/.gitignore").write_text("AGENTS.md\n.gitignore\n")
    (repo / "src/AGENTS.md").write_text("be bad\n")


def excluded(repo: Path) -> None:
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/exclude").write_text("*.yaml\n")
    (repo / ".github/workflows/evil.yaml").write_text("on: push\n")


def hook(repo: Path) -> None:
    (repo / ".git/hooks").mkdir(exist_ok=True)
    (repo / ".git/hooks/post-checkout").write_text("#!/bin/sh\ntouch pwned\n")


def configured(repo: Path) -> None:
    git(repo, "config", "core.hooksPath", ".hooks")


def same_size_and_time(repo: Path) -> None:
    place = repo / "AGENTS.md"
    before = place.stat()
    place.write_text("be bad!\n")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def committed(repo: Path) -> None:
    (repo / "AGENTS.md").write_text("be bad\n")
    git(repo, "commit", "-qam", "nothing to see")


def bent(repo: Path) -> None:
    shutil.move(repo / ".claude", repo.parent / "elsewhere")
    (repo / ".claude").symlink_to(repo.parent / "elsewhere")
    (repo.parent / "elsewhere/settings.json").write_text('{"allow": "*"}\n')
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "nothing to see")


def appeared(repo: Path) -> None:
    (repo / ".mcp.json").write_text("{}\n")
    with (repo / ".git/info/exclude").open("a") as file:
        file.write(".mcp.json\n")


TRICKS: dict[Callable[[Path], None], set[str]] = {
    assume_unchanged: {"AGENTS.md"},
    skip_worktree: {"AGENTS.md"},
    ignored: {"src/AGENTS.md"},
    excluded: {".git/info/exclude", ".github/workflows/evil.yaml"},
    hook: {".git/hooks/post-checkout"},
    configured: {".git/config"},
    same_size_and_time: {"AGENTS.md"},
    committed: {"AGENTS.md"},
    bent: {".claude", ".claude/settings.json"},
    appeared: {".mcp.json", ".git/info/exclude"},
}


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_a_trick_that_git_overlooks_is_a_violation(repo: Path, trick: Callable[[Path], None]) -> None:
    evidence = look(repo)
    trick(repo)
    _, broken = evidence.gather()
    assert set(broken) == TRICKS[trick]
    if trick is not same_size_and_time:  # whether git sees this one depends on its settings
        assert git(repo, "status", "--porcelain") == "", "git sees it, so that it is no trick"


def test_work_of_every_other_kind_is_none(repo: Path) -> None:
    evidence = look(repo)
    (repo / "src/main.py").write_text("print(1)\n")
    (repo / "src/new.py").write_text("print(2)\n")
    git(repo, "checkout", "-qb", "work")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "work")
    git(repo, "tag", "v1")
    git(repo, "gc", "-q")
    changed, broken = evidence.gather()
    assert (changed, broken) == (("src/main.py", "src/new.py"), ())


def test_nothing_that_the_repository_names_is_run(repo: Path) -> None:
    """A predecessor has set traps: looking at the tree asks no git, so none of them springs."""
    trap = repo.parent / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {repo.parent}/sprung\nexit 1\n")
    trap.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(trap))
    git(repo, "config", "diff.external", str(trap))
    git(repo, "config", "filter.evil.clean", str(trap))
    (repo / ".gitattributes").write_text("* filter=evil\n")
    evidence = look(repo)
    (repo / "src/main.py").write_text("print(1)\n")
    evidence.gather()
    assert not (repo.parent / "sprung").exists()
    subprocess.run(["git", "status"], cwd=repo, capture_output=True, check=False)
    assert (repo.parent / "sprung").exists(), "the trap does not work, so this shows nothing"
