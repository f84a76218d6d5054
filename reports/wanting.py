"""Columns that have no number of ours: which they are, and why."""

from ablations.printed import NOTHING, parse
from reports.table import Cell, ClaimCell, Column, Table

ABSENT = Cell(state="not_applicable")


def cells_of(table: Table, column: Column) -> list[Cell]:
    """A column's cells, one a row."""
    return [row.cells.get(column.name, ABSENT) for row in table.rows]


def every(table: Table) -> list[Cell]:
    """The cells of all columns that hold numbers."""
    return [cell for cells in _quantities(table) for cell in cells]


def is_number(claim: ClaimCell) -> bool:
    """Whether a paper prints more than a dash."""
    return claim.printed.strip().lower() not in NOTHING


def nothing_but_reported(table: Table) -> bool:
    """Whether this is a paper's table of which nothing is measured yet.

    Where somebody said of each cell what it needs, they may want for different things.
    """
    columns = _quantities(table)
    told = [all(cell.state == "needs" for cell in cells) and any(cell.claims for cell in cells) for cells in columns]
    return bool(columns) and all(known or only_reported(cells) for known, cells in zip(told, columns, strict=True))


def only_reported(cells: list[Cell]) -> bool:
    """Whether somebody reported numbers, and all of ours are missing for one and the same reason."""
    missing = all(cell.value is None for cell in cells)
    return missing and any(cell.claims for cell in cells) and len(reasons(cells)) == 1


def why_nothing(table: Table) -> str:
    """Why a table holds nothing but reported numbers."""
    cells = every(table)
    wanting = [cell for cell in cells if cell.state != "pending"]
    if not wanting:
        return "All numbers as reported; nothing is measured yet"
    rest = "; the rest is not measured yet" if len(wanting) < len(cells) else ""
    return f"All numbers as reported; not measured: {'; '.join(reasons(wanting))}{rest}"


def reasons(cells: list[Cell]) -> list[str]:
    """Why cells have no number, each reason once; a place for which there is no number gives none."""
    without = [cell for cell in cells if cell.value is None and (cell.state != "not_applicable" or cell.claims)]
    return list(dict.fromkeys(cell.reason or cell.state.replace("_", " ") for cell in without))


def names_its_unit(cells: list[Cell]) -> bool:
    """Whether everything that was reported names its unit: `122.5 ms`."""
    claims = [claim for cell in cells for claim in cell.claims]
    return all(number.unit is not None for claim in claims for number in parse(claim.printed))


def _quantities(table: Table) -> list[list[Cell]]:
    """The cells of every column that holds numbers."""
    return [cells_of(table, column) for column in table.columns if column.kind == "quantity"]
