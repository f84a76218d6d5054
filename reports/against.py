"""A cell against the same cell of another store: counts exactly, accuracies by the noise of seeds, times by ratio."""

import math

from reports.significance import Summary, unpaired
from reports.table import Cell, Table

GONE = Cell(state="not_applicable", reason="the table has no such cell any more")

TIMES = {"images/s", "s", "FLOP/s"}
"""Units of what another machine measures otherwise."""

QUIET = 0.05  # of a ratio of two times: without a spread of its own, less is no change


def reference(column: str, now: Table, then: Table) -> tuple[str, float] | None:
    """The row whose time others are held against, the base row or the first with both times; how it changed."""
    pairs = {}
    cells = {row.row: row.cells.get(column, GONE).value for row in now.rows}
    for row in then.rows:
        old, new = row.cells.get(column, GONE).value, cells.get(row.row)
        if old and new:
            pairs[row.row] = new / old
    name = then.base if then.base in pairs else next(iter(pairs), None)
    return None if name is None else (name, pairs[name])


def timed(cell: Cell, old: Cell, held: tuple[str, float] | None, row: str) -> tuple[str, float | None, str | None]:
    """A time against another, both over that of the reference row; noise where the spread or a quiet machine's is."""
    if held is None or held[0] == row or not old.value or cell.value is None:
        return "not_comparable", None, "times compare as ratios, and this is what others are held against"
    scaled = old.value * held[1]
    relative = cell.value / scaled - 1
    spread = None if old.std is None else old.std * held[1]
    noise = unpaired(
        Summary(mean=cell.value, std=cell.std, n=cell.n or 1), Summary(mean=scaled, std=spread, n=old.n or 1)
    )
    within = abs(cell.value - scaled) <= noise if noise is not None else abs(relative) <= QUIET
    return "within_noise" if within else "changed", relative, f"as a ratio to {held[0]}"


def differing(cell: Cell, old: Cell) -> tuple[str, float | None, str | None]:
    """The same, within noise, changed, or no number any more; the relative change; why there is no number."""
    assert old.value is not None
    if cell.value is None:
        lost = cell.state in ("failed", "invalid", "conflict", "not_applicable")
        return "failed" if lost else "pending", None, cell.reason
    difference = cell.value - old.value
    if not difference:
        return "reproduced", 0.0, None
    relative = difference / abs(old.value) if old.value else math.copysign(math.inf, difference)
    noise = unpaired(*(Summary(mean=one.value or 0, std=one.std, n=one.n or 1) for one in (cell, old)))
    return "within_noise" if noise is not None and abs(difference) <= noise else "changed", relative, None
