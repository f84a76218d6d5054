"""The Python API of studies: the same as the command line, for notebooks and tests."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import lease
from bench.store import Store
from reports.cells import fill
from reports.render import render
from reports.table import Table
from vitab.works import Selection, select

if TYPE_CHECKING:
    import pandas


def run(
    study: str,
    *,
    store: str | Path | None = None,
    setting: str | None = None,
    sets: dict[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
) -> "pandas.DataFrame":
    """Measure what is missing of a study, here, and return its table. Raises UserError."""
    from vitab import journal, planning, running

    one = _selected(study, setting=setting, sets=sets, seeds=seeds, columns=columns)
    place = _store(store)
    journal.write(place, one)
    running.measure([one], place, workers=workers or planning.cores(), here=False, retry_failed=retry_failed)
    return _frame(one, place)


def table(
    study: str,
    *,
    store: str | Path | None = None,
    setting: str | None = None,
    sets: dict[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
) -> "pandas.DataFrame":
    """A study's table from what the store holds now. Raises UserError.

    One line a row, one column a quantity in base units (parameters, multiply-adds, percent 0-100); beside noisy ones
    their `std` and `n`, beside reported ones `reported` and `verdict`. A cell without a number is NaN, and beside it
    stand its `state` and, where there is one, its `reason`. In a notebook it shows itself as the study's table.
    """
    return _frame(_selected(study, setting=setting, sets=sets, seeds=seeds, columns=columns), _store(store))


def _selected(
    study: str,
    *,
    setting: str | None,
    sets: dict[str, Any] | None,
    seeds: int | Sequence[int] | None,
    columns: Sequence[str] | None,
) -> Selection:
    changed = [f"{name}={_yaml(value)}" for name, value in (sets or {}).items()]
    return select(study, setting=setting, sets=changed, seeds=seeds, columns=columns)


def _yaml(value: Any) -> str:
    """A value as `--set` reads it: JSON is YAML."""
    import msgspec

    return msgspec.json.encode(value).decode()


def _store(path: str | Path | None) -> Store:
    import os

    return Store(Path(path if path is not None else os.environ.get("VITAB_STORE") or "runs"))


def _frame(one: Selection, store: Store) -> "pandas.DataFrame":
    return frame(fill(one.grid, store.read(), running=frozenset(lease.running(store)), columns=one.columns))


def frame(filled: Table) -> "pandas.DataFrame":
    """A table as a DataFrame that shows itself as the table."""
    import pandas as pd

    class Shown(pd.DataFrame):
        """A DataFrame that a notebook shows as the study's table."""

        def _repr_html_(self) -> str:
            return render(filled, "html")

        def __repr__(self) -> str:
            return render(filled, "markdown").rstrip()

    lines: dict[str, dict[str, Any]] = {}
    for row in filled.rows:
        line: dict[str, Any] = {"label": row.label, **({"group": row.group} if row.group else {}), **row.fields}
        for name in (column.name for column in filled.columns if column.name in row.cells):
            cell = row.cells[name]
            line[name] = math.nan if cell.value is None else cell.value
            if cell.n is not None:
                line |= {f"{name}.std": cell.std, f"{name}.n": cell.n}
            if cell.claims:
                line |= {f"{name}.reported": cell.claims[0].printed, f"{name}.verdict": cell.claims[0].verdict}
            if cell.state != "measured":
                line[f"{name}.state"] = cell.state
                line |= {f"{name}.reason": cell.reason} if cell.reason else {}
        lines[row.row] = line
    shown = Shown.from_dict(lines, orient="index")
    shown.index.name = "row"
    return shown
