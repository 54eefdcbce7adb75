"""The scenarios: each is one matter, on a root that is durable until ``from_here``."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from autopilot.config.root import GITIGNORE, Root
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.hold import HoldMode, read_hold
from autopilot.errors import StorageError
from autopilot.events.channels import Cursors
from autopilot.models import Status, TaskDraft
from autopilot.store import markdown
from autopilot.testing.stores import text_of
from tests.crash.power.recovery import reconciler
from tests.crash.power.site import BODY, Found, Hand, Site, body_of, fact, scenario, used

# ---------------------------------------------------------------------------- tasks


@scenario
def first_task(site: Site) -> None:
    """On a fresh folder, as the command line does it."""

    def proof(found: Found) -> None:
        body_of("one")(found)
        with open(f"{found.root}/.gitignore", "rb") as file:
            assert file.read() == GITIGNORE

    control = Control.open(Root(site.root), environ={})
    with site.step("create", "one", settles=Status.PENDING, proof=proof):
        control.create_task(TaskDraft(id="one", text=text_of("one") + BODY))
    control.close()


@scenario
def cloned_root(site: Site) -> None:
    """The tasks came by git, all else has to be made."""
    os.makedirs(f"{site.root}/tasks")
    fd = os.open(f"{site.root}/tasks/one.md", os.O_WRONLY | os.O_CREAT)
    os.write(fd, text_of("one") + BODY)
    os.close(fd)
    site.from_here()
    control = Control.open(Root(site.root), environ={})
    with site.step("root", proof=body_of("one")):
        control.ensure_root()
    site.start(site.claim("one"))
    control.close()


@scenario
def create(site: Site) -> None:
    site.create("zero")
    site.from_here()
    site.create("one")


@scenario
def create_again(site: Site) -> None:
    """The file was deleted by hand, and what is remembered of it goes on counting."""
    site.finish(site.running("one"))
    os.unlink(f"{site.root}/tasks/one.md")
    site.steps.clear()
    seq = site.store.record("one").seq
    site.from_here()

    def proof(found: Found) -> None:
        body_of("one")(found)
        assert found.store.record("one").seq > seq, "the number of an event would be given twice"

    with site.step("create", "one", settles=Status.PENDING, proof=proof):
        site.store.create(TaskDraft(id="one", text=text_of("one") + BODY), (fact("task.created"),))


@scenario
def create_refused(site: Site) -> None:
    """The log refuses the event, so that the task must not be there."""
    site.create("zero")

    def proof(found: Found) -> None:
        assert "one" not in found.store.ids(), "a refused task is there"

    with site.step("refused", proof=proof), _log_full(site), contextlib.suppress(StorageError):
        site.store.create(TaskDraft(id="one", text=text_of("one")), (fact("task.created"),))


@scenario
def edit(site: Site) -> None:
    site.create("one")
    site.from_here()

    def proof(found: Found) -> None:
        assert found.store.get("one").priority == "high", "an edit was forgotten"

    with site.step("edit", proof=proof):
        site.store.edit("one", {"priority": "high"})


# ---------------------------------------------------------------------------- attempts


@scenario
def take(site: Site) -> None:
    """Claim and start: the one's events must be there when the other forgets to carry them."""
    site.create("one")
    site.from_here()
    site.start(site.claim("one"))


@scenario
def claim_refused(site: Site) -> None:
    """The log refuses the event, so that the claim must never have been."""
    site.create("one")

    def proof(found: Found) -> None:
        assert not list(found.log.read(types="task.claimed")), "a refused claim is in the log"

    with site.step("refused", proof=proof), _log_full(site), contextlib.suppress(StorageError):
        site.claim("one")


@scenario
def report(site: Site) -> None:
    lease = site.running("one")
    site.from_here()
    site.report(lease)


@scenario
def finish(site: Site) -> None:
    """Of the second attempt: what is remembered of the first one must not come back in its place."""
    site.finish(site.running("one"), Status.PENDING)
    lease = site.start(site.claim("one"))
    site.report(lease)
    site.from_here()
    site.finish(lease)


