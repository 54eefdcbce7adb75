"""All checks in their order. One that breaks is a finding itself, and stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autopilot.cli.app import App
from autopilot.cli.doctor.core import (
    check_config,
    check_events,
    check_executors,
    check_hold,
    check_plugins,
    check_tasks,
)
from autopilot.cli.doctor.finding import Finding
from autopilot.cli.doctor.leases import check_leases, check_locks
from autopilot.cli.doctor.machine import (
    check_disk,
    check_git,
    check_install,
    check_marks,
    check_python,
    check_root,
)
from autopilot.errors import AutopilotError

__all__ = ["examine"]

Check = Callable[[App], Iterator[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", check_python),
    ("install", check_install),
    ("git", check_git),
    ("root", check_root),
    ("disk", check_disk),
    ("marks", check_marks),
    ("config", check_config),
    ("tasks", check_tasks),
    ("events", check_events),
    ("plugins", check_plugins),
    ("executors", check_executors),
    ("leases", check_leases),
    ("locks", check_locks),
    ("dispatching", check_hold),
)


def examine(app: App) -> Iterator[Finding]:
    """Do every check. A root that cannot be used stops many; why, is told once."""
    told = set()
    for name, check in CHECKS:
        try:
            yield from check(app)
        except AutopilotError as fault:
            if fault.message in told:
                continue
            told.add(fault.message)
            yield Finding(name, "fail", fault.message, fault.hint)
        except Exception as fault:
            detail = f"this check broke: {type(fault).__name__}: {fault}"
            yield Finding(name, "fail", detail, "run it with AUTOPILOT_DEBUG=1 and report it")
