"""Protected paths: every trick that changes them is seen, and nothing else is called a violation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from autopilot.config.settings import TaskSettings
from autopilot.workspaces import manifest
from autopilot.workspaces.manifest import snapshot, violations

PROTECTED = TaskSettings().protected


@pytest.fixture
def repo(tmp_path):
    """A folder with the files that agents like to change."""
    for path, text in {
        ".git/config": "[core]",
        ".git/HEAD": "ref",
        ".git/hooks/pre-commit.sample": "#",
        ".git/info/exclude": "",
        ".claude/settings.json": "{}",
        "AGENTS.md": "be good",
        "docs/AGENTS.md": "be good here",
        "src/main.py": "print()",
    }.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path


def same_size_and_time(place):
    before = place.stat()
    place.write_bytes(b"\0" * before.st_size)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_for_a_link(place, target):
    place.unlink()
    place.symlink_to(target)


TRICKS = {
    ".git/config": [
        lambda repo: (repo / ".git/config").write_text("[core]\nfsmonitor = evil"),
        lambda repo: same_size_and_time(repo / ".git/config"),
        lambda repo: (repo / ".git/config").unlink(),
        lambda repo: (repo / ".git/config").chmod(0o777),
        lambda repo: swap_for_a_link(repo / ".git/config", "HEAD"),
    ],
    ".git/hooks/pre-commit": [
        lambda repo: (repo / ".git/hooks/pre-commit").write_text("evil"),
        lambda repo: (repo / ".git/hooks/pre-commit").symlink_to("/bin/sh"),
        lambda repo: os.mkfifo(repo / ".git/hooks/pre-commit"),
    ],
    ".claude/deep/new.json": [
        lambda repo: ((repo / ".claude/deep").mkdir(), (repo / ".claude/deep/new.json").write_text("{}")),
    ],
    ".mcp.json": [lambda repo: (repo / ".mcp.json").write_text("{}")],
    ".codex": [lambda repo: (repo / ".codex").symlink_to("src"), lambda repo: (repo / ".codex").write_text("")],
    "docs/AGENTS.md": [lambda repo: (repo / "docs/AGENTS.md").write_text("be bad")],
    "src/CLAUDE.md": [lambda repo: (repo / "src/CLAUDE.md").write_text("be bad")],
    ".github/workflows/ci.yml": [
        lambda repo: (
            (repo / ".github/workflows").mkdir(parents=True),
            (repo / ".github/workflows/ci.yml").touch(),
        ),
    ],
}


def _name(value):
    # A function's own text has its address, which differs between the processes of one test run.
    return value if isinstance(value, str) else "trick"


@pytest.mark.parametrize(
    ("path", "trick"), [(path, trick) for path, tricks in TRICKS.items() for trick in tricks], ids=_name
)
def test_a_trick_is_seen(repo, path, trick):
    before = snapshot(str(repo), PROTECTED)
    trick(repo)
    assert path in violations(before, snapshot(str(repo), PROTECTED))


def test_work_elsewhere_is_no_violation(repo):
    before = snapshot(str(repo), PROTECTED)
    (repo / "src/main.py").write_text("print(1)")
    (repo / ".git/HEAD").write_text("other")
    (repo / "docs/README.md").write_text("")
    (repo / ".vscode").mkdir()
    os.utime(repo / "AGENTS.md", ns=(1, 1))
    assert violations(before, snapshot(str(repo), PROTECTED)) == ()


def test_a_folder_that_is_bent_elsewhere_changes_all_that_was_in_it(repo):
    before = snapshot(str(repo), PROTECTED)
    shutil.move(repo / ".claude", repo / "hidden")
    (repo / ".claude").symlink_to("src")
    changed = violations(before, snapshot(str(repo), PROTECTED))
    assert {".claude", ".claude/settings.json", ".claude/main.py"} <= set(changed)


@pytest.mark.parametrize("folder", [".claude", "docs/.claude"])
def test_what_a_linked_folder_leads_to_is_protected_too(repo, folder):
    shutil.move(repo / ".claude", repo / "shared")
    (repo / folder).symlink_to(repo / "shared")
    before = snapshot(str(repo), PROTECTED)
    (repo / "shared/settings.json").write_text('{"allow": "*"}')
    assert violations(before, snapshot(str(repo), PROTECTED)) == (f"{folder}/settings.json",)


@pytest.mark.parametrize(
    "path",
    [
        *(".claude/new.md", "docs/.claude/new.md", ".codex/config.toml", "docs/.cursor/rules/a.mdc", ".kimi/x"),
        *("CLAUDE.md", "docs/CLAUDE.local.md", "AGENTS.override.md", ".mcp.json", ".vscode/tasks.json"),
        *(".github/workflows/ci.yml", ".github/actions/mine/action.yml", ".gitlab-ci.yml"),
        *(".pre-commit-config.yaml", ".gitmodules", "docs/.gitattributes", ".autopilot/config.yaml"),
    ],
)
def test_what_controls_agents_git_and_ci_is_protected_by_default(repo, path):
    before = snapshot(str(repo), PROTECTED)
    (repo / path).parent.mkdir(parents=True, exist_ok=True)
    (repo / path).write_text("mine now")
    assert violations(before, snapshot(str(repo), PROTECTED)) == (path,)


def test_a_link_above_a_protected_path_is_watched(repo):
    shutil.move(repo / ".git", repo / "real-git")
    (repo / "other-git").mkdir()
    (repo / ".git").symlink_to("real-git")
    before = snapshot(str(repo), (".git/config",))
    (repo / ".git").unlink()
    (repo / ".git").symlink_to("other-git")
    assert violations(before, snapshot(str(repo), (".git/config",))) == (".git", ".git/config")


def test_links_in_a_circle_end(repo):
    (repo / ".claude/round").symlink_to("..")
    (repo / "docs/.claude").symlink_to("..")
    (repo / "src/round").symlink_to(".")
    snapshot(str(repo), PROTECTED)


@pytest.mark.parametrize("link", [".claude", "docs/.claude"])
def test_a_link_to_everything_takes_no_day(repo, tmp_path, monkeypatch, link):
    monkeypatch.setattr(manifest, "_MOST_BEHIND", 5)
    everything = tmp_path / "everything"
    for number in range(50):
        (everything / str(number)).mkdir(parents=True)
        (everything / str(number) / "file").touch()
    shutil.rmtree(repo / ".claude")
    before = snapshot(str(repo), PROTECTED)
    (repo / link).symlink_to(everything)
    changed = violations(before, snapshot(str(repo), PROTECTED))
    assert link in changed and len(changed) <= 1 + 5


def test_a_change_of_a_file_that_is_too_large_to_be_read_is_seen(repo, monkeypatch):
    monkeypatch.setattr(manifest, "_MOST_READ", 10)
    (repo / "AGENTS.md").write_bytes(b"x" * 11)
    before = snapshot(str(repo), PROTECTED)
    assert "not read" in before["AGENTS.md"].digest
    changed_at = (repo / "AGENTS.md").stat().st_ctime_ns
    while (repo / "AGENTS.md").stat().st_ctime_ns == changed_at:  # some clocks of file systems are coarse
        (repo / "AGENTS.md").write_bytes(b"y" * 11)
    assert violations(before, snapshot(str(repo), PROTECTED)) == ("AGENTS.md",)


@pytest.mark.timeout(30)
def test_a_pipe_in_place_of_gits_own_files_is_not_waited_for(repo):
    shutil.move(repo / ".git", repo / "real-git")
    (repo / ".git").write_text("gitdir: real-git\n")
    os.mkfifo(repo / "real-git/commondir")
    snapshot(str(repo), PROTECTED)


def test_a_linked_worktree_shares_its_repositorys_hooks(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git")
    main, tree = tmp_path / "main", tmp_path / "tree"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q", main], check=True)
    subprocess.run([*git, "commit", "-qm", "x", "--allow-empty"], cwd=main, check=True)
    subprocess.run([*git, "worktree", "add", "-q", tree], cwd=main, check=True)
    before = snapshot(str(tree), PROTECTED)
    (main / ".git/hooks/post-checkout").write_text("evil")
    (main / ".git/config").write_text("")
    assert violations(before, snapshot(str(tree), PROTECTED)) == (".git/config", ".git/hooks/post-checkout")


@pytest.mark.parametrize("content", [b"gitdir: /nowhere/at/all\n", b"\xff\xfe", b"nonsense"])
def test_an_odd_git_file_is_no_fault(tmp_path, content):
    (tmp_path / ".git").write_bytes(content)
    assert snapshot(str(tmp_path), PROTECTED) == {}


def test_the_own_folder_of_autopilot_is_left_out(repo):
    own = repo / ".autopilot"
    (own / "runs").mkdir(parents=True)
    (own / "runs/AGENTS.md").touch()
    (own / "config.yaml").touch()
    found = snapshot(str(repo), PROTECTED, skip=str(own))
    assert ".autopilot/config.yaml" in found
    assert ".autopilot/runs/AGENTS.md" not in found


def test_other_repositories_inside_are_looked_into_but_for_their_git(repo):
    (repo / "vendor/lib/.git").mkdir(parents=True)
    (repo / "vendor/lib/AGENTS.md").touch()
    assert "vendor/lib/AGENTS.md" in snapshot(str(repo), PROTECTED)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_compared_all_the_same(repo):
    (repo / "AGENTS.md").chmod(0)
    before = snapshot(str(repo), PROTECTED)
    assert before["AGENTS.md"].digest.startswith("unreadable")
    (repo / "AGENTS.md").unlink()
    assert "AGENTS.md" in violations(before, snapshot(str(repo), PROTECTED))


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert snapshot(str(tmp_path / "gone"), PROTECTED) == {}


def test_no_patterns_look_at_nothing(repo):
    seen = []
    assert snapshot(str(repo), (), tick=lambda: seen.append(1)) == {}
    assert seen == []


def test_the_caller_is_called_for_every_path(repo):
    seen = []
    snapshot(str(repo), PROTECTED, tick=lambda: seen.append(1))
    assert len(seen) >= 8


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="case is folded there")
def test_letter_case_tells_files_apart_here(repo):
    before = snapshot(str(repo), PROTECTED)
    (repo / "agents.md").write_text("something else")
    assert violations(before, snapshot(str(repo), PROTECTED)) == ()


def test_letter_case_tells_nothing_apart_on_a_disk_that_folds_it(repo, monkeypatch):
    """Such as a Windows drive below Linux; here the answers of one are put in."""
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **more: real(_as_it_is_written(path), **more))
    before = snapshot(str(repo), PROTECTED)
    (repo / "src" / "agents.md").write_text("be bad")
    (repo / "src" / "Claude.MD").write_text("be bad")
    assert violations(before, snapshot(str(repo), PROTECTED)) == ("src/Claude.MD", "src/agents.md")


def _as_it_is_written(path):
    folder, name = os.path.split(path)
    return os.path.join(folder, next((one for one in os.listdir(folder) if one.lower() == name.lower()), name))


def test_a_path_that_vanishes_while_it_is_looked_at_is_noted(repo, monkeypatch):
    real = os.lstat

    def lstat(path, *more, **options):
        if str(path).endswith("AGENTS.md"):
            raise FileNotFoundError(2, "gone")
        return real(path, *more, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert snapshot(str(repo), ("AGENTS.md",))["AGENTS.md"].digest.startswith("unreadable")


def test_a_file_that_cannot_be_opened_is_noted(repo, monkeypatch):
    def refuse(path, *more, **options):
        raise PermissionError(13, "no")

    monkeypatch.setattr("autopilot.workspaces.manifest.os.open", refuse)
    assert snapshot(str(repo), ("/AGENTS.md",))["AGENTS.md"].digest.startswith("unreadable")
