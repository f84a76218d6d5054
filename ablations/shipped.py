"""Studies by name: shipped ablations, papers' tables, or a path to anyone's YAML file."""

import importlib.util
from functools import cache
from pathlib import Path

from bench.errors import UserError, unknown

SUFFIXES = (".yaml", ".yml")


def folders() -> dict[str, Path]:
    """Where shipped specs lie: studies and tables. Found without importing anything."""
    ours = Path(__file__).parent
    reports = importlib.util.find_spec("reports")
    found = {"studies": ours / "specs"}
    if reports is not None and reports.origin is not None:
        found["tables"] = Path(reports.origin).parent / "papers"
    return found


@cache
def names(kind: str | None = None) -> dict[str, Path]:
    """Shipped names and their files; `kind` "studies" or "tables", None for both."""
    found: dict[str, Path] = {}
    for folder_kind, folder in folders().items():
        if kind not in (None, folder_kind):
            continue
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in found:
                raise UserError(f"study {path.stem!r} is shipped twice: {found[path.stem]} and {path}")
            found[path.stem] = path
    return found


def find(name: str) -> Path:
    """The file behind a shipped name or a path. Raises UserError."""
    if "/" in name or name.endswith(SUFFIXES):
        path = Path(name).expanduser()
        if not path.exists():
            near = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES] if path.parent.is_dir() else []
            raise UserError(unknown("file", path.name, near) if near else f"no file {name!r}")
        if path.is_dir():
            raise UserError(f"{name} is a folder; a study is a YAML file")
        return path
    known = names()
    if name not in known:
        if Path(name).with_suffix(".yaml").exists():
            raise UserError(f"no study {name!r}; the file is called {name}.yaml")
        raise UserError(unknown("study", name, known))
    return known[name]
