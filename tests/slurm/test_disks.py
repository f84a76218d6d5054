"""A store that only this machine sees is said before anything is sent, and nothing is said where it may be shared."""

import os
from pathlib import Path

import pytest

from slurm import disks

MOUNTS = r"""21 1 252:0 / / rw - ext4 /dev/vda rw
22 21 0:5 / /home rw shared:2 - nfs4 server:/home rw
23 21 0:6 / /srv rw - xfs /dev/vdb rw
24 22 0:7 / /home/me/fast rw - tmpfs tmpfs rw
25 21 0:8 / /two\040words rw - lustre mgs:/two rw
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with disks of its own and of others, one of which it serves, and nodes of other names."""
    (tmp_path / "mounts").write_text(MOUNTS)
    (tmp_path / "exports").write_text("# all of it\n/srv/lab 10.0.0.0/8(rw)\n")
    monkeypatch.setattr(disks, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(disks, "EXPORTS", (tmp_path / "no etab", tmp_path / "exports"))
    monkeypatch.setattr(disks, "ask", lambda *command: "gpu1\ngpu2\n")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/data/runs", "ext4"), ("/srv/runs", "xfs"), ("/home/me/fast/runs", "tmpfs"), ("/srv/labs/runs", "xfs")],
)
def test_a_disk_of_this_machine_alone_is_named(folder, kind):
    assert disks.doubt(Path(folder)) == (
        f"{folder} is on this machine's own disk ({kind}), which jobs on other nodes do not see: --store a shared one"
    )


@pytest.mark.parametrize("folder", ["/home/me/runs", "/two words/runs", "/srv/lab/runs", "/srv/lab"])
def test_of_a_disk_that_others_may_see_nothing_is_said(folder):
    assert disks.doubt(Path(folder)) is None


@pytest.mark.parametrize("nodes", [None, os.uname().nodename + "\n"])
def test_where_the_nodes_are_this_machine_or_unknown_nothing_is_said(monkeypatch, nodes):
    monkeypatch.setattr(disks, "ask", lambda *command: nodes)
    assert disks.doubt(Path("/data/runs")) is None


def test_a_mount_whose_name_is_no_text_hides_no_other(tmp_path):
    (tmp_path / "mounts").write_bytes(b"9 1 8:1 / /b\xff\xc3\xa4 rw - xfs /dev/x rw\n" + MOUNTS.encode())
    assert "(ext4)" in (disks.doubt(Path("/data/runs")) or "")
    assert "(xfs)" in (disks.doubt(Path(os.fsdecode(b"/b\xff\xc3\xa4/runs"))) or "")
