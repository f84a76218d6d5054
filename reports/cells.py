"""A grid and a store become a table: every cell gets its number, or the reason why it has none."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from ablations.columns import StudyColumn
from ablations.grid import Grid, GridRow
from ablations.grid_cell import GridCell
from bench import plan
from bench.conflict import conflicts
from bench.record import Failure, Record
from bench.store import Snapshot
from bench.work import Work
from reports import captions, imported, mixtures
from reports.answers import Answer, answer, choose, failure_text
from reports.judgement import judged
from reports.plain import plain_table
from reports.significance import Comparison, compare, difference, summary
from reports.table import Cell, Column, Row, Table


def fill(
    grid: Grid,
    snapshot: Snapshot,
    *,
    running: frozenset[str] = frozenset(),
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
) -> Table:
    """The table of a study from what a store holds now; `running` are keys that somebody works on.

    `columns` and `rows`: only these of its quantities and rows. What bold and Δ say is of all rows, shown or not.
    """
    cells = {
        row.id: {name: _cell(cell, grid, snapshot, running) for name, cell in row.cells.items()} for row in grid.rows
    }
    if imported.any_in(snapshot):
        _fill_in(cells, grid, snapshot)
    comparisons: dict[str, Comparison] = {}
    for column in grid.columns:
        if column.quantity is not None:
            comparisons[column.name] = _compare(grid, column, cells)
    otherwise = mixtures.protocols(grid)
    shown = _part(grid, columns, rows)
    names = [column.name for column in shown.columns]
    cells = {row.id: {name: cells[row.id][name] for name in names if name in row.cells} for row in shown.rows}
    comparisons = {name: compared for name, compared in comparisons.items() if name in names}
    return plain_table(
        Table(
            study=grid.study.name,
            title=grid.study.spec.title or grid.study.spec.question or grid.study.name,
            columns=tuple(_column(column, shown, cells) for column in shown.columns),
            rows=tuple(_row(row, cells[row.id], otherwise.get(row.id, [])) for row in shown.rows),
            base=grid.base,
            stub=grid.stub,
            caption=captions.caption(shown, cells, comparisons),
            notes=(*captions.notes(shown, comparisons), *mixtures.environments(shown, cells, snapshot)),
            setting=grid.study.setting,
            source=captions.source(grid.study.spec.paper),
        )
    )


def _fill_in(rows: dict[str, dict[str, Cell]], grid: Grid, snapshot: Snapshot) -> None:
    """Put what was measured elsewhere where nothing was measured here."""
    for row in grid.rows:
        for name, planned in row.cells.items():
            if rows[row.id][name].state not in ("measured", "conflict", "invalid"):
                found = imported.records(grid, row.id, name, snapshot)
                if found:
                    filled = imported.shown(found, planned.quantity, planned.unit)
                    rows[row.id][name] = replace_cell(filled, claims=judged(planned, filled, grid, snapshot))


def _part(grid: Grid, columns: Sequence[str] | None, rows: Sequence[str] | None) -> Grid:
    """A grid with only some of its quantity columns and rows; None: all of them."""
    return replace(
        grid,
        columns=tuple(
            column for column in grid.columns if columns is None or column.quantity is None or column.name in columns
        ),
        rows=tuple(row for row in grid.rows if rows is None or row.id in rows),
    )


def _row(row: GridRow, cells: dict[str, Cell], otherwise: list[str]) -> Row:
    return Row(
        row=row.id,
        label=row.label,
        group=row.group,
        factors=row.factors,
        fields=row.fields,
        cells=cells,
        notes=(*row.notes, *otherwise),
    )


def _cell(cell: GridCell, grid: Grid, snapshot: Snapshot, running: frozenset[str]) -> Cell:
    works, chosen = cell.works, None
    if cell.invalid is not None:
        filled = Cell(state="invalid", reason=cell.invalid, unit=cell.unit)
    elif cell.needs is not None:
        filled = Cell(state="needs", reason=cell.needs, unit=cell.unit)
    else:
        if cell.candidates:
            candidate = choose(cell.candidates, str(cell.selected_by), snapshot)
            works, chosen = (candidate.works, candidate.label) if candidate else ((), None)
        filled = _measured(cell, works, snapshot, running)
        if chosen is not None:
            filled = replace_cell(filled, reason="; ".join(_out_of_choice(cell, filled.reason, snapshot)) or None)
    return replace_cell(filled, chosen=chosen, claims=judged(cell, filled, grid, snapshot))


def _out_of_choice(cell: GridCell, reason: str | None, snapshot: Snapshot) -> Iterator[str]:
    """A cell's own reason, then the levels that failed where they were to be chosen among."""
    if reason is not None:
        yield reason
    for candidate in cell.candidates:
        for record in answer(candidate.selection, snapshot, frozenset()).failures[:1]:
            why = f" ({failure_text(record.failure)})" if record.failure is not None else ""
            yield f"{candidate.label} failed on the selection split and was no choice{why}"


def replace_cell(cell: Cell, **changes: object) -> Cell:
    """A cell with some fields changed."""
    return msgspec.structs.replace(cell, **changes)


