"""What an attempt did to its workspace, found by comparing before and after."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import attrs

from autopilot.errors import StorageError
from autopilot.models import AttemptSpec
from autopilot.runner.notes import note
from autopilot.system.durable import remove_file, replace_file
from autopilot.system.failpoints import failpoint

__all__ = ["Evidence"]


class Evidence:
    """Looks at the workspace when it is made, and again in ``gather``; does nothing where nothing is watched.

    Args:
        tick: called often, for the lease.
    """

    def __init__(self, spec: AttemptSpec, *, tick: Callable[[], object]) -> None:
        self._spec = spec
        self._tick = tick
        self._watched = spec.workspace != "none" and os.path.isdir(spec.workdir)
        self._ledger = os.path.join(spec.run_dir, "before.manifest")
        if self._watched:
            self._look()

    def _look(self) -> None:
        from autopilot.workspaces.changes import survey
        from autopilot.workspaces.manifest import snapshot

        spec = self._spec
        self._before = snapshot(spec.workdir, spec.protected, skip=spec.root, tick=self._tick)
        try:
            survey(spec.workdir, self._ledger, skip=(spec.root,), tick=self._tick)
        except OSError as fault:
            self._say(f"what changes in the workspace will not be listed: {fault}")

    def gather(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The changed paths (capped) and the violations; both are written to ``changes.json`` too."""
        if not self._watched:
            return (), ()
        from autopilot.workspaces.globs import matcher
        from autopilot.workspaces.manifest import snapshot, violations

        spec = self._spec
        allowed = matcher(spec.allowed)
        failpoint("runner.protected")
        after = snapshot(spec.workdir, spec.protected, skip=spec.root, tick=self._tick)
        broken = tuple(path for path in violations(self._before, after) if not allowed.fullmatch(path))
        changed, count = self._changes()
        entries = {
            path: {
                when: attrs.asdict(manifest[path]) if path in manifest else None
                for when, manifest in (("before", self._before), ("after", after))
            }
            for path in broken
        }
        self._write({"changed": changed, "count": count, "violations": entries})
        return changed, broken

    def _changes(self) -> tuple[tuple[str, ...], int]:
        from autopilot.workspaces.changes import changed_since

        try:
            return changed_since(self._spec.workdir, self._ledger, skip=(self._spec.root,), tick=self._tick)
        except OSError as fault:
            self._say(f"what changed in the workspace is not listed: {fault}")
            return (), 0
        finally:
            remove_file(self._ledger)

    def _write(self, data: dict[str, object]) -> None:
        text = json.dumps(data, indent=1).encode("ascii")
        path = os.path.join(self._spec.run_dir, "changes.json")
        try:
            replace_file(path, text, point="runner.changes", sync=False)
        except (StorageError, OSError) as fault:
            self._say(f"changes.json: {fault}")

    def _say(self, line: str) -> None:
        note(f"{self._spec.task_id}.{self._spec.token}: {line}")
