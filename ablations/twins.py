"""Rows that would be measured and are one trial: a mistake in the spec, which the tool does not measure twice."""

from collections.abc import Iterable

from ablations.cells import Cells
from ablations.columns import StudyColumn
from ablations.design import BASE, PlannedRow
from bench.identity import digest


def refuse_twins(rows: Iterable[PlannedRow], found: list[StudyColumn], cells: Cells) -> None:
    """Raise UserError for a row that is another's trial without saying `repeats`; predictions may be the same."""
    seen: dict[tuple[str, str, str | None, str], PlannedRow] = {}
    for row in rows:
        if row.head.repeats is not None or not cells.measures(row, found):
            continue
        trial = cells.trials.trial(row.id, cells.study.seeds[0])
        scored = trial.predictions
        unread = scored.path if scored is not None and not scored.digest else ""
        identity = (digest(trial), unread, row.head.quantity, repr(row.head.within))
        other = seen.setdefault(identity, row)
        if other is row:
            continue
        first, second = (row, other) if row.brought else (other, row)
        if scored is not None and scored.digest:
            continue  # which the row says in a note
        if first.id == BASE or first.brought or not second.changes:
            raise second.error(f"row {second.id!r} changes nothing: it is the base trial, as row {first.id!r} is")
        again = f"; change a field, or say `repeats: {first.id}`" if "rows" in second.place else ""
        raise second.error(f"row {second.id!r} is the same trial as row {first.id!r}{again}")
