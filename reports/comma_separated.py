"""CSV: one line a row of the table, for spreadsheets and data frames. Values in base units, never rounded.

A quantity gives its value, and behind it what it has of `_std`, `_n`, `_difference`, `_reported`, `_verdict`; always
its `_state`, because an empty value says nothing by itself.
"""

import csv
import io
from collections.abc import Callable

from reports.table import Cell, Column, Table

ABSENT = Cell(state="not_applicable")

FACTS: tuple[tuple[str, Callable[[Cell], object]], ...] = (
    ("_std", lambda cell: cell.std),
    ("_n", lambda cell: cell.n),
    ("_difference", lambda cell: None if cell.difference is None else cell.difference.value),
    ("_chosen", lambda cell: cell.chosen),
    ("_reported", lambda cell: " / ".join(claim.printed for claim in cell.claims) or None),
    ("_verdict", lambda cell: " / ".join(claim.verdict for claim in cell.claims) or None),
    ("_reason", lambda cell: cell.reason),
)


def comma_separated(table: Table) -> str:
    """The table with one head line, quoted where needed (RFC 4180, but lines end with a single line feed)."""
    columns = [("row", [row.row for row in table.rows]), ("label", [row.label for row in table.rows])]
    if any(row.group is not None for row in table.rows):
        columns.append(("group", [row.group or "" for row in table.rows]))
    for column in table.columns:
        columns += _columns(table, column)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(name for name, _ in columns)
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return text.getvalue()


def _columns(table: Table, column: Column) -> list[tuple[str, list[str]]]:
    """A column's value, its state, and of the rest what any row has."""
    if column.kind == "field":
        return [(column.name, [row.fields.get(column.name, "") for row in table.rows])]
    cells = [row.cells.get(column.name, ABSENT) for row in table.rows]
    made: list[tuple[str, list[str]]] = [
        (column.name, [_text(cell.value) for cell in cells]),
        (f"{column.name}_state", [_text(cell.state) for cell in cells]),
    ]
    for ending, fact in FACTS:
        values = [fact(cell) for cell in cells]
        if any(value is not None for value in values):
            made.append((f"{column.name}{ending}", [_text(value) for value in values]))
    return made


def _text(value: object) -> str:
    """Numbers so that they are read back exactly: integral ones without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return "" if value is None else str(value)
