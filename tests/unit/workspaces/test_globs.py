"""Globs name what their authors mean, and nothing beside it."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.workspaces.globs import literal_prefix, matcher


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (
            "AGENTS.md",
            ["AGENTS.md", "deep/down/AGENTS.md"],
            ["agents.md", "AGENTS.mdx", "AGENTS_md", "xAGENTS.md"],
        ),
        (".git/config", [".git/config"], ["sub/.git/config", ".git/config.lock", ".git"]),
        ("/root.txt", ["root.txt"], ["sub/root.txt"]),
        (".git/hooks/**", [".git/hooks", ".git/hooks/pre-commit", ".git/hooks/a/b"], [".git/hooksX", ".git"]),
        (".claude/", [".claude", "sub/.claude/x", ".claude/deep/x"], [".claudex"]),
        ("src/*.py", ["src/a.py"], ["src/a/b.py", "src/a.pyc", "a.py"]),
        ("src/**/test.py", ["src/test.py", "src/a/b/test.py"], ["test.py", "src/a/test.pyc"]),
        ("**/secret", ["secret", "a/b/secret", "secret/below"], ["secrets"]),
        ("a?c", ["abc", "x/a.c"], ["ac", "a/c", "abbc"]),
        ("[ab]x", ["ax", "bx"], ["cx", "[ab]x"]),
        ("[!ab]x", ["cx"], ["ax", "/x"]),
        ("[]]x", ["]x"], ["x"]),
        ("[^]a]x", ["bx"], ["]x", "ax"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a[\\d]", ["a\\", "ad"], ["a1"]),
        ("a/./b//c", ["a/b/c"], ["a/c"]),
        ("**", ["anything", "at/all"], []),
        ("new\nline", ["new\nline"], ["newline"]),
    ],
)
def test_a_pattern_matches(pattern, matching, others):
    found = matcher([pattern])
    assert [path for path in matching if not found.fullmatch(path)] == []
    assert [path for path in others if found.fullmatch(path)] == []


def test_no_patterns_match_nothing():
    assert not matcher([]).fullmatch("")
    assert not matcher([]).fullmatch("a")


def test_letter_case_is_folded_where_the_file_system_does():
    assert matcher(["AGENTS.md"], fold_case=True).fullmatch("agents.MD")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("AGENTS.md", None),
        ("**/x", None),
        ("*.md", None),
        (".git/hooks/**", ".git/hooks"),
        (".git/config", ".git/config"),
        ("/top", "top"),
        ("a/b*/c", "a"),
        ("*/c", ""),
    ],
)
def test_the_literal_prefix(pattern, prefix):
    assert literal_prefix(pattern) == prefix


WORDS = st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda word: word not in (".", ".."))
PATHS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(["a", "b", "*", "?", "a*", "*.b"])
PATTERNS = st.lists(PIECES, min_size=2, max_size=4).map("/".join)


@settings(deadline=None, max_examples=300)
@given(PATTERNS, PATHS)
def test_anchored_patterns_without_stars_agree_with_pathlib(pattern, path):
    """pathlib matches from the right: with as many parts as the path it is the same question."""
    depth = pattern.count("/") + 1
    parts = path.split("/")
    expected = len(parts) >= depth and pathlib.PurePosixPath("/".join(parts[:depth])).match(pattern)
    assert bool(matcher([pattern]).fullmatch(path)) == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=4), st.text(max_size=12))
def test_any_text_is_a_pattern(patterns, path):
    matcher(patterns).fullmatch(path)
    for pattern in patterns:
        literal_prefix(pattern)
