"""Files that are whole or absent, however their writer dies."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def publish(
    path: Path,
    content: bytes | Callable[[BinaryIO], object],
    *,
    allowed: Callable[[], bool] = lambda: True,
    sync: bool = True,
) -> bool:
    """Write beside `path`, wait for the disk (`sync`), ask whether it is still allowed, rename. False: not allowed.

    The temporary name is the writer's own: two processes never write one file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if not allowed():
            return False
        temporary.replace(path)
        return True
    finally:
        temporary.unlink(missing_ok=True)
