"""Numbers measured elsewhere: records of their own, under keys of their own, that no measurement here ever has.

One stands for the trial of a cell and a seed, or of all its seeds where it names none; where nothing is measured in a
cell, for its study, row and column by name. A table shows it only where it has no number of ours, and says so.
"""

import math
from collections.abc import Iterator
from typing import Any

from ablations.grid import Grid
from ablations.grid_cell import GridCell
from bench.errors import UserError
from bench.identity import digest
from bench.record import Record
from bench.store import Snapshot
from reports.significance import summary
from reports.table import Cell

MEASURE = "imported"
FORMAT = 1


def key(grid: Grid, row: str, column: str, *, seed: int | None) -> str:
    """The key of an imported number. Raises UserError for a seed that the cell does not have."""
    cell = _cell(grid, row, column)
    if seed is not None and cell.works and not cell.seeds_matter:
        raise UserError(f"{column} of row {row!r} is the same for every seed: leave the seed out")
    if seed is not None and seed not in grid.seeds:
        raise UserError(f"no seed {seed} in {grid.study.name}; its seeds: {', '.join(map(str, grid.seeds))}")
    of: Any = {"study": grid.study.name, "setting": grid.study.setting, "row": row, "column": column, "seed": seed}
    if cell.works:
        of = [work.key for work in cell.works if seed is None or work.trial.seed == seed]
    return digest({"imported": FORMAT, "quantity": cell.quantity, "of": of})


def records(grid: Grid, row: str, column: str, snapshot: Snapshot) -> list[Record]:
    """What was imported for a cell, seed by seed, else for all its seeds; the latest of each."""
    seeds = grid.seeds if _cell(grid, row, column).seeds_matter or not _cell(grid, row, column).works else ()
    each = [snapshot.records.get(key(grid, row, column, seed=seed)) for seed in seeds]
    found = [record for record in each if record is not None]
    if found:
        return found
    whole = snapshot.records.get(key(grid, row, column, seed=None))
    return [] if whole is None else [whole]


def any_in(snapshot: Snapshot) -> bool:
    """Whether a store holds numbers that were measured elsewhere."""
    return any(record.measure == MEASURE for record in snapshot.records.values())


def shown(found: list[Record], quantity: str, unit: str | None) -> Cell:
    """A cell of imported numbers, which says where they come from."""
    samples = tuple(
        math.fsum(record.quantities[quantity].samples) / len(record.quantities[quantity].samples) for record in found
    )
    whole, seeded = summary(samples), found[0].bound.get("seed") is not None
    return Cell(
        state="imported",
        value=whole.mean,
        std=whole.std if seeded else None,
        n=whole.n if seeded else None,
        samples=samples,
        unit=unit if unit is not None else found[0].quantities[quantity].unit,
        reason="; ".join(dict.fromkeys(_source(record) for record in found)),
        keys=tuple(record.key for record in found),
    )


def told(found: list[Record], quantity: str) -> Iterator[str]:
    """A line for each imported number: its value and where exactly it comes from."""
    for record in found:
        seed = "" if record.bound.get("seed") is None else f"seed {record.bound['seed']}: "
        values = ", ".join(f"{sample:g}" for sample in record.quantities[quantity].samples)
        place = f"line {record.bound.get('line')}, sha256 {str(record.bound.get('sha256'))[:12]}…"
        yield f"{seed}{values} imported, not measured here: {_source(record)} ({place}) · record {record.key}"


def _source(record: Record) -> str:
    by = record.environment.get("user", "somebody")
    return f"from {record.bound.get('file', 'a file')}, by {by} on {record.time[:10]}"


def _cell(grid: Grid, row: str, column: str) -> GridCell:
    return grid.row(row).cells[column]
