"""Checks of what Autopilot knows: config, tasks, plugins, executors, a pause that somebody forgot."""

from __future__ import annotations

from collections.abc import Iterator

from autopilot.cli.app import App
from autopilot.cli.doctor.finding import Finding, Grade
from autopilot.cli.executors import NONE_INSTALLED
from autopilot.cli.plugins import plugin_reports
from autopilot.system.near import did_you_mean

__all__ = ["check_config", "check_events", "check_executors", "check_hold", "check_plugins", "check_tasks"]

_VERIFIED_BYTES = 64 * 1024 * 1024
_NAMED = 5


def check_config(app: App) -> Iterator[Finding]:
    """The settings can be read."""
    import os

    path = app.control.root.config_path
    assert app.control.settings is not None
    yield Finding("config", "ok", path if os.path.exists(path) else "no file; every setting has its default")


def check_tasks(app: App) -> Iterator[Finding]:
    """Every file in the queue can be read as a task."""
    from autopilot.cli.taskview import invalid_row
    from autopilot.models import InvalidTask

    ids = []
    for task in app.control.store.tasks():
        ids.append(task.id)
        if isinstance(task, InvalidTask):
            reason = invalid_row(task)["reason"]
            yield Finding("tasks", "fail", f"{task.path or task.id}: {reason['message']}", reason["hint"])
        elif task.path and _has_another_name(task.path):
            detail = (
                f"{task.path} has another name as well (a hard link), which keeps the old text at every change"
            )
            yield Finding("tasks", "warn", detail, "copy it instead, or use a symbolic link to the whole root")
    yield from _lookalikes(ids)
    yield from _left_alone(app.control.root.tasks)
    yield Finding("tasks", "ok", f"{len(ids)} files read")


def _lookalikes(ids: list[str]) -> Iterator[Finding]:
    from autopilot.taskfile import lookalikes

    for one, other in lookalikes(ids):
        detail = f"the id {one} looks like that of the task {other}"
        yield Finding(
            "tasks", "warn", detail, "rename one of the two files, so that nobody takes it for the other"
        )


def _left_alone(folder: str) -> Iterator[Finding]:
    """What people may take for a task, and is none. Hidden names and backups are those of programs."""
    import os

    from autopilot.store.layout import is_task_name

    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    strange = [name for name in names if not (is_task_name(name) or name.startswith(".") or name.endswith("~"))]
    if strange:
        more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
        detail = (
            f"{len(strange)} entries of {folder} are no `<id>.md` and are left alone: "
            f"{', '.join(strange[:_NAMED])}{more}"
        )
        yield Finding("tasks", "warn", detail, "a task lies right in that folder and its name ends with `.md`")


def _has_another_name(path: str) -> bool:
    import os

    try:
        return os.lstat(path).st_nlink > 1
    except OSError:
        return False


def check_plugins(app: App) -> Iterator[Finding]:
    """Every plugin loads, or is switched off on purpose; the config names none that is not there."""
    reports = plugin_reports(app)
    for report in reports:
        if report.reason and report.status != "blocked":
            grade: Grade = "warn" if report.status == "loaded" else "fail"
            detail = f"{report.name} ({report.distribution}) is {report.status}: {report.reason}"
            yield Finding("plugins", grade, detail, _plugin_hint(report.name) if grade == "fail" else "")
    for name in app.control.plugins.unknown_names():
        detail = f"the config names the plugin {name}, and no such plugin is installed"
        yield Finding("plugins", "warn", detail, did_you_mean(name, app.control.plugins.names()))
    yield Finding("plugins", "ok", ", ".join(report.name for report in reports) or "none")


def check_events(app: App) -> Iterator[Finding]:
    """The event log's chain holds; a big log is left to ``events verify``."""
    import os

    folder = app.control.root.events
    size = sum(entry.stat().st_size for entry in os.scandir(folder)) if os.path.isdir(folder) else 0
    if size > _VERIFIED_BYTES:
        yield Finding("events", "ok", f"{size // 2**20} MiB; `autopilotctl events verify` checks the chain")
        return
    report = app.control.log.verify()
    for fault in report.faults[:5]:
        hint = "somebody or something changed the log; compare it with a backup or an anchor"
        yield Finding("events", "fail", f"{fault.segment}:{fault.line}: {fault.message}", hint)
    yield Finding("events", "ok" if report.ok else "fail", f"{report.events} events read")


def _plugin_hint(name: str) -> str:
    return f"upgrade or uninstall its package, or put {name} into plugins.disabled of the config"


def check_executors(app: App) -> Iterator[Finding]:
    """At least one executor can be used; the others say how to mend them."""
    names = sorted(app.control.executors)
    found = {name: app.control.health(name, fresh=True) for name in names}
    usable = any(health.ok for health in found.values())
    offered = app.control.plugins.offered
    for name in sorted(app.control.settings.executors.keys() - offered):
        detail = f"the config has settings for the executor {name}, which no plugin in use brings"
        yield Finding("executors", "warn", detail, did_you_mean(name, offered))
    if not names:
        yield Finding("executors", "fail", "none is installed, so nothing can run", NONE_INSTALLED)
    for name, health in found.items():
        status: Grade = "ok" if health.ok else "warn" if usable else "fail"
        yield Finding("executors", status, f"{name}: {health.reason}", health.hint)
        if health.warning:
            yield Finding("executors", "warn", f"{name}: {health.warning}")


def check_hold(app: App) -> Iterator[Finding]:
    """Nobody paused dispatching, or it is said who did."""
    hold = app.control.hold()
    if hold is None:
        yield Finding("dispatching", "ok", "neither paused nor draining")
        return
    yield Finding("dispatching", "warn", str(hold), "autopilotctl dispatch resume")
