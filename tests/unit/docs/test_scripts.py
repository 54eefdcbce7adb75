"""The scripts say what there is, start nothing that was not asked for, and refuse what they do not know."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import pytest_collection_modifyitems

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """scripts/campaign beside a test runner that only says what it is given: exit code, stdout, stderr."""
    shutil.copy(ROOT / "scripts" / "campaign", tmp_path)
    (tmp_path / "test").write_text('echo "soak=$AUTOPILOT_SOAK_MINUTES size=$AUTOPILOT_TEST_SIZE $*"\n')
    for name in ("AUTOPILOT_TEST_SIZE", "AUTOPILOT_SOAK_MINUTES"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, **variables):
        return said(["sh", str(tmp_path / "campaign"), *arguments], tmp_path, variables)

    return run


def said(command, folder, variables):
    environ = {**os.environ, **variables}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_campaign_runs_its_tests_at_full_size(campaign):
    code, out, _ = campaign("T2", "T9")
    assert code == 0
    assert out.split()[:2] == ["soak=360", "size=1000"]
    assert out.split()[-3:] == ["--timeout=0", "tests/crash/test_syscalls.py", "tests/process/test_resources.py"]


@pytest.mark.parametrize("arguments", [("all",), ("T1", "all"), ("all", "T1")])
def test_all_means_all_wherever_it_stands(campaign, arguments):
    code, out, _ = campaign(*arguments)
    assert code == 0
    assert out.count("tests/crash/test_soak.py") == out.count("tests/crash/test_syscalls.py") == 1


@pytest.mark.parametrize(("size", "minutes"), [("1", 1), ("10", 3), ("100", 36), ("1000", 360), ("5000", 360)])
def test_the_soak_is_as_long_as_the_rest(campaign, size, minutes):
    assert campaign("T15", AUTOPILOT_TEST_SIZE=size)[1].startswith(f"soak={minutes} ")
    assert campaign("T15", AUTOPILOT_TEST_SIZE=size, AUTOPILOT_SOAK_MINUTES="7")[1].startswith("soak=7 ")


def test_an_unknown_campaign_is_refused(campaign):
    code, out, err = campaign("T1", "T99")
    assert (code, out) == (2, "")
    assert err.startswith("campaign: there is no T99; there are T1 ")


@pytest.mark.parametrize("size", ["abc", "1.5", "-3"])
def test_a_size_that_is_no_whole_number_is_refused(campaign, size):
    code, out, err = campaign("T1", AUTOPILOT_TEST_SIZE=size)
    assert (code, out) == (2, "")
    assert "AUTOPILOT_TEST_SIZE" in err
    assert size in err


def test_without_arguments_nothing_starts(campaign):
    code, out, _ = campaign()
    assert code == 0
    assert "soak=" not in out
    assert out.startswith("T1  tests/crash/")


MODULES = ["tests.mutation", "tests.mutation.coverage"]


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_scope_is_refused(module):
    code, out, err = said([sys.executable, "-m", module, "store", "nope"], ROOT, {})
    assert (code, out) == (2, "")
    assert "there is no scope nope; there are store, events, runner, system, and all" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("module", MODULES)
def test_without_scopes_nothing_starts(module):
    code, out, err = said([sys.executable, "-m", module], ROOT, {})
    assert (code, err) == (0, "")
    assert out.startswith("store  autopilot/store/*.py\n")


def test_no_mutant_tried_is_no_success(monkeypatch, capsys):
    """A file that is misspelt must not look like a full score."""
    from tests.mutation import __main__ as mutation

    monkeypatch.setattr(mutation, "build", lambda repository, tree, mutate, part: [])
    monkeypatch.setattr(sys, "argv", ["mutation", "all", "--report", "--file", "tpyo"])
    assert mutation.main() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("scripts/mutation: no mutant of store events runner system was tried: ")


@pytest.mark.timeout(77)
@pytest.mark.parametrize(("asked", "limit"), [(0, 0), (300, 77), (None, 77)])
def test_no_limit_of_time_means_no_limit(request, asked, limit):
    config = SimpleNamespace(getoption={"timeout": asked}.get)
    pytest_collection_modifyitems(config, [request.node])
    assert request.node.get_closest_marker("timeout").args == (limit,)
