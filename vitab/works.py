"""What a call is about: studies as their options vary them, their grids, and the work that some of their cells take."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ablations import shipped
from ablations.columns import called, chosen
from ablations.grid import Grid, GridRow, build
from ablations.grid_cell import GridCell
from ablations.study import load
from bench.errors import UserError
from bench.record import TRAIN
from bench.store import Snapshot
from bench.work import Work
from reports.answers import choose


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
    """The studies that a call names, each once, as its options vary them; with --all those that report something too.

    Raises UserError.
    """
    names = dict.fromkeys(options.study if studies is None else studies)
    every = studies is None and getattr(options, "all", False)
    if not names and not every:
        raise UserError("which study? name one, or say --all; `vitab list studies` and `vitab list tables` have them")
    if not names and (options.setting or options.sets or options.seeds):
        raise UserError("--setting, --set and --seeds vary the studies that are named, and none is")
    whole = [select(name, setting=options.setting, sets=options.sets, seeds=options.seeds) for name in names]
    if every:
        whole += [select(name) for name in shipped.names() if name not in names]
        whole = [one for one in whole if any(cell.claims for _, _, cell in one.grid.cells()) or _unclaimed(options)]
    rows = getattr(options, "only", None)
    return [_with_rows(one, rows) for one in with_columns(whole, getattr(options, "columns", None))]


def _unclaimed(options: argparse.Namespace) -> bool:
    """Whether a call over all studies wants those too that report nothing: what changed since may be asked of any."""
    return getattr(options, "against", None) is not None


def with_columns(studies: Sequence[Selection], names: Sequence[str] | None) -> list[Selection]:
    """Of studies the columns that are asked for; a study that has none of them is left out.

    Raises UserError for a name that no study knows.
    """
    if names is None:
        return list(studies)
    every = [column for one in studies for column in one.grid.columns]
    for name in names:
        chosen(every, [name])
    found = [
        replace(
            one,
            columns=tuple(dict.fromkeys(column.name for name in names for column in called(one.grid.columns, name))),
        )
        for one in studies
    ]
    return [one for one in found if one.columns]


def _with_rows(one: Selection, names: Sequence[str] | None) -> Selection:
    """Of a study the rows that are asked for. Raises UserError for a row that it has not."""
    return one if names is None else replace(one, rows=tuple(one.grid.row(name).id for name in names))


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
    one = Selection(
        grid=build(load(name, setting=setting, sets=sets, seeds=seeds)),
        given=name,
        sets=tuple(sets),
        seeds=seeds if seeds is None or isinstance(seeds, int) else tuple(seeds),
    )
    (narrowed,) = with_columns([one], columns)
    return _with_rows(narrowed, rows)


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
