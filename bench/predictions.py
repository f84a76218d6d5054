"""Predictions that lie in a file or a folder: which they are, by their content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from bench.errors import Invalid
from bench.trial import Predictions


def digest(path: Path) -> str | None:
    """Of a file, its content's; of a folder, that of the names and contents of all files in it. None: nothing there.

    Hidden files are none of them.
    """
    if path.is_file():
        return _of_file(path, *_stamp(path))
    if not path.is_dir():
        return None
    whole = hashlib.sha256()
    inside = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    for name in sorted(name for name in inside if not any(part.startswith(".") for part in name.parts)):
        whole.update(f"{name.as_posix()}\0{_of_file(path / name, *_stamp(path / name))}\n".encode())
    return whole.hexdigest()


def located(predictions: Predictions) -> Path:
    """Where predictions are. Raises Invalid where they are no longer what was planned."""
    path = Path(predictions.path)
    found = digest(path)
    if found != predictions.digest:
        raise Invalid(
            f"{path} {'is gone' if found is None else 'was changed while this was being planned or measured'}"
        )
    return path


def _stamp(path: Path) -> tuple[int, int]:
    """What tells that a file was changed."""
    said = path.stat()
    return said.st_mtime_ns, said.st_size


@lru_cache(maxsize=65_536)
def _of_file(path: Path, changed_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
