"""The grid: a study's rows and columns, every cell with the trials it takes and their keys. An ablation's table, empty.

Nothing is measured here and nothing read from a store: the same spec gives the same grid on any machine.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ablations.cells import Cells
from ablations.claims import Claims
from ablations.columns import StudyColumn, check_facts, columns
from ablations.design import BASE, Expanded, PlannedRow, brought, expand
from ablations.factors import Context, Factor, Level, text
from ablations.fields import check_fields, check_path, dotted, is_field, split, stored
from ablations.grid_cell import GridCell, content
from ablations.layout import Line, is_spread, laid_out, lines, spread, suffix
from ablations.nuisance import check_apart, nuisance_axis
from ablations.study import Study
from ablations.trials import ABSENT, Trials, field_of
from ablations.twins import refuse_twins
from bench.errors import UserError, unknown
from bench.identity import digest
from bench.trial import Frozen
from bench.work import Work

MOST_TRIALS = 100_000
"""Of one study: ten seconds of planning."""


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """One line of the table."""

    id: str
    label: str
    group: str | None = None
    factors: dict[str, str] = field(default_factory=dict)  # factor → its level's label
    fields: dict[str, str] = field(default_factory=dict)  # column of a field or a fact → what it shows
    notes: tuple[str, ...] = ()
    cells: dict[str, GridCell] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A study's table before anything is measured."""

    study: Study
    columns: tuple[StudyColumn, ...]
    rows: tuple[GridRow, ...]
    base: str | None  # the base row's id
    stub: str  # head of the rows' names
    seeds: tuple[int, ...]
    trainings: dict[str, Work]  # by weights key: everything that some cell's weights come from

    def cells(
        self, *, columns: Iterable[str] | None = None, rows: Iterable[str] | None = None
    ) -> Iterator[tuple[GridRow, StudyColumn, GridCell]]:
        """Cells in reading order, of some columns and rows or of all."""
        wanted_columns = None if columns is None else set(columns)
        wanted_rows = None if rows is None else set(rows)
        for row in self.rows:
            for column in self.columns:
                cell = row.cells.get(column.name)
                if (
                    cell is not None
                    and (wanted_columns is None or column.name in wanted_columns)
                    and (wanted_rows is None or row.id in wanted_rows)
                ):
                    yield row, column, cell

    def row(self, name: str) -> GridRow:
        """A row by id, or by a label that is its alone. Raises UserError with the candidates."""
        for row in self.rows:
            if row.id == name:
                return row
        labelled = [row for row in self.rows if row.label == name]
        if len(labelled) == 1:
            return labelled[0]
        if labelled:
            raise UserError(f"{len(labelled)} rows are labelled {name!r}: {', '.join(row.id for row in labelled)}")
        raise UserError(unknown("row", name, [row.id for row in self.rows]))


def build(study: Study) -> Grid:
    """The grid of a study. Raises UserError at the place in the spec that is wrong."""
    context = _context(study, "design")
    found = columns(study, _context(study, "columns"))
    expanded = expand(study.spec.design, context)
    planned = expanded.rows or (brought(_context(study, "base"), (), label=study.name),)
    axis = nuisance_axis(study, context, expanded.best_of)
    if axis is not None:
        check_apart(axis, planned, found)
    _refuse_too_many(study, planned, axis.factors if axis else ())
    _refuse_fixed(study, (*expanded.factors, *(axis.factors if axis else ())))
    base = next((row for row in planned if row.brought), None) or brought(context, ())
    trials = Trials(study, planned, base, edges_known=axis is None)
    rows, base_id = _with_base_row(study, planned, found, trials)
    rows = [row for row in rows if not row.head.hidden]
    if not rows:
        raise study.error("design", "every row is hidden; a table shows at least one")
    across = laid_out(study, expanded.factors)
    table_lines = lines(rows, across, study)
    in_rows, in_lines = [row.id for row in rows], [line.id for line in table_lines]
    holders = {one.name: in_rows if is_spread(one, across) else in_lines for one in found if one.quantity is not None}
    claims = Claims(study, found, holders)
    cells = Cells(study, trials, claims, context=context, axis=axis)
    _check_labels(study, context, found, expanded)
    check_facts(found, planned)
    for row in planned:
        claims.check_row(row)
    for row in rows:
        if not cells.measures(row, found):  # and so its trial need not be whole; what it says exists all the same
            check_fields(trials.draft(row.id))
    cells.notes |= trials.same_predictions(rows)
    grid_rows = tuple(_grid_row(line, found, across, cells) for line in table_lines)
    refuse_twins(rows, found, cells)
    return Grid(
        study=study,
        columns=tuple(spread(found, across, rows)),
        rows=grid_rows,
        base=base_id if any(row.id == base_id for row in grid_rows) else None,
        stub=_stub(study, [factor for factor in expanded.factors if factor not in across]),
        seeds=study.seeds,
        trainings=trials.trainings,
    )


