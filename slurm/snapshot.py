"""The snapshot: the code that was there when work was sent is the code that runs, whatever is edited meanwhile."""

import importlib.metadata
import importlib.util
import shutil
import sysconfig
from pathlib import Path

from bench import registry

PACKAGES = ("ablations", "bench", "reports", "slurm", "vitab")


def take(folder: Path) -> None:
    """A copy of our packages, and of others' with measures, models or data that somebody works on."""
    ours = Path(__file__).resolve().parents[1]
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for path in (*(ours / package for package in PACKAGES), *plugins()):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=ignored)
        else:
            shutil.copy2(path, folder / path.name)


def plugins() -> list[Path]:
    """Modules and packages of others where they are worked on; installed copies are nobody's to edit."""
    entries = [entry for kind in registry.KINDS for entry in importlib.metadata.entry_points(group=f"vitab.{kind}")]
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    found = []
    for name in sorted({entry.module.partition(".")[0] for entry in entries} - set(PACKAGES)):
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or ()), *filter(None, [spec.origin])]
        path = Path(places[0]) if places else None
        if path is not None and path.exists() and not any(path.is_relative_to(place) for place in installed):
            found.append(path)
    return found
