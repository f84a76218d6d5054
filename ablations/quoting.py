"""Numbers quoted from other tables: `swin_imagenet/a_deits/top1` is what that cell's claim prints.

A row may be a pattern (`boxer_coco_detection/[!b]*/ap50`: of every row that does not begin with b): then the name
stands for all the numbers that these rows print. A quoted number enters the key of the trial that quotes it, so a
table that is corrected asks for a new value.
"""

from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from ablations import shipped
from ablations.claims import leaves
from ablations.printed import parse
from ablations.study import load
from bench.errors import UserError, unknown


def quoted(name: str) -> float | tuple[float, ...]:
    """The number, in base units, that TABLE/ROW/COLUMN prints; several where the row is a pattern. Raises UserError."""
    table, _, spot = name.partition("/")
    row, _, column = spot.rpartition("/")  # a row's id may have a stroke: R+Ti/16:reg:none
    if not (table and row and column):
        raise UserError(f"{name!r} is no cell: TABLE/ROW/COLUMN, such as swin_imagenet/a_deits/top1")
    if table not in shipped.names("tables"):
        raise UserError(unknown("table", table, shipped.names("tables")))
    cells = _cells(table)
    if column not in {known for _, known in cells}:
        raise UserError(unknown(f"column of {table} with reported numbers", column, {known for _, known in cells}))
    if not set("*?[") & set(row):
        if (row, column) not in cells:
            raise UserError(unknown(f"row of {table} with a reported {column}", row, _rows(table, column)))
        numbers = _numbers(cells[row, column])
        if len(numbers) != 1:
            raise UserError(f"{name} prints {cells[row, column]!r}, which is not one number")
        return numbers[0]
    found = [number for one in _rows(table, column) if fnmatchcase(one, row) for number in _numbers(cells[one, column])]
    if not found:
        raise UserError(f"{name}: no row of {table} that matches {row!r} reports a number there")
    return tuple(found)


def _numbers(printed: str) -> list[float]:
    return [number.value for number in parse(printed)]


def _rows(table: str, column: str) -> list[str]:
    return [row for row, known in _cells(table) if known == column]


@cache
def _cells(table: str) -> dict[tuple[str, str], str]:
    """What the claims of a shipped table print, by row and column: of several claims the first, its paper's own."""
    spec = load(table).spec
    found = {
        (str(row["id"]), column): _printed(said)
        for row in spec.design.get("rows", ())
        for column, said in row.get("reported", {}).items()
    }
    for column, by_row in spec.reported.items():
        found |= {(row, column): _printed(said) for row, _, said in leaves(by_row, ())}
    return found


def _printed(said: Any) -> str:
    first = said[0] if isinstance(said, list) else said
    return str(first["printed"] if isinstance(first, dict) else first)
