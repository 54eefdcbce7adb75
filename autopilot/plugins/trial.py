"""Try new plugins in a process of their own before they are imported here.

``os._exit``, a crash of an extension module or an import that holds the interpreter for ever cannot be caught in
the process that they happen in. So a plugin that is new, or whose files changed, is first imported in a child; the
answer is cached, together with the hooks that were found, so that later starts need neither the child nor, for
hooks that the plugin does not have, the import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.models import PluginRef
from autopilot.plugins.cache import JsonCache

if TYPE_CHECKING:
    import subprocess

__all__ = ["Trial", "Trials"]

_BOOT = (
    "import json, sys; setup = json.loads(sys.stdin.readline()); sys.path[:] = setup['path']; "
    "from autopilot.plugins.trial_child import main; main(setup)"
)
_HANG_KEPT_S = 300.0
_REPORT_LIMIT = 1 << 20


@attrs.frozen(kw_only=True)
class Trial:
    """What a trial showed.

    Attributes:
        fault: why the plugin must not be imported here; empty where it may.
        hooks: the hooks that it implements; None where the trial could not tell.
    """

    fault: str = ""
    hooks: frozenset[str] | None = None


class Trials:
    """Trials of plugins, cached.

    Args:
        budget_s: how long an import may take.
        cache_folder: where results are kept; the user's cache folder by default.
    """

    def __init__(self, *, budget_s: float, cache_folder: str | None = None) -> None:
        self._budget_s = budget_s
        self._cache = JsonCache("trials", [sys.executable, list(sys.path)], cache_folder)

    def judge(self, refs: Sequence[PluginRef]) -> dict[PluginRef, Trial]:
        """The trial of each plugin: from the cache where nothing changed, else tried now, several at a time."""
        kept = self._cache.read()
        kept = kept if isinstance(kept, dict) else {}
        known = {ref: trial for ref in refs if (trial := _from_cache(kept.get(_key(ref)))) is not None}
        new = [ref for ref in refs if ref not in known]
        if new:
            reports = self._run(new)
            kept.update({_key(ref): _to_cache(report) for ref, report in reports.items()})
            self._cache.write(kept)
            known.update({ref: _trial(report) for ref, report in reports.items()})
        return known

    def _run(self, refs: Sequence[PluginRef]) -> dict[PluginRef, Mapping[str, Any]]:
        reports: dict[PluginRef, Mapping[str, Any]] = {}
        at_once = os.cpu_count() or 1
        for first in range(0, len(refs), at_once):
            started = [(ref, _start(ref)) for ref in refs[first : first + at_once]]
            deadline = time.monotonic() + self._budget_s
            for ref, child in started:
                reports[ref] = self._report(child, deadline) if child is not None else {}
        return reports

    def _report(self, child: subprocess.Popen[bytes], deadline: float) -> Mapping[str, Any]:
        line = None
        try:
            line = _read_line(child, deadline)
        finally:
            code = _end(child, 1.0 if line == b"" else 0.0)
        if line is None:
            return {"hung": f"its import took more than {self._budget_s:g} s"}
        try:
            report = json.loads(line)
        except ValueError:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            return {"died": f"its import ended the whole process {how}"}
        return report if isinstance(report, dict) else {}


def _key(ref: PluginRef) -> str:
    return json.dumps([ref.name, ref.value, ref.distribution, ref.version])


def _start(ref: PluginRef) -> subprocess.Popen[bytes] | None:
    if os.name != "posix" or not sys.executable:
        return None
    import subprocess

    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_FAILPOINTS")
    }
    setup = {"path": sys.path, "name": ref.name, "value": ref.value}
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(setup).encode() + b"\n")
        child.stdin.close()
    except OSError:
        pass
    return child


def _read_line(child: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """The child's report; empty when it ended without one, None when time ran out."""
    from autopilot.system.readiness import wait_ready

    assert child.stdout is not None
    fd, data = child.stdout.fileno(), b""
    while b"\n" not in data and len(data) < _REPORT_LIMIT:
        ready, _ = wait_ready([fd], timeout=deadline - time.monotonic())
        if not ready:
            return None
        piece = os.read(fd, 65536)
        if not piece:
            return b""
        data += piece
    return data


def _end(child: subprocess.Popen[bytes], patience_s: float) -> int:
    """End the child and all that it left in its session; its exit code, its own if it ends within the patience."""
    import signal

    if child.stdout is not None:
        child.stdout.close()
    deadline = time.monotonic() + patience_s
    while hasattr(os, "waitid") and time.monotonic() < deadline:
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            break
        time.sleep(0.005)
    try:
        # Not yet reaped, so that its number cannot be somebody else's when its group is killed.
        os.killpg(child.pid, signal.SIGKILL)
    except OSError:
        child.kill()
    return child.wait()


def _trial(report: Mapping[str, Any]) -> Trial:
    fault = str(report.get("hung") or report.get("died") or report.get("error") or "")
    hooks = report.get("hooks")
    return Trial(fault=fault, hooks=frozenset(hooks) if isinstance(hooks, list) and not fault else None)


def _to_cache(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is worth keeping: a good trial as long as its files stay, a hang for some minutes, a fast failure never
    (it is soon tried again, and may depend on anything)."""
    if "hung" in report:
        return {**report, "until": time.time() + _HANG_KEPT_S}
    return report if "hooks" in report and "error" not in report else None


def _from_cache(kept: Any) -> Trial | None:
    if not isinstance(kept, dict):
        return None
    if "hung" in kept:
        until = kept.get("until")
        now = time.time()
        return _trial(kept) if isinstance(until, float) and now < until <= now + _HANG_KEPT_S else None
    files = kept.get("files")
    return _trial(kept) if isinstance(files, dict) and files and _unchanged(files.items()) else None


def _unchanged(files: Iterable[tuple[str, Any]]) -> bool:
    try:
        return all(
            [facts.st_mtime_ns, facts.st_size] == stamp for path, stamp in files for facts in [os.stat(path)]
        )
    except OSError:
        return False
