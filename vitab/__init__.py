"""vitab: every number in a vision-transformer paper, measured again. The Python face.

    import vitab
    vitab.run("patch_size")                        measure what is missing, then the table
    vitab.table("patch_size")                      a pandas DataFrame that shows itself as the table
    vitab.count(module, input)                     parameters and multiply-adds of any torch module
    vitab.assert_counts(module, input, params="29M", flops="4.5G")      for other people's test suites

Importing this costs nothing; each function brings in what it needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitab.counting import assert_counts
    from vitab.counting import of_module as count
    from vitab.notebook import run, table

__all__ = ["assert_counts", "count", "run", "table"]

_WHERE = {
    "run": ("vitab.notebook", "run"),
    "table": ("vitab.notebook", "table"),
    "count": ("vitab.counting", "of_module"),
    "assert_counts": ("vitab.counting", "assert_counts"),
}


_PACKAGES = ("ablations", "bench", "reports", "slurm")


def hidden_package() -> str | None:
    """One line where a file of the user's would be imported in the place of one of our packages; else None.

    Their names are common words: a `bench.py` in the folder that Python starts in comes first. This is asked before
    anything of ours is imported.
    """
    import sys
    from pathlib import Path

    ours = Path(__file__).resolve().parents[1]
    for entry in sys.path:
        folder = Path(entry or ".").resolve()
        if folder == ours:
            return None
        for name in _PACKAGES:
            for path in (folder / f"{name}.py", folder / name / "__init__.py"):
                if path.exists():
                    return f"{path} hides a package of vitab's; rename it, or start from another folder"
    return None


def __getattr__(name: str) -> Any:
    """Load a function when it is first asked for. Raises AttributeError, or ImportError where ours would be hidden."""
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'vitab' has no attribute {name!r}")
    if hidden := hidden_package():
        raise ImportError(hidden, name=__name__)
    module, function = _WHERE[name]
    return getattr(importlib.import_module(module), function)


def __dir__() -> list[str]:
    """The public names, for those who press Tab."""
    return list(__all__)