def _measured(cell: GridCell, works: tuple[Work, ...], snapshot: Snapshot, running: frozenset[str]) -> Cell:
    """A cell from the records of its works."""
    if not works:
        selection = [work for candidate in cell.candidates for work in candidate.selection]
        said = answer(selection, snapshot, running)
        if said.complete and said.lack is not None:
            return Cell(state="needs", unit=cell.unit, reason=said.lack.reason.strip() or None)
        if said.complete and said.failures:
            reason = failure_text(said.failures[0].failure or Failure(kind="crashed", reason="no reason recorded"))
            return Cell(state="failed", unit=cell.unit, reason=f"every level failed on the selection split: {reason}")
        return Cell(state="running" if said.running else "pending", unit=cell.unit)
    said = answer(works, snapshot, running)
    disagreeing = [
        conflict
        for work in works
        for conflict in conflicts(plan.standing(work, snapshot))
        if conflict.quantity == cell.quantity
    ]
    keys = tuple(work.key for work in works)
    if disagreeing:
        values = " and ".join(f"{value:g}" for value in disagreeing[0].values)
        facts = ", ".join(disagreeing[0].facts) or "nothing that was recorded"
        return Cell(state="conflict", unit=cell.unit, keys=keys, reason=f"measured as {values}; what differs: {facts}")
    having = [record for record in said.records if record is not None]
    samples = [record.quantities[cell.quantity] for record in having if cell.quantity in record.quantities]
    if having and not samples:
        return Cell(state="not_applicable", unit=cell.unit, keys=keys, reason=_inapplicable(cell, having[0]))
    if not samples:
        return _without_number(cell, said, keys)
    means = [math.fsum(sample.samples) / len(sample.samples) for sample in samples]
    whole = summary(means)
    return Cell(
        state="measured",
        value=whole.mean,
        std=whole.std if cell.seeds_matter else None,
        n=whole.n if cell.seeds_matter else None,
        samples=tuple(means),
        unit=cell.unit if cell.unit is not None else samples[0].unit,
        reason=_missing(said, len(works)),
        keys=tuple(record.key for record in having if cell.quantity in record.quantities),
    )


def _inapplicable(cell: GridCell, record: Record) -> str:
    if record.trial.command is not None:
        return f"{record.trial.command.name} gave no {cell.quantity}"
    if record.trial.task != "classify":
        return "not among the numbers of these predictions"
    return f"{record.measure} gives no {cell.quantity} for {record.trial.input.classes} classes"


def _without_number(cell: GridCell, said: Answer, keys: tuple[str, ...]) -> Cell:
    if said.running:
        return Cell(state="running", unit=cell.unit, keys=keys)
    if said.pending:
        return Cell(state="pending", unit=cell.unit, keys=keys)
    failures = [record.failure for record in said.failures if record.failure is not None]
    first = failures[0]
    if all(failure.kind == "needs" for failure in failures):
        return Cell(state="needs", unit=cell.unit, keys=keys, reason=first.reason.strip() or None)
    return Cell(state="failed", unit=cell.unit, keys=keys, reason=failure_text(first))


def _missing(said: Answer, wanted: int) -> str | None:
    """Why a mean is over fewer seeds than the study asks for."""
    parts = []
    if said.failures:
        failure = said.failures[0].failure
        why = failure_text(failure) if failure is not None else ""
        parts.append(f"{len(said.failures)} of {wanted} seeds failed ({why})")
    if waiting := said.pending + said.running:
        parts.append(f"{waiting} of {wanted} seeds pending")
    return "; ".join(parts) or None


def _column(column: StudyColumn, grid: Grid, rows: Mapping[str, dict[str, Cell]]) -> Column:
    if column.quantity is None:
        pixels = "px" if column.field is not None and column.field[-1] == "image" else None
        return Column(name=column.name, label=column.label, unit=pixels, kind="field", heads=column.heads)
    return Column(
        name=column.name,
        label=column.label,
        unit=column.quantity.unit,
        better=column.quantity.better,
        heads=column.heads,
        quantity=column.quantity.name,
        show_difference=any(cells[column.name].difference for cells in rows.values() if column.name in cells),
    )


def _compare(grid: Grid, column: StudyColumn, rows: dict[str, dict[str, Cell]]) -> Comparison:
    """Bold and differences of one column, written into its cells."""
    assert column.quantity is not None
    pool: dict[str, dict[int, float]] = {}
    states = {cells[column.name].state for cells in rows.values() if column.name in cells}
    state = "measured" if "measured" in states else "imported"  # never both: they are of different makes
    for row in grid.rows:
        cell, planned = rows[row.id].get(column.name), row.cells.get(column.name)
        whole = cell is not None and cell.state == state and cell.n == len(grid.seeds)
        if (
            whole
            and planned is not None
            and (planned.seeds_matter or state == "imported")
            and planned.quantity == column.quantity.name
        ):
            pool[row.id] = dict(zip(grid.seeds, cell.samples, strict=True))  # type: ignore[union-attr]
    compared = compare(pool, column.quantity.better)
    wanted = column.difference if column.difference is not None else grid.base is not None and len(pool) > 1
    for row_id, samples in pool.items():
        delta = None
        if wanted and grid.base in pool and row_id != grid.base:
            delta = difference(samples, pool[grid.base])
        rows[row_id][column.name] = replace_cell(
            rows[row_id][column.name], bold=row_id in compared.bold, difference=delta
        )
    return compared
