"""`vitab compare`: two rows of a column beside each other, by their means over seeds and image by image."""

import argparse

from ablations.columns import called
from ablations.grid import Grid, GridRow
from bench import lease
from bench.errors import UserError, unknown
from bench.store import Store
from reports.cells import fill
from reports.check import words
from reports.plain import plain_lines
from reports.scale import alone
from reports.significance import difference
from reports.table import Cell
from vitab import per_image
from vitab.works import selections


def main(options: argparse.Namespace) -> int:
    """Print both numbers, their difference with its interval, and an exact McNemar test for each seed."""
    (one,) = selections(options, [options.study])
    row, other = one.grid.row(options.row), one.grid.row(options.other)
    if row.id == other.id:
        raise UserError(f"row {row.id!r} stands twice: two rows are compared")
    column = _column(one.grid, row, other, options.column)
    store = Store(options.store)
    snapshot = store.read()
    table = fill(one.grid, snapshot, running=frozenset(lease.running(store)))
    cells = {line.row: line.cells[column] for line in table.rows if line.row in (row.id, other.id)}
    lines = [f"{said.label} · {column}: {_number(cells[said.id])}" for said in (row, other)]
    lines += _difference(one.grid, cells[row.id], cells[other.id], other.label)
    quantity = row.cells[column].quantity
    if quantity in per_image.QUANTITIES and quantity == other.cells[column].quantity:
        works = row.cells[column].works, other.cells[column].works
        lines += per_image.beside(*works, quantity=quantity, named=other.label, store=store, at=snapshot)
    print(plain_lines("\n".join(lines)))
    return 0 if all(cell.state == "measured" for cell in cells.values()) else 1


def _column(grid: Grid, row: GridRow, other: GridRow, name: str) -> str:
    """The one column of that name that both rows have. Raises UserError."""
    both = [column.name for column in grid.columns if column.name in row.cells and column.name in other.cells]
    found = [column.name for column in called(grid.columns, name) if column.name in both]
    if len(found) != 1:
        raise UserError(f"{name!r} is several columns: {', '.join(found)}" if found else unknown("column", name, both))
    return found[0]


def _number(cell: Cell) -> str:
    if cell.value is None:
        return words(cell.state) + (f": {cell.reason}" if cell.reason else "")
    spread = "" if cell.std is None else f" ± {alone(cell.std, cell.unit)} over {cell.n} seeds"
    state = "" if cell.state == "measured" else f"; {words(cell.state)}"
    return alone(cell.value, cell.unit) + spread + state + (f"; {cell.reason}" if cell.reason else "")


def _difference(grid: Grid, one: Cell, other: Cell, named: str) -> list[str]:
    """The difference of two numbers that both were measured for the same seeds, with its 95 % interval."""
    if "measured" not in (one.state, other.state) or one.state != other.state:
        return []
    if len(one.samples) != len(other.samples) or len(one.samples) not in (1, len(grid.seeds)):
        return ["no difference: not the same seeds"]
    apart = difference(dict(enumerate(one.samples)), dict(enumerate(other.samples)))
    assert apart is not None
    unit = "points" if one.unit == "%" else one.unit
    sign = "+" if apart.value > 0 else ""
    half = "" if apart.half_width is None else f" ± {alone(apart.half_width, unit)} (95 %, t, paired by seed)"
    return [f"difference to {named}: {sign}{alone(apart.value, unit)}{half}"]
