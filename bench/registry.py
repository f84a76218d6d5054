"""What there is, found by file name: measures, models, data sets; other packages add theirs by entry points.

A file is torch-free at module level, so importing one at plan time is cheap. Names of other packages come from their
metadata alone; their modules are imported where the work is done.
"""

import importlib
import importlib.metadata
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

from bench.errors import UserError, unknown

KINDS = {"measures": "measure", "models": "model", "data": "data set"}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of one kind ("measures", "models", "data"): our files, then other packages' entry points."""
    folder = Path(__file__).parent / kind
    ours = [module.name for module in pkgutil.iter_modules([str(folder)])]
    theirs = [entry.name for entry in importlib.metadata.entry_points(group=f"vitab.{kind}")]
    return tuple(sorted({*ours, *theirs}))


@cache
def load(kind: str, name: str) -> ModuleType:
    """The module behind a name; an unknown name is one line with the nearest one."""
    if name not in names(kind):
        raise UserError(unknown(KINDS[kind], name, names(kind)))
    for entry in importlib.metadata.entry_points(group=f"vitab.{kind}"):
        if entry.name == name:
            module = entry.load()
            assert isinstance(module, ModuleType), f"entry point vitab.{kind}:{name} must be a module"
            return module
    return importlib.import_module(f"bench.{kind}.{name}")


@cache
def quantities() -> dict[str, str]:
    """Every quantity that a measure produces, and that measure's name (top5 comes from top1)."""
    return {quantity: name for name in names("measures") for quantity in load("measures", name).PRODUCES}
