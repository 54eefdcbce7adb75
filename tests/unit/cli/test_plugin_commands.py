"""Commands of plugins, and how those of broken ones are missing with a warning."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click
import pytest

from autopilot import hookimpl
from autopilot.cli import main as program
from autopilot.config.settings import PluginSettings
from autopilot.models import PluginRef
from autopilot.plugins.manager import PluginManager

Cli = Callable[..., Any]
Install = Callable[..., None]


def plugin(function: Callable[[Any], None]) -> Any:
    """A plugin with that implementation of the hook."""

    @hookimpl
    def autopilot_commands(cli: Any) -> None:
        function(cli)

    return SimpleNamespace(autopilot_commands=autopilot_commands)


@click.command()
def report() -> int:
    """Report something."""
    click.echo("reported")
    return 7


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Have these plugins, and no others."""

    def use(**plugins: Any) -> None:
        manager = PluginManager(PluginSettings(), found=[], builtins=list(plugins.items()))
        monkeypatch.setattr("autopilot.dispatcher.control.Control.plugins", manager)
        program.cli.commands.clear()

    yield use  # type: ignore[misc]
    program.cli.commands.clear()


def test_a_plugin_s_command_runs(cli: Cli, install: Install) -> None:
    install(good=plugin(lambda cli: cli.add_command(report)))
    said = cli("report")
    assert (said.code, said.out) == (7, "reported\n")


def test_help_lists_it(cli: Cli, install: Install) -> None:
    install(good=plugin(lambda cli: cli.add_command(report)))
    out = cli("--help").out
    assert "Report something." in out
    assert out.index("completion") < out.index("Report something.")


def test_the_decorator_works_too(cli: Cli, install: Install) -> None:
    def add(cli: Any) -> None:
        @cli.command()
        def extra() -> None:
            """Something more."""
            click.echo("more")

    install(good=plugin(add))
    assert cli("extra").out == "more\n"


def test_core_commands_cannot_be_replaced(cli: Cli, install: Install) -> None:
    install(greedy=plugin(lambda cli: cli.add_command(report, "task")))
    assert "reported" not in cli("task").out
    said = cli("--help")
    assert "'task' is left out" in said.err
    assert "Create, list" in said.out


def test_the_first_of_two_plugins_keeps_the_name(cli: Cli, install: Install) -> None:
    install(
        a=plugin(lambda cli: cli.add_command(report)),
        b=plugin(lambda cli: cli.add_command(click.Command("report", callback=lambda: click.echo("other")))),
    )
    said = cli("report")
    assert said.out == "reported\n"
    assert "left out" in said.err


def fail(cli: Any) -> None:
    raise RuntimeError("no luck")


def leave(cli: Any) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "bad", [fail, leave, lambda cli: cli.add_command("nonsense")], ids=["raises", "exits", "nonsense"]
)
def test_a_broken_plugin_harms_nobody_else(cli: Cli, install: Install, bad: Callable[[Any], None]) -> None:
    install(bad=plugin(bad), good=plugin(lambda cli: cli.add_command(report)))
    said = cli("report")
    assert (said.code, said.out) == (7, "reported\n")
    assert "warning: the commands of plugin bad are missing" in said.err
    assert "Commands:" in cli("--help").out


def test_an_unknown_command_is_still_unknown(cli: Cli, install: Install) -> None:
    install()
    said = cli("reprot")
    assert said.code == 2
    install(good=plugin(lambda cli: cli.add_command(report)))
    assert "report" in cli("reprot").err


def test_a_wrong_config_leaves_help_readable(cli: Cli, project: Any) -> None:
    cli("init")
    (project / ".autopilot" / "config.yaml").write_text("nope: 1\n")
    said = cli("--help")
    assert said.code == 0
    assert "warning" in said.err
    assert "Commands:" in said.out


def test_help_remembers_that_nobody_adds_anything(
    cli: Cli, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopilot.cli.plugin_commands._SETTLED_NS", 0)
    install()
    cli("--help")
    install(late=plugin(lambda cli: cli.add_command(report)))
    assert "Report something." not in cli("--help").out
    # Asked for by name it is found, and from then on listed.
    assert cli("report").out == "reported\n"
    assert "Report something." in cli("--help").out


def test_a_hanging_plugin_is_left_behind(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "hanging_commands.py").write_text(
        "import time\nfrom autopilot import hookimpl\n\n"
        "@hookimpl\ndef autopilot_commands(cli):\n    time.sleep(600)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    manager = PluginManager(
        PluginSettings(),
        found=[PluginRef(name="hanging", value="hanging_commands")],
        call_deadline_s=0.2,
        trials=False,
    )
    monkeypatch.setattr("autopilot.dispatcher.control.Control.plugins", manager)
    program.cli.commands.clear()
    began = time.monotonic()
    assert cli("--help").code == 0
    assert time.monotonic() - began < 60
