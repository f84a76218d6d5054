"""Disks: whether a folder is one that only this machine sees, as far as that can be known before anything is sent."""

import os
from pathlib import Path

from slurm.states import ask

OWN = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "overlay"}
"""File systems of one machine. Others see them only where they are exported."""

MOUNTS = Path("/proc/self/mountinfo")
EXPORTS = (Path("/var/lib/nfs/etab"), Path("/etc/exports"))


def doubt(folder: Path) -> str | None:
    """Why jobs on other machines would not see a folder; None where that is not known, or where there are none."""
    kind = _kind(folder.resolve())
    if kind not in OWN or _exported(folder.resolve()):
        return None
    said = ask("sinfo", "--noheader", "--format=%n")
    if said is None or set(said.split()) <= {os.uname().nodename, os.uname().nodename.partition(".")[0]}:
        return None
    return (
        f"{folder} is on this machine's own disk ({kind}), which jobs on other nodes do not see: --store a shared one"
    )


def _kind(folder: Path) -> str | None:
    """The type of the file system that holds a folder, or will: the longest path of proc(5)'s mountinfo, the last."""
    found, longest = None, -1
    for line in _lines(MOUNTS):
        before, _, after = line.partition(" - ")
        escaped = os.fsencode(before.split()[4]).decode("unicode_escape")
        at = Path(os.fsdecode(escaped.encode("latin-1")))
        if folder.is_relative_to(at) and len(at.parts) >= longest:
            found, longest = after.split()[0], len(at.parts)
    return found


def _exported(folder: Path) -> bool:
    """Whether this machine serves the folder, or one above it, to others."""
    served = [line.split()[0].strip('"') for path in EXPORTS for line in _lines(path) if line.strip()]
    return any(folder.is_relative_to(at) for at in served if at.startswith("/"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