def _context(study: Study, key: str) -> Context:
    document, place = study.spot(key)
    return Context(
        document=document,
        place=place,
        model=study.base.name("model"),
        data=study.base.name("data"),
        labels=study.spec.labels,
    )


def _stub(study: Study, factors: list[Factor]) -> str:
    """The head of the rows' names: as the spec says, else the factors that make them."""
    if said := study.spec.labels.get("row"):
        return said
    return " · ".join(factor.label for factor in factors) or ("method" if study.spec.paper else "row")


def _check_labels(study: Study, context: Context, found: list[StudyColumn], expanded: Expanded) -> None:
    """Raise UserError for a label of what there is not, unless another file or the command line took it away."""
    document, place = study.spot("labels")
    if document is not context.document or study.setting is not None or study.sets:
        return
    quantities = [column.quantity.name for column in found if column.quantity]
    own = [factor.name for factor in expanded.factors] + list(study.spec.design.get("leave_one_out", ()))
    known = {"row", *(column.name for column in found), *quantities, *own}
    for name in study.spec.labels:
        if name not in known and check_path(split(name), context.model, context.data):
            raise document.error((*place, name), context.unknown("field, factor or column", name, known))


def _refuse_too_many(study: Study, rows: tuple[PlannedRow, ...], nuisance: tuple[Factor, ...]) -> None:
    """Raise UserError where rows, levels of a nuisance axis and seeds multiply to more trials than sense."""
    levels = math.prod(len(factor.levels) for factor in nuisance)
    size = len(rows) * levels * len(study.seeds)
    if size > MOST_TRIALS:
        best = f" × {levels:,} levels of best_of" if nuisance else ""
        said = f"{len(rows):,} rows{best} × {len(study.seeds):,} seeds are {size:,} trials; at most {MOST_TRIALS:,}"
        raise study.error("seeds", said)


def _refuse_fixed(study: Study, factors: Iterable[Factor]) -> None:
    """A field that the command line sets and the design varies would be set in vain."""
    for factor in factors:
        for path in {change.path for level in factor.levels for change in level.changes} & study.fixed.keys():
            raise study.fixed[path].error(f"the design varies {dotted(path)} (factor {factor.name})")


def _with_base_row(
    study: Study, rows: tuple[PlannedRow, ...], found: list[StudyColumn], trials: Trials
) -> tuple[list[PlannedRow], str | None]:
    """The rows and the base row's id.

    Where a single factor makes the rows, the base row is one of its levels: the listed one that holds the base's own,
    or the row that the design brought, under its level's name.
    """
    base = next((row for row in rows if row.id == BASE), None)
    if base is None:
        return list(rows), _unchanged(study, rows)
    varied = {row.alone for row in rows if row is not base}
    if not any(varied):
        return list(rows), base.id
    whole = any(column.quantity is not None and column.needs is None for column in found)
    factor = varied.pop() if len(varied) == 1 else None
    level = None if factor is None else _level_of(study, trials, factor, whole=whole)
    if factor is not None and level is not None:  # before others start from it, and say from which row
        levels = {factor: Level(id=level, label=level, changes=())}
        trials.rows[BASE] = replace(base, id=level, label=level, levels=levels)
    own = _said(trials, BASE, whole=whole)
    same: dict[str, PlannedRow] = {}  # factor → the first of its rows that holds what the base does
    for row in rows:
        if row.alone and row.alone not in same and _said(trials, row.id, whole=whole) == own:
            same[row.alone] = row
    if factor in same:
        trials.rows[BASE] = replace(base, id=same[factor].id)
        return [row for row in rows if row is not base], same[factor].id
    others = [row for row in rows if row.alone is None or row is not same.get(row.alone)]
    if level is None or level in trials.rows:
        trials.rows[BASE] = base
        return others, base.id
    renamed = trials.rows[level] = trials.rows[BASE]
    return [renamed if row is base else row for row in others], level


