"""What there is, found by file name: measures, models, data sets; other packages add theirs by entry points.

A file is torch-free at module level, so importing one at plan time is cheap. Names of other packages come from their
metadata alone; their modules are imported where the work is done. No package may give a name of ours another meaning:
keys are made of names.
"""

import importlib
import importlib.metadata
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

from bench.errors import UserError, unknown

KINDS = {"measures": "measure", "models": "model", "data": "data set"}

INTERFACE = {
    "measures": ("VERSION", "DEPENDS_ON", "PRODUCES", "measure"),
    "models": ("VERSION", "Knobs", "check", "build"),
    "data": ("VERSION", "Options", "facts", "missing", "load"),
}
"""What a module of another package must have."""


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of one kind ("measures", "models", "data"): our files, then other packages' entry points."""
    return tuple(sorted((*_ours(kind), *_theirs(kind))))


@cache
def load(kind: str, name: str) -> ModuleType:
    """The module behind a name; an unknown name is one line with the nearest one."""
    if name not in names(kind):
        raise UserError(unknown(KINDS[kind], name, names(kind)))
    if name in _ours(kind):
        return importlib.import_module(f"bench.{kind}.{name}")
    return _loaded(_theirs(kind)[name], kind)


@cache
def quantities() -> dict[str, str]:
    """Every quantity that a measure produces, and that measure's name (top5 comes from top1).

    Raises UserError where two measures produce the same.
    """
    found: dict[str, str] = {}
    for name in sorted(names("measures"), key=lambda name: name not in _ours("measures")):
        for quantity in load("measures", name).PRODUCES:
            if quantity in found:
                entry = _theirs("measures")[name]
                raise UserError(
                    f"{_package(entry)} measures {quantity!r}, which {found[quantity]!r} does; uninstall it"
                )
            found[quantity] = name
    return found


@cache
def _ours(kind: str) -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / kind)]))


def _theirs(kind: str) -> dict[str, EntryPoint]:
    """Other packages' entry points by name. Raises UserError for a name that is taken."""
    found: dict[str, EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=f"vitab.{kind}"):
        other = found.setdefault(entry.name, entry)
        owner = "vitab" if entry.name in _ours(kind) else None if other.value == entry.value else _package(other)
        if owner is not None:
            raise UserError(f"{_package(entry)} has a {KINDS[kind]} {entry.name!r}, as {owner} has; uninstall it")
    return found


def _loaded(entry: EntryPoint, kind: str) -> ModuleType:
    """Another package's module. Raises UserError, one line, for whatever is wrong with it."""
    what = f"{KINDS[kind]} {entry.name!r} of {_package(entry)}"
    try:
        module = entry.load()
    except Exception as problem:
        said = " ".join(str(problem).split())
        raise UserError(f"{what} cannot be loaded: {type(problem).__name__}: {said}; uninstall it") from problem
    if not isinstance(module, ModuleType):
        raise UserError(f"{what} is no module: its entry point is {entry.value!r}")
    if lacking := [name for name in INTERFACE[kind] if not hasattr(module, name)]:
        raise UserError(f"{what} has no {', '.join(lacking)}")
    return module


def _package(entry: EntryPoint) -> str:
    return "a package" if entry.dist is None else f"package {entry.dist.name} {entry.dist.version}"
