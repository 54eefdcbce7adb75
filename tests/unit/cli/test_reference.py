"""The page on the command line is what the commands say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autopilot.cli.main import cli
from autopilot.cli.reference import MARKER, _walk, markdown, renew

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"
RENEW = "python -m autopilot.cli.reference docs/reference/command-line.md"


@pytest.fixture(autouse=True)
def no_commands_of_plugins() -> None:
    cli.commands.clear()


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(MARKER)[2] == markdown(), f"renew it: {RENEW}"


def test_renewing_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"By hand.\n{MARKER}old\n")
    renew(str(page))
    assert page.read_text().startswith(f"By hand.\n{MARKER}\n### `init`\n")
    assert "old\n" not in page.read_text()


@pytest.mark.parametrize(
    "heading", ["task create", "task wait ID...", "dispatch tick", "events publish CHANNEL MESSAGE"]
)
def test_commands_have_their_section(heading: str) -> None:
    assert f"\n### `{heading}`\n" in markdown()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("output", "Without `-o` are {}:"),
        ("root", "without `--root` are {}."),
    ],
)
def test_the_page_says_which_commands_are_without_a_common_option(option: str, sentence: str) -> None:
    assert sentence.format(_listed(sorted(_without(option)))) in PAGE.read_text(encoding="utf-8").replace(
        "\n", " "
    )


def _without(option: str) -> Iterator[str]:
    for path, command in _walk(cli, ()):
        if option not in {one.name for one in command.params}:
            yield " ".join(path)


def _listed(names: list[str]) -> str:
    words = [f"`{name}`" for name in names]
    return f"{', '.join(words[:-1])} and {words[-1]}"
