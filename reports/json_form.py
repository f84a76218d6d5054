"""JSON, format 1: a contract for programs. Values in base units; a key without a meaning is absent.

    {"study", "format": 1, "title", "setting", "source", "base",
     "columns": [{"name", "label", "unit", "better"}],
     "rows": [{"row", "label", "group", "factors", "fields", "notes",
               "cells": {COLUMN: {"state", "value", "std", "n", "samples", "unit", "reason", "chosen", "bold",
                                  "difference": {"value", "half_width"}, "keys",
                                  "claims": [{"printed", "source", "verdict", "deviation", "note"}]}}}],
     "caption", "notes"}

`state` is one of reports.table.State, `verdict` one of reports.table.Verdict. A later format may add keys within this
number; a key that goes or changes its meaning makes format 2.
"""

import json
from typing import Any

import msgspec

from reports.table import Cell, Table

FORMAT = 1


def json_form(table: Table) -> str:
    """The table as one JSON object, indented, keys in the order above."""
    return json.dumps(as_data(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_data(table: Table) -> dict[str, Any]:
    """The same as plain data."""
    rows = []
    for row in table.rows:
        cells = {name: _cell(cell) for name, cell in row.cells.items()}
        facts = {"row": row.row, "label": row.label, "group": row.group, "factors": row.factors}
        rows.append(_meant(facts | {"fields": row.fields, "notes": row.notes}) | {"cells": cells})
    columns = [
        {"name": column.name, "label": column.label, "unit": column.unit, "better": column.better}
        for column in table.columns
        if column.kind == "quantity"
    ]
    head = {"title": table.title, "setting": table.setting, "source": table.source, "base": table.base}
    return {
        "study": table.study,
        "format": FORMAT,
        **_meant(head),
        "columns": [_meant(column) for column in columns],
        "rows": rows,
        **_meant({"caption": table.caption, "notes": table.notes}),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    facts: dict[str, Any] = {"value": _exact(cell.value), "std": cell.std, "n": cell.n}
    facts["samples"] = [_exact(sample) for sample in cell.samples]
    facts |= {"unit": cell.unit, "reason": cell.reason, "chosen": cell.chosen}
    facts["bold"] = cell.bold or None
    facts["difference"] = _meant(msgspec.to_builtins(cell.difference)) if cell.difference is not None else None
    facts["keys"] = cell.keys
    facts["claims"] = [_meant(msgspec.to_builtins(claim)) for claim in cell.claims]
    return {"state": cell.state, **_meant(facts)}


def _exact(value: float | None) -> float | None:
    """Whole numbers without a point: a count is 28288354, not 28288354.0."""
    return int(value) if value is not None and value == int(value) and abs(value) < 2**53 else value


def _meant(facts: dict[str, Any]) -> dict[str, Any]:
    """What is known: no None, and nothing empty. A zero is a number like any other."""
    return {name: value for name, value in facts.items() if value is not None and value not in ("", (), [], {})}
