"""Nothing that moves the cursor, reorders or hides text reaches a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.system.sanitize import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nand more", "plain\ttext\nand more"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "\\x1b]8;;http://evil\\x07click\\x1b]8;;\\x07"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("overwritten\rtext", "overwritten\\x0dtext"),
        ("back\x08space\x7f", "back\\x08space\\x7f"),
        ("NUL\x00", "NUL\\x00"),
        ("admin\u202egpj.exe", "admin\\u202egpj.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028separator\u2029", "line\\u2028separator\\u2029"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("grüße 日本語 🎉", "grüße 日本語 🎉"),
    ],
)
def test_dangerous_characters_are_shown(text, shown):
    assert visible(text) == shown


def test_long_lines_are_cut_one_by_one():
    assert visible("a" * 12 + "\nshort\n" + "b" * 11, limit=10) == (
        "a" * 10 + "… (+2 characters)\nshort\n" + "b" * 10 + "… (+1 characters)"
    )


def test_a_limit_of_nothing_is_no_limit():
    assert visible("a" * 100_000, limit=0) == "a" * 100_000


@given(st.text(st.characters(exclude_categories=[])))
@settings(deadline=None)
def test_nothing_gets_through(text):
    shown = visible(text, limit=0)
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }
    shown.encode()
    assert visible(shown, limit=0) == shown


def test_whatever_is_dangerous_is_unprintable():
    from autopilot.system.sanitize import _pattern

    printable = "".join(chr(code) for code in range(0x110000) if chr(code).isprintable())
    assert _pattern().search(printable) is None
