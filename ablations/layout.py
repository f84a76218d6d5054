"""Layout: factors that become columns instead of rows, so that a heat map or models × data sets print as such."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ablations.columns import StudyColumn
from ablations.design import PlannedRow
from ablations.factors import Factor, Level
from ablations.study import Study
from bench.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: the rows that differ in laid-out factors alone, or one row."""

    id: str
    label: str
    rows: tuple[PlannedRow, ...]
    levels: dict[str, Level]  # of the factors that are not laid out


def laid_out(study: Study, factors: Iterable[Factor]) -> tuple[Factor, ...]:
    """The factors that become columns, outermost first."""
    if study.spec.layout is None:
        return ()
    wanted = study.spec.layout.columns
    known = {factor.name: factor for factor in factors}
    document, place = study.spot("layout")
    names = [wanted] if isinstance(wanted, str) else wanted
    if not names:
        raise document.error((*place, "columns"), "columns names no factor; leave the layout out")
    for number, name in enumerate(names):
        spot = (*place, "columns") if isinstance(wanted, str) else (*place, "columns", number)
        if name not in known:
            raise document.error(spot, unknown("factor", name, known))
        if name in names[:number]:
            raise document.error(spot, f"factor {name!r} stands twice")
    return tuple(known[name] for name in names)


def lines(rows: Iterable[PlannedRow], across: tuple[Factor, ...], study: Study) -> list[Line]:
    """The lines of the table. Raises UserError for a row that has no level of a laid-out factor."""
    if not across:
        return [Line(id=row.id, label=row.label, rows=(row,), levels=row.levels) for row in rows]
    names = {factor.name for factor in across}
    together: dict[tuple[tuple[str, str], ...], list[PlannedRow]] = {}
    for row in rows:
        if lacking := sorted(names - row.levels.keys()):
            raise row.error(f"row {row.id!r} has no level of {', '.join(lacking)}, and the layout makes columns of it")
        rest = tuple((name, level.id) for name, level in row.levels.items() if name not in names)
        together.setdefault(rest, []).append(row)
    found = []
    for same in together.values():
        levels = {name: level for name, level in same[0].levels.items() if name not in names}
        name = ":".join(level.id for level in levels.values()) or study.name
        label = " · ".join(level.label for level in levels.values()) or study.name
        found.append(Line(id=name, label=label, rows=tuple(same), levels=levels))
    return found


def spread(columns: list[StudyColumn], across: tuple[Factor, ...], rows: Iterable[PlannedRow]) -> list[StudyColumn]:
    """Columns, each quantity once for every combination of laid-out levels that rows have, or once a line."""
    several = [column for column in columns if is_spread(column, across)]
    if not several:
        return columns
    first = columns.index(several[0])
    present = {suffix(row, across): [row.levels[factor.name] for factor in across] for row in rows}
    orders = [{level.id: number for number, level in enumerate(factor.levels)} for factor in across]

    def order(one: tuple[str, list[Level]]) -> list[int]:  # the base's own level, which is not listed, comes first
        return [known.get(level.id, -1) for known, level in zip(orders, one[1], strict=True)]

    found = []
    for ids, levels in sorted(present.items(), key=order):
        labels = tuple(level.label for level in levels)
        for column in several:
            alone = len(several) == 1  # then the innermost level is the head, and nothing else need be said
            label = labels[-1] if alone else column.label
            heads = (*column.heads, *(labels[:-1] if alone else labels))
            found.append(replace(column, name=column.name + ids, label=label, heads=heads))
    return columns[:first] + found + [column for column in columns[first:] if column not in several]


def is_spread(column: StudyColumn, across: tuple[Factor, ...]) -> bool:
    """Whether a column stands once for every combination of laid-out levels."""
    return bool(across) and column.quantity is not None and column.spread


def suffix(row: PlannedRow, across: tuple[Factor, ...]) -> str:
    """What a row's combination adds to a column's name."""
    return "".join(f":{row.levels[factor.name].id}" for factor in across)
