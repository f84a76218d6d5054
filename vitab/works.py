"""What a call is about: studies as their options vary them, their grids, and the work that some of their cells take."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablations.cells import GridCell
from ablations.columns import chosen
from ablations.grid import Grid, GridRow, build
from ablations.study import load
from bench.record import TRAIN
from bench.store import Snapshot
from bench.work import Work
from reports.cells import choose


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A grid and the part of it that a call asks for."""

    grid: Grid
    given: str  # the study as it was named: what to type for it again
    sets: tuple[str, ...] = ()  # FIELD=VALUE: what the call changed of it
    seeds: int | tuple[int, ...] | None = None  # instead of the spec's
    columns: tuple[str, ...] | None = None  # None: all
    rows: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """study, or study --setting name."""
        setting = self.grid.study.setting
        return self.grid.study.name + (f" --setting {setting}" if setting else "")


def selections(options: argparse.Namespace, studies: Sequence[str] | None = None) -> list[Selection]:
    """The studies that a call names, each once, as its options vary them. Raises UserError."""
    return [
        select(
            name,
            setting=options.setting,
            sets=options.sets,
            seeds=options.seeds,
            columns=getattr(options, "columns", None),
            rows=getattr(options, "only", None),
        )
        for name in dict.fromkeys(options.study if studies is None else studies)
    ]


def select(
    name: str,
    *,
    setting: str | None = None,
    sets: Sequence[str] = (),
    seeds: int | Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
) -> Selection:
    """One study and the part of it that is asked for. Raises UserError."""
    grid = build(load(name, setting=setting, sets=sets, seeds=seeds))
    return Selection(
        grid=grid,
        given=name,
        sets=tuple(sets),
        seeds=seeds if seeds is None or isinstance(seeds, int) else tuple(seeds),
        columns=None if columns is None else tuple(column.name for column in chosen(grid.columns, columns)),
        rows=None if rows is None else tuple(grid.row(row).id for row in rows),
    )


def works(selection: Selection, snapshot: Snapshot) -> list[Work]:
    """Measurements that the chosen cells take, as far as they are known now, and every training behind them."""
    found: dict[str, Work] = {}
    for _, _, cell in selection.grid.cells(columns=selection.columns, rows=selection.rows):
        for work in cell_works(cell, snapshot):
            found.setdefault(work.key, work)
    return [*found.values(), *selection.grid.trainings.values()]


def cell_works(cell: GridCell, snapshot: Snapshot) -> Iterable[Work]:
    """Measurements of one cell. Of a nuisance axis the selection comes first, and then the level that it chose."""
    yield from cell.works
    if cell.candidates:
        for candidate in cell.candidates:
            yield from candidate.selection
        best = choose(cell.candidates, str(cell.selected_by), snapshot)
        yield from best.works if best else ()
    if cell.explanation is not None:
        yield from cell.explanation.works


def trainings_of(works: Iterable[Work], grid: Grid) -> list[Work]:
    """The trainings behind some measurements, weights before what needs them."""
    found: dict[str, Work] = {}

    def add(key: str) -> None:
        if key in grid.trainings and key not in found:
            for needed in grid.trainings[key].after:
                add(needed)
            found[key] = grid.trainings[key]

    for work in works:
        if work.measure != TRAIN:
            for key in work.after:
                add(key)
    return list(found.values())


def shown_rows(selection: Selection) -> list[GridRow]:
    """Rows that a call asks for."""
    wanted = selection.rows
    return [row for row in selection.grid.rows if wanted is None or row.id in wanted]