@scenario
def finish_while_edited(site: Site) -> None:
    """The file is half saved, so that the lease has to stay for its sake; its events are told."""
    lease = site.running("one")
    path, whole = "tasks/one.md", _read(f"{site.root}/tasks/one.md")
    _save(f"{site.root}/{path}", b"---\nid: o")
    site.mend = lambda root: Path(root, path).write_bytes(whole)
    site.from_here()
    site.finish(lease)


@scenario
def cancel(site: Site) -> None:
    site.running("one")
    site.from_here()
    with site.step("cancel", "one", settles=Status.CANCELLED):
        site.store.request_cancel("one", by="me")


@scenario
def move(site: Site) -> None:
    site.create("one")
    site.from_here()
    site.move("one", Status.PENDING, Status.BLOCKED)
    site.move("one", Status.BLOCKED, Status.PENDING)


@scenario
def reclaim(site: Site) -> None:
    """The owner is dead; a tick takes the task back."""
    site.running("one")
    site.from_here()

    def proof(found: Found) -> None:
        assert found.store.record("one").lost == 1, "a lost attempt was forgotten"
        assert found.store.get("one").result["outcome"] == "lost", "the result in the file was forgotten"

    with site.step("reclaim", "one", settles=Status.PENDING, proof=proof):
        reconciler(site.store, site.log).sweep()


@scenario
def adopt(site: Site) -> None:
    """A tick commits what a runner has reported; that the task was claimed may not be in its file yet."""
    site.create("one")
    site.make_run("one", 1)
    site.durable_until_here()
    site.report(site.start(site.claim("one")))
    site.recorder.count_from_here()
    with site.step("adopt", "one", settles=Status.DONE, proof=used("one", 1, "succeeded")):
        reconciler(site.store, site.log).sweep()


@scenario
def redo(site: Site) -> None:
    """A crash came between a commit and its projections; the next start does them.

    That the task was claimed may not be in its file yet, either.
    """
    site.create("one")
    site.durable_until_here()
    lease = site.start(site.claim("one"))
    with mock.patch.object(site.store._projector, "ending"):
        site.finish(lease)
    site.steps[-1].events = site.steps[-2].events
    site.recorder.count_from_here()
    with site.step("redo", "one", settles=Status.DONE, proof=used("one", 1, "told by 1")):
        site.store.project()


@scenario
def damaged_lease(site: Site) -> None:
    """A lease that cannot be read is set aside, with an event that says where it lies."""
    site.running("one")
    _damage(site, "state/leases/one.json")
    site.from_here()
    with site.step("set aside"):
        site.store.project()


@scenario
def damaged_result(site: Site) -> None:
    lease = site.running("one")
    site.report(lease)
    site.steps.pop()
    _damage(site, "runs/one/1/result.json")
    site.from_here()
    with site.step("set aside"):
        site.store.result(lease)


def _damage(site: Site, path: str) -> None:
    fd = os.open(f"{site.root}/{path}", os.O_WRONLY)
    with site.step("damage"):
        os.write(fd, b"damaged")
    os.close(fd)


# ---------------------------------------------------------------------------- people


@scenario
def save_meanwhile(site: Site) -> None:
    """A person saves between our look and our write; their editor does its fsyncs."""
    site.create("one")
    with _saves_between(site, "Do the other"):
        site.start(site.claim("one"))


@scenario
def save_twice_meanwhile(site: Site) -> None:
    """And again while their first save gets its place back: one of the two is in ``conflicts/``."""
    site.create("one")
    with _saves_between(site, "Do the other", "Do a third"):
        site.start(site.claim("one"))


@contextlib.contextmanager
def _saves_between(site: Site, *titles: str) -> Iterator[None]:
    """Have a person save a new title right before each of our next exchanges; the cuts begin with the first."""
    path, real, left = f"{site.root}/tasks/one.md", markdown.exchange, list(titles)

    def exchange(one: str, other: str) -> bool:
        if len(left) == len(titles):
            site.from_here()
        if left:
            with site.step("save", proof=_kept(left[0])):
                _save(path, _read(path).replace(b"Do one", left.pop(0).encode()))
        return real(one, other)

    with mock.patch.object(markdown, "exchange", exchange):
        yield


