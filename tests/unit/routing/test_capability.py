"""Who can do a task at all, and what to install when nobody can."""

from __future__ import annotations

import pytest

from autopilot.routing.capability import incapacity, install_hint, is_shell_only, unknown_executor_hint
from tests.unit.routing.world import make_contender, make_task

SHELL = make_contender("local", ("shell",))
AGENT = make_contender("claude-code", ("code", "review"))
BOTH = make_contender("openclaw", ("code", "shell"))
REVIEWER = make_contender("critic", ("review",))
BARE = make_contender("echo", ())


def can(task, contender, named=False):
    return incapacity(task, contender, named=named) is None


@pytest.mark.parametrize(
    ("capabilities", "alone"),
    [({"shell"}, True), ({"shell", "gpu"}, True), ({"shell", "code"}, False), ({"code"}, False), (set(), False)],
)
def test_a_shell_is_one_that_reads_no_prose(capabilities, alone):
    assert is_shell_only(frozenset(capabilities)) is alone


def test_prose_goes_to_agents_and_never_to_a_shell():
    task = make_task(body="Please tidy up: rm -rf build")
    assert [can(task, c) for c in (AGENT, BOTH, REVIEWER, BARE)] == [True] * 4
    assert "prose" in incapacity(task, SHELL, named=False)


def test_prose_goes_to_a_shell_that_the_task_names():
    assert can(make_task(executor="local", body="make test"), SHELL, named=True)


@pytest.mark.parametrize("command", ["make", ("make", "test")])
def test_commands_go_to_shells_only(command):
    task = make_task(command=command)
    assert [can(task, c) for c in (SHELL, BOTH)] == [True] * 2
    assert [can(task, c) for c in (AGENT, BARE)] == [False] * 2


def test_naming_an_agent_does_not_make_it_run_commands():
    assert not can(make_task(command="make", executor="claude-code"), AGENT, named=True)


def test_all_requirements_must_be_met():
    task = make_task(requires=frozenset({"code", "gpu"}))
    assert incapacity(task, AGENT, named=False) == "lacks gpu, which the task requires"
    assert can(task, make_contender("x", ("code", "gpu", "more")))


def test_the_executors_own_refusal_counts():
    choosy = make_contender("x", accepts=lambda task: "no haiku" if task.task_type == "haiku" else None)
    assert incapacity(make_task(task_type="haiku"), choosy, named=True) == "no haiku"
    assert can(make_task(), choosy)


def test_executors_may_be_switched_off_or_kept_for_tasks_that_name_them():
    assert "executors.x.enabled" in incapacity(make_task(), make_contender("x", enabled=False), named=True)
    shy = make_contender("x", explicit_only=True)
    assert not can(make_task(), shy)
    assert can(make_task(executor="x"), shy, named=True)


@pytest.mark.parametrize(
    ("task", "installed", "hint"),
    [
        (make_task(), [], "pip install 'autopilot-core[claude]'"),
        (make_task(), [SHELL], "pip install 'autopilot-core[claude]'"),
        (make_task(command="make"), [], "pip install 'autopilot-core[local]'"),
        (make_task(command="make"), [AGENT], "pip install 'autopilot-core[local]'"),
        (make_task(requires=frozenset({"review"})), [SHELL], "pip install 'autopilot-core[claude]'"),
        (make_task(requires=frozenset({"gpu"})), [AGENT], "offers gpu"),
        (make_task(id="t9"), [make_contender("x", accepts=lambda task: "no")], "autopilotctl why t9"),
        (make_task(), [make_contender("x", enabled=False)], "executors.x.enabled: true"),
    ],
)
def test_the_hint_names_what_is_missing(task, installed, hint):
    assert hint in install_hint(task, installed)


def test_an_unknown_name_gets_names_that_look_alike():
    assert "did you mean claude-code?" in unknown_executor_hint("cluade-code", ["local", "claude-code"])
    assert "installed are: kimi, local" in unknown_executor_hint("zzz", ["local", "kimi"])
    assert "installed are: none" in unknown_executor_hint("zzz", [])


def test_a_known_name_that_is_not_installed_gets_its_package():
    assert "pip install 'autopilot-core[claude]'" in unknown_executor_hint("claude-code", ["local"])
