from __future__ import annotations

import pytest

from autopilot.system.filesystems import network_filesystem

TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /mnt/share rw - nfs4 server:/export rw
31 22 0:27 / /mnt/share/local rw - tmpfs tmpfs rw
32 22 0:28 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:29 / /mnt/ssh rw - fuse.sshfs host: rw
a line that is none
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return str(path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.autopilot", None),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/team/.autopilot", "nfs4"),
        ("/mnt/shared-not", None),
        ("/mnt/share/local/x", None),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/ssh/x", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_decides(table, path, kind):
    assert network_filesystem(path, table=table) == kind


def test_unknown_without_a_table(tmp_path):
    assert network_filesystem("/", table=str(tmp_path / "missing")) is None


def test_this_machine_answers():
    assert network_filesystem("/proc") is None