def _kept(title: str) -> Callable[[Found], None]:
    def proof(found: Found) -> None:
        places = [Path(found.root, "tasks/one.md"), *Path(found.root, "conflicts").glob("*")]
        assert any(title.encode() in place.read_bytes() for place in places), "a person's save is lost"

    return proof


def _save(path: str, data: bytes) -> None:
    """As most editors do it: a new file, an fsync, a rename over the old one."""
    fd = os.open(f"{path}~", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    os.rename(f"{path}~", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# ---------------------------------------------------------------------------- orders


@scenario
def drain(site: Site) -> None:
    control = Control.open(Root(site.root), environ={})
    control.ensure_root()
    site.append(0)
    site.from_here()

    def drained(found: Found) -> None:
        hold = read_hold(f"{found.root}/state")
        assert "resume" in found.begun or (hold and hold.mode is HoldMode.DRAINING), "a drain was forgotten"

    def resumed(found: Found) -> None:
        assert read_hold(f"{found.root}/state") is None, "a resume was forgotten"

    with site.step("drain", proof=drained):
        control.drain("me")
    with site.step("resume", proof=resumed):
        control.resume("me")
    control.close()


@scenario
def cursor(site: Site) -> None:
    site.append(0)
    site.from_here()

    def proof(found: Found) -> None:
        assert Cursors(f"{found.root}/state/cursors").load("me") == "1:10", "a cursor was forgotten"

    with site.step("cursor", proof=proof):
        Cursors(f"{site.root}/state/cursors").save("me", "1:10")


# ---------------------------------------------------------------------------- log

FRAGMENT = b'{"id":"evt-of-a-killed-writer","event_ty'


@scenario
def append(site: Site) -> None:
    site.append(0)
    site.from_here()
    site.append(1)
    site.append(2, 3)


@scenario
def heal(site: Site) -> None:
    site.append(0)
    fd = os.open(f"{site.root}/events/events.ndjson", os.O_WRONLY | os.O_APPEND)
    os.write(fd, FRAGMENT)
    os.close(fd)
    site.from_here()
    site.append(1)


@scenario
def rotate(site: Site) -> None:
    """Somebody wrote without an fsync before: then the fsync of the segment that is closed matters."""
    hand = site.hand(segment_bytes=900)
    hand.append(0)
    site.from_here()
    site.careless("x" * 900)
    hand.append(1)
    hand.append(2)


@scenario
def retain(site: Site) -> None:
    for number in range(3):
        site.append(number)
        site.log.rotate()
    site.from_here()
    with site.step("gc"):
        site.log.gc(keep_bytes=400)


# ---------------------------------------------------------------------------- several at once

CROWDED = {"two_dispatchers", "two_writers"}


@scenario
def two_dispatchers(site: Site) -> None:
    """Each takes a task of its own through an attempt, with locks, slots and a log that rotates between them."""
    site.create("one")
    site.create("two")
    hands = [site.hand(segment_bytes=1500) for _ in range(2)]
    site.from_here()
    site.at_once(3, lambda: _attempt(hands[0], "one"), lambda: _attempt(hands[1], "two"))


def _attempt(hand: Hand, task_id: str) -> None:
    lease = hand.start(hand.claim(task_id))
    hand.report(lease)
    hand.finish(lease)


@scenario
def two_writers(site: Site) -> None:
    site.append(0)
    hands = [site.hand(segment_bytes=700) for _ in range(2)]
    site.from_here()
    site.at_once(5, *(lambda hand=hand: [hand.append(n) for n in range(4)] for hand in hands))


@contextlib.contextmanager
def _log_full(site: Site) -> Iterator[None]:
    """The log refuses the next event; what was done until then is on the disk, which is the worst case."""

    def refuse(*_: object) -> None:
        site.from_here()
        raise OSError(errno.ENOSPC, "full")

    with mock.patch("autopilot.events.append.write_all", refuse):
        yield
