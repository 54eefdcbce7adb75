"""Which named failpoints stand for which crash point of the failure model, as data.

Where a crash point is a file that is written whole, all the steps of writing it stand for it.
"""

from __future__ import annotations

__all__ = ["ABSENT", "CRASH_POINTS", "EXTRA"]


def _steps(name: str, *last: str) -> tuple[str, ...]:
    return tuple(f"{name}.{step}" for step in ("opened", "write", "written", "synced", *last, "done"))


def _created(name: str) -> tuple[str, ...]:
    return _steps(name, "linked")


def _replaced(name: str) -> tuple[str, ...]:
    return _steps(name, "rename", "renamed")


def _exchanged(name: str) -> tuple[str, ...]:
    return _steps(name, "swap", "swapped")


CRASH_POINTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "C1": ("create: temporary file opened", ("create.opened",)),
    "C2": ("create: written", ("create.write", "create.written")),
    "C3": ("create: fsynced", ("create.synced",)),
    "C4": ("create: linked", ("create.linked",)),
    "C5": ("create: temporary file removed", ("create.done",)),
    "C6": ("claim: locked", ("claim.locked",)),
    "C7": ("claim: temporary lease written", _replaced("claim.lease")[:5]),
    "C8": ("claim: lease renamed, the commit", ("claim.lease.renamed",)),
    "C9": ("claim: folder fsynced", ("claim.lease.done",)),
    "C10": ("claim: Markdown projected", _exchanged("claim.md")),
    "C11": ("claim: events in the log", ("claim.told",)),
    "C12": ("claim: outbox noted as published, in the beat", ("beat.write",)),
    "C15": ("runner started, gate closed", (*_replaced("runner.task"), "runner.gate")),
    "C16": ("run record durable, gate opened", (*_replaced("start.lease"), "runner.started")),
    "C17": ("agent running", ("runner.forked",)),
    "C18": ("beat", ("beat.write",)),
    "C19": ("output file growing", ("output.write",)),
    "C20": ("result.json in the run folder", ("runner.report", *_created("report"), "runner.reported")),
    "C21": ("protected paths compared", ("runner.protected", *_replaced("runner.changes"))),
    "C22": ("finish: lease renamed, the commit", _replaced("finish.lease")),
    "C23": ("finish: Markdown projected", _exchanged("finish.md")),
    "C24": ("finish: events in the log", ("ending.told",)),
    "C25": ("finish: outbox cleared, the lease becomes the record", ("retire.rename", "retire.renamed")),
    "C27": ("log: short write", ("log.append.write",)),
    "C28": ("log: before the fsync", ("log.append.before_sync", "log.append.synced")),
    "C29": ("log: side file of a heal written", ("log.heal.side",)),
    "C30": ("log: healed and truncated", ("log.heal.write", "log.heal.truncate")),
    "C31": ("log: segment renamed", ("log.rotate.rename", "log.rotate.renamed")),
    "C32": ("log: first record of a segment", ("log.rotate.first",)),
    "C33": ("log: segment deleted", ("log.gc.unlink",)),
    "C34": ("reclaim: predecessor killed", ("reclaim.killed",)),
    "C35": ("reclaim: lost attempt counted, the commit", ("reclaim.cleared", *_replaced("finish.lease"))),
}
"""Crash point -> what it is, and the failpoints that stand for it."""

ABSENT = {
    "C13": "no work trees: this version makes none",
    "C14": "no cgroups: the runner is a subreaper, and knows its processes by mark and descent",
    "C26": "no work trees: there are none to clean up",
}
"""Crash points that do not exist here, and why."""

EXTRA = {
    "edit": "a person's edit by command",
    "cancel": "the request to stop",
    "move.lease": "a change of a task that nobody holds: the commit",
    "move.md": "... and its Markdown",
    "project.md": "a projection that is redone",
    "told.lease": "an ending whose file cannot be written keeps only that",
    "record": "a task's record is made by the creation of a task whose file was deleted",
    "ballast.write": "the file that is given up on a full disk",
    "hold": "pause and drain",
    "told": "which unreadable files were reported; a cache",
    "reclaim.note": "when a reclaim was first tried",
    "runner.reaped": "the launcher's word that nothing is alive",
    "runner.tree": "the processes of an attempt, for its successor",
    "root": ".gitignore of a new root",
    "init": "the first config",
    "probes": "answers of executors' probes; a cache",
    "routing.checkpoint": "what routing has learnt; a cache",
    "sidecar": "summaries of tasks; a cache",
    "cache": "plugin metadata; a cache",
    "cursor.save": "how far a subscriber has read",
    "sinks.cursor": "how far the sinks have read",
    "plugins.known": "which plugins were seen in which version",
    "agent.totals": "what an agent has used in its session so far",
    "host.say": "a line from the host to its runner; a pipe",
}
"""Failpoints that stand for no crash point of the model. What scenarios pass of them is injected all the same."""
