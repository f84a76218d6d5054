"""CSV: one line a row of the table, for spreadsheets and data frames. Values in base units, never rounded.

A quantity gives its value, and behind it what it has of `_std`, `_n`, `_difference`, `_reported`, `_verdict`; always
its `_state`, because an empty value says nothing by itself. Text that a spreadsheet would run as a formula begins with
an apostrophe: `'+ mixup`, `'=HYPERLINK(…)`.
"""

import csv
import io
import math
from collections.abc import Callable

from reports.table import Cell, Column, Table

ABSENT = Cell(state="not_applicable")

FORMULAS = tuple("=+-@\t\r")
"""What a formula begins with in one spreadsheet or another."""

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
    columns = [("row", [_text(row.row) for row in table.rows]), ("label", [_text(row.label) for row in table.rows])]
    if any(row.group is not None for row in table.rows):
        columns.append(("group", [_text(row.group) for row in table.rows]))
    for column in table.columns:
        columns += _columns(table, column)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_text(name) for name, _ in columns)
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return text.getvalue()


def _columns(table: Table, column: Column) -> list[tuple[str, list[str]]]:
    """A column's value, its state, and of the rest what any row has."""
    if column.kind == "field":
        return [(column.name, [_text(row.fields.get(column.name)) for row in table.rows])]
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
    """Numbers so that they are read back exactly, integral ones without a point; text so that it is no formula."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, str):
        plain = value.replace("\r\n", "\n").replace("\r", "\n")  # a lone return, unquoted, would end the line
        return f"'{plain}" if value[:1] in FORMULAS and not _is_number(value) else plain
    return "" if value is None else str(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
