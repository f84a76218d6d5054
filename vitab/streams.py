"""Paths that are read or written once: standard streams by name, pipes, devices. Nothing there is to be replaced."""

from pathlib import Path

OPEN_FILES = ("/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
"""Where the system lists what a process has open: another process finds something else there."""


def is_stream(path: Path) -> bool:
    """Whether a path names something other than a regular file, or a file only as what this process has open."""
    return path.exists() and (not path.is_file() or str(path.absolute()).startswith(OPEN_FILES))
