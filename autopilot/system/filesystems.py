"""Which kind of file system a path lies on, as far as it matters for locks and durability."""

from __future__ import annotations

import os

__all__ = ["network_filesystem"]

_NETWORK = {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}


def network_filesystem(path: str, *, table: str = "/proc/self/mountinfo") -> str | None:
    """The type of the network file system that ``path`` lies on; None for a local or unknown one.

    flock and rename give fewer promises there than this program needs. FUSE mounts of remote folders
    (``fuse.sshfs`` and the like) count as network, too.
    """
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            mounts = [_mount(line) for line in file]
    except OSError:
        return None
    real = os.path.realpath(path)
    holding = [mount for mount in mounts if _contains(mount[0], real)]
    kind = max(holding, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind in _NETWORK or kind.startswith("fuse.") else None


def _mount(line: str) -> tuple[str, str]:
    # proc(5), mountinfo: field 5 is the mount point, and the type follows the lone "-".
    head, _, tail = line.partition(" - ")
    point = head.split(" ")[4] if head.count(" ") >= 4 else ""
    return point.replace("\\040", " "), tail.split(" ", 1)[0]


def _contains(folder: str, path: str) -> bool:
    return bool(folder) and (folder in ("/", path) or path.startswith(folder + "/"))
