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


def __getattr__(name: str) -> Any:
    """Load a function when it is first asked for. Raises AttributeError."""
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'vitab' has no attribute {name!r}")
    module, function = _WHERE[name]
    return getattr(importlib.import_module(module), function)