def _said(trials: Trials, row_id: str, *, whole: bool) -> Any:
    """What a row says of its trial, to be compared: the trial itself, where it is `whole`, else the fields given."""
    return digest(trials.trial(row_id, trials.study.seeds[0])) if whole else trials.draft(row_id).values


def _unchanged(study: Study, rows: Iterable[PlannedRow]) -> str | None:
    """Without a design that brings one along, the base row is the listed one that changes nothing."""
    found = [row.id for row in rows if not row.changes and not row.head.hidden and not row.head.repeats]
    return found[0] if len(found) == 1 and study.spec.paper is None else None


def _level_of(study: Study, trials: Trials, factor: str, *, whole: bool) -> str | None:
    """What the base trial says in a factor's field; None where it says nothing, or nothing short."""
    if not is_field(factor):
        return None
    path = stored(split(factor))
    if path in study.base.origins:
        return text(study.base.get(path))
    if not whole:
        return None
    trial = trials.trial(BASE, study.seeds[0])
    if getattr(trial, path[0]) is None:
        return None
    value = field_of(trial, path)
    return None if value == ABSENT or isinstance(value, Frozen) else text(value)


def _grid_row(line: Line, found: list[StudyColumn], across: tuple[Factor, ...], cells: Cells) -> GridRow:
    first = line.rows[0]
    grid_cells: dict[str, GridCell] = {}
    for column in found:
        if is_spread(column, across):
            grid_cells |= {column.name + suffix(row, across): cells.cell(row, column) for row in line.rows}
        elif column.quantity is not None:
            grid_cells[column.name] = _cell_of_line(line, column, cells)
    said = first.head.notes if isinstance(first.head.notes, list) else []
    built = [note for row in line.rows for note in cells.notes.get(row.id, ())]
    return GridRow(
        id=line.id,
        label=line.label,
        group=first.group,
        factors={name: level.label for name, level in line.levels.items()},
        fields={column.name: _field_of_line(line, column, cells) for column in found if column.quantity is None},
        notes=tuple(dict.fromkeys([*said, *built])),
        cells=grid_cells,
    )


def _field_of_line(line: Line, column: StudyColumn, cells: Cells) -> str:
    """What the rows of a line show alike. Raises UserError where they do not."""
    shown, *others = [cells.shown(row, column) for row in line.rows]
    for row, other in zip(line.rows[1:], others, strict=True):
        if other != shown:
            raise column.document.error(
                column.place,
                f"{column.name} is {shown!r} for {line.rows[0].id!r} and {other!r} for {row.id!r}, which share a line",
            )
    return shown


def _cell_of_line(line: Line, column: StudyColumn, cells: Cells) -> GridCell:
    """The cell that stands once for all rows of a line. Raises UserError where they would not agree."""
    cell, *others = [cells.cell(row, column) for row in line.rows]
    for row, other in zip(line.rows[1:], others, strict=True):
        if content(cell) != content(other):
            raise column.document.error(
                column.place,
                f"{column.name} is not the same for {line.rows[0].id!r} and {row.id!r}, which share a line;"
                " `spread: true` shows both",
            )
    claims = cell.claims or cells.claims.of_line(line.id, column, cell.unit)
    return replace(cell, claims=claims) if claims else cell
