"""Trust: whether somebody else could change a file, or put another in its place, before it is run."""

import grp
import os
import pwd
import stat
from pathlib import Path

from bench.errors import UserError

OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check(path: Path, what: str) -> None:
    """Raises UserError, one line, where others may write a file or folder, or replace it in a folder above it.

    A folder that others write into, but where nobody takes away what is another's (the sticky bit, as /tmp has it), may
    stand above it. What is not there yet is nobody's.
    """
    found, typed = path.resolve(), path.absolute()
    for place in dict.fromkeys((found, *found.parents, typed, *typed.parents)):  # a link on the way may be another's
        try:
            facts = place.lstat()
        except FileNotFoundError:
            continue
        if facts.st_uid not in (0, os.getuid()):
            raise UserError(f"{path}: {place} belongs to somebody else, and {what}")
        sticky = place != found and facts.st_mode & stat.S_ISVTX
        if _writers(facts) and not sticky and not stat.S_ISLNK(facts.st_mode):
            cure = f"chmod go-w {place}" + ("" if place == found else f", or chmod +t {place}")
            raise UserError(f"{path}: others may write {place}, and {what}; {cure}")


def _writers(facts: os.stat_result) -> bool:
    """Whether anybody but its owner and root may write it: the group that a user has alone is himself."""
    writable = facts.st_mode & OTHERS
    return bool(writable) and (writable != stat.S_IWGRP or not _alone(facts.st_gid))


def _alone(group: int) -> bool:
    """Whether a group is the calling user's own: of his name, and with nobody else in it."""
    try:
        me, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return group == me.pw_gid and found.gr_name == me.pw_name and set(found.gr_mem) <= {me.pw_name}
